// SPDX-License-Identifier: Apache-2.0
// Maps of services that are full: what the agent's registry makes of them, write by write.
#include <gmock/gmock.h>

#include <algorithm>
#include <optional>
#include <set>

#include "agent/datapath/tests/lab.hpp"
#include "agent/service/registry.hpp"

namespace netkite::datapath::lab {
namespace {

using testing::AnyOf;
using testing::HasSubstr;
using testing::SizeIs;

using Addresses = std::set<std::string>;

class ServicesFullTest : public LabTest {
 protected:
  void SetUp() override {
    LabTest::SetUp();
    options_.services.enabled = true;
    options_.services.maglev = true;
    options_.services.max_frontends = 8;
    options_.services.max_backends = 16;
  }

  // 10.96.0.N and, for the outside, 198.51.100.N for clients in 203.0.113.0/24.
  void set_service(const std::string& key, int number, bool outside = false) {
    kube::Service service;
    service.cluster_ips = {ip("10.96.0." + std::to_string(number))};
    service.ports = {{.name = "", .protocol = kube::Protocol::tcp, .port = 80, .node_port = 0}};
    if (outside) {
      service.load_balancer_ips = {ip("198.51.100." + std::to_string(number))};
      service.source_ranges = {Cidr::parse("203.0.113.0/24").value()};
    }
    registry_.set_service(key, service);
  }
  void set_backends(const std::string& key, const std::vector<int>& numbers) {
    kube::EndpointSlice slice{.service = key, .family = Family::v4, .ports = {}, .endpoints = {}, .zones = {}};
    slice.ports = {{.name = "", .protocol = kube::Protocol::tcp, .port = 8080}};
    for (const auto number : numbers) slice.endpoints.push_back({.address = ip("10.77.0." + std::to_string(number))});
    registry_.set_slice(key, slice);
  }
  void remove(const std::string& key) {
    registry_.remove_service(key);
    registry_.remove_slice(key);
  }
  static std::vector<int> many(int first, int count) {
    std::vector<int> numbers;
    for (int i = 0; i < count; ++i) numbers.push_back(first + i);
    return numbers;
  }

  void adopt() { registry_.adopt(datapath_->services().value()); }
  // As the agent does it, but that it adopts before the next write.
  Result<void> write() {
    auto done = datapath_->change_services(registry_.flush());
    expect_whole();
    return done;
  }
  Result<void> retry() {
    adopt();
    return write();
  }
  // Whatever is written leads somewhere.
  void expect_whole() {
    const auto table = datapath_->services().value();
    const auto expect_set = [&](std::uint32_t set, std::uint32_t count, const service::Frontend& frontend) {
      for (std::uint32_t i = 0; i < count; ++i) {
        EXPECT_NE(behind(table, set, i), std::nullopt) << service::to_string(frontend) << " slot " << i;
      }
    };
    for (const auto& [frontend, entry] : table.frontends) expect_set(entry.set, entry.count, frontend);
    for (const auto& [frontend, entry] : table.entrances) {
      expect_set(entry.set, entry.count, frontend);
      const auto is_piece = [&](const auto& piece) { return piece.first.set == entry.set; };
      const auto pieces = std::ranges::count_if(table.maglev, is_piece);
      EXPECT_GE(pieces * service::kMaglevPiece, entry.table) << service::to_string(frontend);
    }
  }
  static std::optional<service::Backend> behind(const service::Table& table, std::uint32_t set, std::uint32_t index) {
    const auto is_slot = [=](const auto& each) { return each.first == service::Slot{.set = set, .index = index}; };
    const auto slot = std::ranges::find_if(table.slots, is_slot);
    if (slot == table.slots.end()) return std::nullopt;
    const auto is_backend = [=](const auto& each) { return each.first == slot->second && each.second.set == set; };
    const auto backend = std::ranges::find_if(table.backends, is_backend);
    return backend == table.backends.end() ? std::nullopt : std::optional(backend->second);
  }
  // Who serves at 10.96.0.N; "none" where there is no frontend.
  Addresses served(int number) {
    const auto table = datapath_->services().value();
    const auto address = ip("10.96.0." + std::to_string(number));
    const auto found =
        std::ranges::find_if(table.frontends, [&](const auto& each) { return each.first.address == address; });
    if (found == table.frontends.end()) return {"none"};
    Addresses addresses;
    for (std::uint32_t i = 0; i < found->second.count; ++i) {
      if (const auto backend = behind(table, found->second.set, i)) addresses.insert(backend->address.to_string());
    }
    return addresses;
  }
  std::optional<service::EntranceEntry> entrance(int number) {
    const auto address = ip("198.51.100." + std::to_string(number));
    const auto table = datapath_->services().value();
    for (const auto& [frontend, entry] : table.entrances) {
      if (frontend.address == address) return entry;
    }
    return std::nullopt;
  }
  static Addresses pods(const std::vector<int>& numbers) {
    Addresses addresses;
    for (const auto number : numbers) addresses.insert("10.77.0." + std::to_string(number));
    return addresses;
  }

  // Writes more into one map than fits, of a set that is no service's, and that only adopt() lets the registry know of.
  void fill(const std::string& map) {
    constexpr std::uint32_t kForeign = 900;
    service::Changes changes;
    for (std::uint32_t i = 0; i < 40; ++i) {
      const service::Frontend frontend{.address = Ip::v4(0x0a010000U + i), .port = 1};
      if (map == "frontend") changes.frontends.push_back({frontend, {.set = kForeign}});
      if (map == "entrance") changes.entrances.push_back({frontend, {.set = kForeign}});
      if (map == "slot") changes.slots.push_back({{.set = kForeign, .index = i}, 9000 + i});
      if (map == "backend") changes.backends.push_back({9000 + i, {.set = kForeign, .address = Ip::v4(i), .port = 1}});
      if (map == "maglev") changes.maglev.push_back({{.set = kForeign, .piece = i}, {9000}});
      if (map == "range") changes.ranges.push_back({.set = kForeign, .clients = Cidr::of(Ip::v4(i), 32).value()});
    }
    const auto refused = datapath_->change_services(changes);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, Code::exhausted);
    EXPECT_THAT(refused.error().message, HasSubstr("map nk_" + map));
  }

  service::Registry registry_{service::Facts{.addresses = {}, .zone = {}, .maglev = true}};
};

class EachMapFullTest : public ServicesFullTest, public testing::WithParamInterface<const char*> {};

TEST_P(EachMapFullTest, WhatFitsIsWrittenAndWhatIsGoneGoes) {
  const std::string map = GetParam();
  reopen();
  set_service("web", 1, true);
  set_backends("web", {1, 2, 3});
  set_service("db", 2);
  set_backends("db", {4});
  ASSERT_TRUE(ok(write()));
  fill(map);

  set_backends("web", {2, 3, 5});
  remove("db");
  set_service("new", 3, true);
  set_backends("new", {6, 7, 8, 9});
  const auto refused = write();
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::exhausted);
  EXPECT_THAT(refused.error().message, HasSubstr("map nk_" + map));
  EXPECT_THAT(refused.error().message, AnyOf(HasSubstr("services.max_frontends"), HasSubstr("services.max_backends")));
  EXPECT_EQ(served(1), pods({2, 3, 5}));
  EXPECT_EQ(served(2), Addresses{"none"});
  EXPECT_EQ(entrance(1).value().count, 3U);
  if (entrance(3)) {
    EXPECT_TRUE(entrance(3)->ranges);
  }
  const auto full = datapath_->services().value();
  for (const auto& [id, backend] : full.backends) {
    EXPECT_NE(backend.address, ip("10.77.0.1"));
    EXPECT_NE(backend.address, ip("10.77.0.4"));
  }

  ASSERT_TRUE(ok(retry()));
  EXPECT_EQ(served(1), pods({2, 3, 5}));
  EXPECT_EQ(served(3), pods({6, 7, 8, 9}));
  EXPECT_EQ(entrance(3).value().count, 4U);
  EXPECT_NE(entrance(3).value().table, 0U);
  const auto table = datapath_->services().value();
  EXPECT_THAT(table.ranges, SizeIs(2));
  EXPECT_THAT(table.slots, SizeIs(7));
  EXPECT_THAT(table.backends, SizeIs(7));
  adopt();
  EXPECT_TRUE(registry_.flush().empty());
}

INSTANTIATE_TEST_SUITE_P(Maps, EachMapFullTest,
                         testing::Values("frontend", "entrance", "slot", "backend", "maglev", "range"),
                         [](const auto& each) { return std::string(each.param); });

TEST_F(ServicesFullTest, OldAndNewNeedNotFitTogether) {
  reopen();
  set_service("web", 1);
  set_backends("web", many(1, 12));
  ASSERT_TRUE(ok(write()));
  set_backends("web", many(21, 12));
  EXPECT_TRUE(ok(write()));
  EXPECT_EQ(served(1), pods(many(21, 12)));
}

// Its key comes first, so that the registry names its backends first.
TEST_F(ServicesFullTest, AServiceThatIsTooLargeHoldsNobodyUp) {
  reopen();
  set_service("web", 1);
  set_backends("web", {1, 2, 3});
  set_service("db", 2);
  set_backends("db", {4, 5});
  ASSERT_TRUE(ok(write()));
  set_service("a/lot", 3);
  set_backends("a/lot", many(100, 40));
  ASSERT_FALSE(write());
  EXPECT_THAT(served(3), SizeIs(11));
  set_backends("web", {1, 6, 7});
  ASSERT_FALSE(retry());
  EXPECT_EQ(served(1), pods({1, 6, 7}));
  set_service("new", 4);
  set_backends("new", {8});
  ASSERT_FALSE(retry());
  EXPECT_EQ(served(4), Addresses{});
  remove("db");
  ASSERT_FALSE(retry());
  EXPECT_EQ(served(2), Addresses{"none"});
  EXPECT_EQ(served(4), pods({8}));
  EXPECT_EQ(served(1), pods({1, 6, 7}));
  EXPECT_THAT(served(3), SizeIs(12));
  ASSERT_FALSE(retry());
  EXPECT_EQ(served(1), pods({1, 6, 7}));

  remove("a/lot");
  ASSERT_TRUE(ok(retry()));
  EXPECT_EQ(served(3), Addresses{"none"});
  EXPECT_THAT(datapath_->services().value().backends, SizeIs(4));
  EXPECT_TRUE(registry_.flush().empty());
}

// A pod whose successor does not fit hands its slot to one that stays.
TEST_F(ServicesFullTest, NoSlotIsLeftToABackendThatIsGone) {
  reopen();
  service::Changes changes;
  const service::Frontend frontend{.address = ip("10.96.0.1"), .port = 80};
  for (std::uint32_t i = 0; i < 16; ++i) {
    changes.backends.push_back({i + 1, {.set = 1, .address = Ip::v4(0x0a4d0000U + i), .port = 80}});
  }
  changes.slots = {{{.set = 1, .index = 0}, 1}, {{.set = 1, .index = 1}, 2}};
  changes.frontends = {{frontend, {.set = 1, .count = 2}}};
  ASSERT_TRUE(ok(datapath_->change_services(changes)));
  service::Changes more;
  more.backends = {{101, {.set = 1, .address = ip("10.77.1.1"), .port = 80}},
                   {102, {.set = 1, .address = ip("10.77.1.2"), .port = 80}}};
  more.slots = {{{.set = 1, .index = 0}, 102}, {{.set = 1, .index = 2}, 101}};
  more.frontends = {{frontend, {.set = 1, .count = 3}}};
  more.gone_backends = {1};
  EXPECT_FALSE(datapath_->change_services(more));
  expect_whole();
  const auto table = datapath_->services().value();
  EXPECT_EQ(table.frontends.at(0).second.count, 3U);
  EXPECT_EQ(behind(table, 1, 0)->address, Ip::v4(0x0a4d0001U));
  // Where nobody fits the frontend refuses.
  service::Changes last;
  last.backends = {{201, {.set = 2, .address = ip("10.77.2.1"), .port = 80}}};
  last.slots = {{{.set = 2, .index = 0}, 201}};
  last.frontends = {{frontend, {.set = 2, .count = 1}}};
  EXPECT_FALSE(datapath_->change_services(last));
  EXPECT_THAT(datapath_->services().value().frontends.at(0).second, (service::FrontendEntry{.set = 2, .count = 0}));
}

// Who closes an entrance must find it closed, whether or not there is room for those who may still come in.
TEST_F(ServicesFullTest, AnEntranceWithoutItsRangesIsNotOpen) {
  reopen();
  set_service("web", 1, false);
  set_backends("web", {1, 2});
  ASSERT_TRUE(ok(write()));
  fill("range");
  set_service("web", 1, true);
  ASSERT_FALSE(write());
  ASSERT_TRUE(entrance(1).has_value());
  EXPECT_TRUE(entrance(1)->ranges);
  ASSERT_TRUE(ok(retry()));
  EXPECT_THAT(datapath_->services().value().ranges, SizeIs(1));
}

}  // namespace
}  // namespace netkite::datapath::lab
