// SPDX-License-Identifier: Apache-2.0
#include "agent/endpoint/store.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

namespace netkite::endpoint {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

Endpoint sample() {
  Endpoint endpoint;
  endpoint.attachment = {.network = "net", .container_id = "c1", .ifname = "eth0"};
  endpoint.state = State::ready;
  endpoint.id = 7;
  endpoint.device = wire::DeviceMode::netkit_l2;
  endpoint.host_ifname = wire::host_ifname(endpoint.attachment);
  endpoint.host_ifindex = 12;
  endpoint.pod_ifindex = 2;
  endpoint.addresses = {Ip::parse("10.0.0.5").value(), Ip::parse("fd00::5").value()};
  endpoint.pod_mac = Mac::parse("02:00:00:00:00:01").value();
  endpoint.host_mac = Mac::parse("02:00:00:00:00:02").value();
  endpoint.netns = {.device = 4, .inode = 4026531840};
  endpoint.netns_path = "/run/netns/x";
  endpoint.pod_namespace = "default";
  endpoint.pod_name = "web \"1\"";
  endpoint.pod_uid = "u-1";
  endpoint.stack_path = true;
  endpoint.bandwidth = {.ingress_rate = 1000, .ingress_burst = 1, .egress_rate = 2000, .egress_burst = 2};
  endpoint.host_ports = {wire::parse_port_mapping("8080:80/tcp").value()};
  endpoint.order = 5;
  return endpoint;
}

class StoreTest : public ::testing::Test {
 protected:
  StoreTest() {
    char name[] = "/tmp/netkite-store-XXXXXX";
    directory_ = ::mkdtemp(name);
  }
  ~StoreTest() override { std::filesystem::remove_all(directory_); }
  [[nodiscard]] std::string file(const std::string& name) const { return directory_ + "/endpoints/" + name; }
  Store::Contents load() { return Store(directory_).load().value(); }

  std::string directory_;
};

TEST_F(StoreTest, GivesBackWhatWasSaved) {
  EXPECT_THAT(load().endpoints, IsEmpty());
  const auto saved = sample();
  ASSERT_TRUE(Store(directory_).save(saved));
  const auto contents = load();
  EXPECT_THAT(contents.problems, IsEmpty());
  ASSERT_THAT(contents.endpoints, SizeIs(1));
  const auto& back = contents.endpoints[0];
  EXPECT_EQ(to_json(back), to_json(saved));
  EXPECT_EQ(back.attachment, saved.attachment);
  EXPECT_EQ(back.addresses, saved.addresses);
  EXPECT_EQ(back.netns, saved.netns);
  EXPECT_EQ(back.pod_mac, saved.pod_mac);
  EXPECT_EQ(back.pod_name, saved.pod_name);
  EXPECT_EQ(back.bandwidth, saved.bandwidth);
  EXPECT_EQ(back.host_ports, saved.host_ports);
}

TEST_F(StoreTest, RowsFromBeforeLimitsHaveNone) {
  auto row = to_json(sample());
  row.erase("bandwidth");
  const auto old = from_json(row);
  ASSERT_TRUE(old) << old.error().message;
  EXPECT_EQ(old->bandwidth, wire::Bandwidth());
  row["bandwidth"] = {{"egress_rate", 2000}};
  const auto half = from_json(row);
  ASSERT_FALSE(half);
  EXPECT_THAT(half.error().message, HasSubstr("bandwidth: egress_burst must be from 1"));
}

TEST_F(StoreTest, SavingAgainReplacesAndRemovingTolerates) {
  const Store store(directory_);
  ASSERT_TRUE(store.load());
  auto endpoint = sample();
  ASSERT_TRUE(store.save(endpoint));
  endpoint.state = State::removing;
  ASSERT_TRUE(store.save(endpoint));
  auto rows = load().endpoints;
  ASSERT_THAT(rows, SizeIs(1));
  EXPECT_EQ(rows[0].state, State::removing);
  EXPECT_TRUE(store.remove(endpoint.host_ifname));
  EXPECT_TRUE(store.remove(endpoint.host_ifname));
  EXPECT_THAT(load().endpoints, IsEmpty());
  EXPECT_TRUE(std::filesystem::is_empty(directory_ + "/endpoints"));
}

TEST_F(StoreTest, AWriteThatWasCutShortLeavesTheRowBefore) {
  const Store store(directory_);
  ASSERT_TRUE(store.load());
  auto endpoint = sample();
  ASSERT_TRUE(store.save(endpoint));
  const auto path = file(endpoint.host_ifname + ".json");
  const auto first_line = std::filesystem::file_size(path);
  endpoint.state = State::removing;
  ASSERT_TRUE(store.save(endpoint));
  const auto both_lines = std::filesystem::file_size(path);
  for (auto size = both_lines - 1; size >= first_line; --size) {
    std::filesystem::resize_file(path, size);
    const auto rows = load().endpoints;
    ASSERT_THAT(rows, SizeIs(1)) << size;
    EXPECT_EQ(rows[0].state, State::ready) << size;
  }
  std::filesystem::resize_file(path, first_line + 5);
  ASSERT_TRUE(store.save(endpoint));
  EXPECT_EQ(load().endpoints.at(0).state, State::removing);
}

TEST_F(StoreTest, RowsAreForRootAlone) {
  const Store store(directory_);
  ASSERT_TRUE(store.load());
  ASSERT_TRUE(store.save(sample()));
  struct stat status{};
  ASSERT_EQ(::stat(file(sample().host_ifname + ".json").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777U, 0600U);
}

TEST_F(StoreTest, SetsAsideWhatItCannotRead) {
  const Store store(directory_);
  ASSERT_TRUE(store.load());
  ASSERT_TRUE(store.save(sample()));
  std::ofstream(file("nk000000000001.json")) << "{\"attachment\": ";
  std::ofstream(file("nk000000000002.json")) << "[]";
  std::ofstream(file("nk000000000003.json")) << to_json(sample()).dump();  // another one's row
  std::ofstream(file("nk000000000004.json")) << "\n{";
  std::ofstream(file("nk000000000006.json")) << "";  // made, and never written: nothing to set aside
  auto zero = to_json(sample());
  zero["id"] = 0;
  zero["host_ifname"] = "nk000000000005";
  std::ofstream(file("nk000000000005.json")) << zero.dump();

  const auto contents = load();
  EXPECT_THAT(contents.endpoints, SizeIs(1));
  EXPECT_THAT(contents.problems, SizeIs(5));
  for (const auto& line : contents.problems) EXPECT_THAT(line, HasSubstr(".json.corrupt: "));
  EXPECT_TRUE(std::filesystem::exists(file("nk000000000001.json.corrupt")));
  for (const char* gone : {"nk000000000001.json", "nk000000000006.json", "nk000000000006.json.corrupt"}) {
    EXPECT_FALSE(std::filesystem::exists(file(gone)));
  }
  EXPECT_THAT(load().problems, IsEmpty());
}

TEST_F(StoreTest, MissingFieldsAreRefusedByName) {
  const auto whole = to_json(sample());
  for (const auto& [key, value] : whole.items()) {
    auto json = whole;
    json.erase(key);
    // Agents that had no such fields have left rows.
    EXPECT_EQ(from_json(json).has_value(), key == "bandwidth" || key == "host_ports" || key == "order") << key;
    json[key] = nullptr;
    EXPECT_FALSE(from_json(json)) << key;
  }
  auto json = whole;
  json["state"] = "asleep";
  const auto bad = from_json(json);
  ASSERT_FALSE(bad);
  EXPECT_THAT(bad.error().message, HasSubstr("asleep"));
}

TEST_F(StoreTest, FailsWithoutAFolder) {
  const auto saved = Store(directory_ + "/nowhere").save(sample());
  ASSERT_FALSE(saved);
  EXPECT_THAT(saved.error().message, HasSubstr("ledger"));
}

}  // namespace
}  // namespace netkite::endpoint
