// SPDX-License-Identifier: Apache-2.0
#include "agent/service/registry.hpp"

#include <gmock/gmock.h>

#include "agent/service/tests/fixture.hpp"

namespace netkite::service {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

class RegistryTest : public ::testing::Test {
 protected:
  // The difference, carried out.
  Changes flush() {
    auto changes = registry.flush();
    maps.apply(changes);
    return changes;
  }
  void set_endpoints(std::initializer_list<kube::Endpoint> endpoints) {
    registry.set_slice("shop/web-1", slice_of("shop/web", endpoints));
  }

  Registry registry{Facts{}};
  Maps maps;
  const Frontend web = at("10.96.0.1", 80);
};

TEST_F(RegistryTest, AServiceAndItsEndpointsComeInAnyOrder) {
  set_endpoints({endpoint("10.0.0.1"), endpoint("10.0.0.2")});
  EXPECT_TRUE(flush().empty());
  registry.set_service("shop/web", service_at({"10.96.0.1"}));
  flush();
  EXPECT_THAT(maps.behind(web), ElementsAre("10.0.0.1:8080", "10.0.0.2:8080"));
  registry.remove_slice("shop/web-1");
  flush();
  EXPECT_THAT(maps.behind(web), IsEmpty());
  set_endpoints({endpoint("10.0.0.3")});
  flush();
  EXPECT_THAT(maps.behind(web), ElementsAre("10.0.0.3:8080"));
}

TEST_F(RegistryTest, AServiceWithoutEndpointsRefuses) {
  registry.set_service("shop/web", service_at({"10.96.0.1"}));
  flush();
  ASSERT_TRUE(maps.frontends.contains(web));
  EXPECT_NE(maps.frontends[web].set, 0U);
  EXPECT_EQ(maps.frontends[web].count, 0U);
}

TEST_F(RegistryTest, NothingStaysOfAServiceThatGoes) {
  registry.set_service("shop/web", service_at({"10.96.0.1"}));
  set_endpoints({endpoint("10.0.0.1")});
  flush();
  registry.remove_service("shop/web");
  flush();
  EXPECT_THAT(maps.frontends, IsEmpty());
  EXPECT_THAT(maps.slots, IsEmpty());
  EXPECT_THAT(maps.backends, IsEmpty());
  // Its slice may be late.
  registry.remove_slice("shop/web-1");
  registry.remove_service("shop/web");
  registry.remove_slice("shop/web-1");
  EXPECT_TRUE(flush().empty());
}

TEST_F(RegistryTest, WhatIsSaidAgainChangesNothing) {
  registry.set_service("shop/web", service_at({"10.96.0.1"}));
  set_endpoints({endpoint("10.0.0.1")});
  flush();
  registry.set_service("shop/web", service_at({"10.96.0.1"}));
  set_endpoints({endpoint("10.0.0.1")});
  registry.set_facts({});
  EXPECT_TRUE(flush().empty());
}

TEST_F(RegistryTest, ANewcomerIsOneBackendOneSlotAndOneCount) {
  registry.set_service("shop/web", service_at({"10.96.0.1"}));
  set_endpoints({endpoint("10.0.0.2"), endpoint("10.0.0.3")});
  flush();
  set_endpoints({endpoint("10.0.0.1"), endpoint("10.0.0.2"), endpoint("10.0.0.3")});
  const auto changes = flush();
  EXPECT_THAT(changes.backends, SizeIs(1));
  EXPECT_THAT(changes.slots, SizeIs(1));
  EXPECT_THAT(changes.frontends, SizeIs(1));
  EXPECT_THAT(maps.behind(web), ElementsAre("10.0.0.2:8080", "10.0.0.3:8080", "10.0.0.1:8080"));
}

TEST_F(RegistryTest, TheLastOneMovesIntoAHole) {
  registry.set_service("shop/web", service_at({"10.96.0.1"}));
  set_endpoints({endpoint("10.0.0.1"), endpoint("10.0.0.2"), endpoint("10.0.0.3")});
  flush();
  set_endpoints({endpoint("10.0.0.2"), endpoint("10.0.0.3")});
  const auto changes = flush();
  EXPECT_THAT(changes.backends, IsEmpty());
  EXPECT_THAT(changes.slots, SizeIs(1));
  EXPECT_THAT(changes.gone_slots, SizeIs(1));
  EXPECT_THAT(changes.gone_backends, SizeIs(1));
  EXPECT_THAT(maps.behind(web), ElementsAre("10.0.0.3:8080", "10.0.0.2:8080"));
}

TEST_F(RegistryTest, ASuccessorTakesThePlaceAndNotTheIdentifier) {
  registry.set_service("shop/web", service_at({"10.96.0.1"}));
  set_endpoints({endpoint("10.0.0.1"), endpoint("10.0.0.2")});
  flush();
  set_endpoints({endpoint("10.0.0.2"), endpoint("10.0.0.3")});
  const auto changes = flush();
  EXPECT_THAT(changes.slots, SizeIs(1));
  EXPECT_THAT(changes.frontends, IsEmpty());
  EXPECT_THAT(maps.behind(web), ElementsAre("10.0.0.3:8080", "10.0.0.2:8080"));
  // One that comes back is another one.
  set_endpoints({endpoint("10.0.0.2"), endpoint("10.0.0.1")});
  flush();
  EXPECT_THAT(maps.backends, ElementsAre(::testing::Key(2), ::testing::Key(4)));
}

TEST_F(RegistryTest, FrontendsOfAPortShareItsSet) {
  auto service = service_at({"10.96.0.1"});
  service.ports[0].node_port = 30080;
  service.affinity_s = 60;
  registry.set_facts(facts_at({ip("192.0.2.1")}));
  registry.set_service("shop/web", service);
  set_endpoints({endpoint("10.0.0.1")});
  flush();
  EXPECT_EQ(maps.frontends.at(web), maps.frontends.at(at("192.0.2.1", 30080)));
  EXPECT_EQ(maps.frontends.at(web).affinity_s, 60U);
  // The node's address changes, and nothing else does.
  registry.set_facts(facts_at({ip("192.0.2.2")}));
  const auto changes = flush();
  EXPECT_THAT(changes.frontends, ElementsAre(::testing::Key(at("192.0.2.2", 30080))));
  EXPECT_THAT(changes.gone_frontends, ElementsAre(at("192.0.2.1", 30080)));
  EXPECT_TRUE(changes.backends.empty() && changes.slots.empty() && changes.gone_backends.empty());
}

TEST_F(RegistryTest, ARenamedPortKeepsItsSet) {
  auto service = service_at({"10.96.0.1"});
  registry.set_service("shop/web", service);
  set_endpoints({endpoint("10.0.0.1")});
  flush();
  auto slice = slice_of("shop/web", {endpoint("10.0.0.1")});
  service.ports[0].name = slice.ports[0].name = "web";
  registry.set_service("shop/web", service);
  registry.set_slice("shop/web-1", slice);
  EXPECT_TRUE(flush().empty());
}

TEST_F(RegistryTest, ASliceMayChangeItsService) {
  registry.set_service("shop/web", service_at({"10.96.0.1"}));
  registry.set_service("shop/new", service_at({"10.96.0.2"}));
  set_endpoints({endpoint("10.0.0.1")});
  flush();
  registry.set_slice("shop/web-1", slice_of("shop/new", {endpoint("10.0.0.1")}));
  flush();
  EXPECT_THAT(maps.behind(web), IsEmpty());
  EXPECT_THAT(maps.behind(at("10.96.0.2", 80)), ElementsAre("10.0.0.1:8080"));
}

TEST_F(RegistryTest, TheOldestHoldsAFrontendThenTheFirst) {
  const auto add = [this](const std::string& key, const char* address, const char* created) {
    auto service = service_at({address});
    service.external_ips = {ip("198.51.100.1")};
    service.created = created;
    registry.set_service(key, service);
    registry.set_slice(key, slice_of(key, {endpoint("10.0.0." + std::string(1, key.back()))}));
    flush();
  };
  const auto shared = at("198.51.100.1", 80);
  add("a/2", "10.96.0.2", "2026-01-02T00:00:00Z");
  EXPECT_THAT(registry.problems(), IsEmpty());
  add("a/3", "10.96.0.3", "2026-01-02T00:00:00Z");
  EXPECT_THAT(maps.behind(shared), ElementsAre("10.0.0.2:8080"));
  add("b/1", "10.96.0.1", "2026-01-01T00:00:00Z");
  EXPECT_THAT(maps.behind(shared), ElementsAre("10.0.0.1:8080"));
  EXPECT_THAT(registry.problems(), UnorderedElementsAre("service a/2: 198.51.100.1:80/TCP is held by service b/1",
                                                        "service a/3: 198.51.100.1:80/TCP is held by service b/1"));
  registry.remove_service("b/1");
  EXPECT_THAT(registry.problems(), SizeIs(2));  // nothing has been flushed
  flush();
  EXPECT_THAT(maps.behind(shared), ElementsAre("10.0.0.2:8080"));
  EXPECT_THAT(registry.problems(), ElementsAre("service a/3: 198.51.100.1:80/TCP is held by service a/2"));
  registry.remove_service("a/2");
  flush();
  EXPECT_THAT(maps.behind(shared), ElementsAre("10.0.0.3:8080"));
  EXPECT_THAT(registry.problems(), IsEmpty());
}

TEST_F(RegistryTest, NobodyTakesAnothersClusterIpAway) {
  auto thief = service_at({"10.96.0.2"});
  thief.created = "2025-01-01T00:00:00Z";
  thief.external_ips = {ip("10.96.0.1")};
  registry.set_service("evil/x", thief);
  registry.set_slice("evil/x", slice_of("evil/x", {endpoint("10.0.0.66")}));
  auto service = service_at({"10.96.0.1"});
  service.created = "2026-01-01T00:00:00Z";
  registry.set_service("shop/web", service);
  set_endpoints({endpoint("10.0.0.1")});
  flush();
  EXPECT_THAT(maps.behind(web), ElementsAre("10.0.0.1:8080"));
  EXPECT_THAT(registry.problems(), ElementsAre("service evil/x: 10.96.0.1:80/TCP is held by service shop/web"));
}

TEST_F(RegistryTest, AnotherProcessGoesOnWithTheSameIdentifiers) {
  const auto fill = [](Registry& each) {
    auto service = service_at({"10.96.0.1", "fd00::1"});
    service.ports.push_back({.name = "admin", .protocol = kTcp, .port = 81, .node_port = 0});
    each.set_service("shop/web", service);
    each.set_slice("shop/web-1", slice_of("shop/web", {endpoint("10.0.0.1"), endpoint("10.0.0.2")}));
    each.set_slice("shop/web-2", slice_of("shop/web", {endpoint("fd01::1")}));
  };
  fill(registry);
  flush();
  Registry next{Facts{}};
  next.adopt(maps.table());
  fill(next);
  EXPECT_TRUE(next.flush().empty());
  // New ones begin behind the largest.
  next.set_slice("shop/web-1", slice_of("shop/web", {endpoint("10.0.0.3")}));
  maps.apply(next.flush());
  EXPECT_THAT(maps.behind(web), ElementsAre("10.0.0.3:8080"));
  EXPECT_EQ(maps.backends.rbegin()->first, 4U);
}

TEST_F(RegistryTest, AnotherProcessGivesNoNumberOfWhoHasGoneAgain) {
  auto left = maps.table();
  left.highest = 41;
  registry.adopt(left);
  registry.set_service("shop/web", service_at({"10.96.0.1"}));
  set_endpoints({endpoint("10.0.0.1")});
  flush();
  EXPECT_EQ(maps.backends.begin()->first, 42U);
  EXPECT_EQ(maps.frontends.at(web).set, 42U);
}

TEST_F(RegistryTest, WhatNobodyWantsAnyMoreGoesWithTheFirstFlush) {
  registry.set_service("shop/old", service_at({"10.96.0.9"}));
  registry.set_slice("shop/old", slice_of("shop/old", {endpoint("10.0.0.9")}));
  registry.set_service("shop/web", service_at({"10.96.0.1"}));
  set_endpoints({endpoint("10.0.0.1"), endpoint("10.0.0.2")});
  flush();
  const auto kept = maps.slots.at({.set = maps.frontends.at(web).set, .index = 1});
  Registry next{Facts{}};
  next.adopt(maps.table());
  next.set_service("shop/web", service_at({"10.96.0.1"}));
  next.set_slice("shop/web-1", slice_of("shop/web", {endpoint("10.0.0.2")}));
  maps.apply(next.flush());
  EXPECT_THAT(maps.frontends, ElementsAre(::testing::Key(web)));
  EXPECT_THAT(maps.slots, ElementsAre(::testing::Pair(Slot{.set = maps.frontends.at(web).set, .index = 0}, kept)));
  EXPECT_THAT(maps.backends, ElementsAre(::testing::Key(kept)));
}

TEST_F(RegistryTest, MapsThatMakeNoSenseAreSetRight) {
  maps.frontends = {{web, {.set = 7, .count = 9, .affinity_s = 5}}, {at("10.96.0.2", 80), {.set = 0, .count = 1}}};
  maps.backends = {{0, {.set = 7, .address = ip("10.0.0.1"), .port = 8080}},
                   {3, {.set = 7, .address = ip("10.0.0.1"), .port = 8080}},
                   {5, {.set = 7, .address = ip("10.0.0.1"), .port = 8080}},
                   {6, {.set = 8, .address = ip("10.0.0.2"), .port = 8080}}};
  // A backend twice, one of another set, and one that is not there.
  maps.slots = {{{7, 0}, 6}, {{7, 1}, 3}, {{7, 3}, 3}, {{7, 4}, 99}, {{0, 0}, 3}, {{9, 9}, 0}};
  registry.adopt(maps.table());
  registry.set_service("shop/web", service_at({"10.96.0.1"}));
  set_endpoints({endpoint("10.0.0.1"), endpoint("10.0.0.2")});
  maps.apply_unseen(registry.flush());
  EXPECT_THAT(maps.behind(web), ElementsAre("10.0.0.2:8080", "10.0.0.1:8080"));
  EXPECT_THAT(maps.frontends, SizeIs(1));
  EXPECT_THAT(maps.slots, ElementsAre(::testing::Pair(Slot{7, 0}, 100), ::testing::Pair(Slot{7, 1}, 3)));
  EXPECT_THAT(maps.backends, ElementsAre(::testing::Key(3), ::testing::Key(100)));
}

TEST_F(RegistryTest, AnEndpointServesToItsEndWhomItsServiceHasSent) {
  auto ending = endpoint("10.0.0.1");
  ending.ready = false;
  ending.terminating = true;
  auto broken = endpoint("10.0.0.2");
  broken.ready = broken.serving = false;
  auto published = endpoint("10.0.0.4");
  published.serving = false;
  const auto asked = at("10.96.0.1", 80), other = at("10.96.0.2", 80);
  registry.set_service("shop/web", service_at({"10.96.0.1"}));
  registry.set_service("shop/other", service_at({"10.96.0.2"}));
  registry.set_slice("shop/web-1", slice_of("shop/web", {ending, broken, endpoint("10.0.0.3"), published}));
  registry.set_slice("shop/other-1", slice_of("shop/other", {endpoint("10.0.0.5")}));
  flush();
  for (const auto* there : {"10.0.0.1", "10.0.0.3", "10.0.0.4"})
    EXPECT_TRUE(registry.serves(asked, ip(there), 8080)) << there;
  EXPECT_FALSE(registry.serves(asked, ip("10.0.0.2"), 8080));
  EXPECT_FALSE(registry.serves(asked, ip("10.0.0.3"), 80)) << "the service's port";
  EXPECT_FALSE(registry.serves(asked, ip("10.0.0.5"), 8080)) << "another service's";
  EXPECT_TRUE(registry.serves(other, ip("10.0.0.5"), 8080));
  EXPECT_FALSE(registry.serves(at("10.96.0.1", 80, kUdp), ip("10.0.0.3"), 8080));
  registry.remove_slice("shop/web-1");
  EXPECT_FALSE(registry.serves(asked, ip("10.0.0.1"), 8080));
}

TEST_F(RegistryTest, IsListed) {
  auto first = service_at({"10.96.0.1"});
  first.ports[0].node_port = 30080;
  registry.set_facts(facts_at({ip("192.0.2.1")}));
  registry.set_service("shop/web", first);
  auto second = service_at({"10.96.0.2"});
  second.external_ips = {ip("10.96.0.1")};
  registry.set_service("shop/x", second);
  set_endpoints({endpoint("10.0.0.1")});
  registry.set_slice("shop/none-1", slice_of("shop/none", {endpoint("10.0.0.1")}));
  registry.set_service("shop/gone", service_at({"10.96.0.3"}));
  flush();
  registry.remove_service("shop/gone");
  std::vector<std::string> lines;
  registry.list([&lines](const Listing& listing) {
    for (const auto& each : listing.frontends) {
      auto line = listing.key + " " + std::string(to_string(each.kind)) + " " + to_string(each.frontend);
      if (!each.held) line += " not held";
      for (const auto& backend : each.backends) {
        line += " " + text_of(backend.address, backend.port) + " " + std::string(to_string(backend.state));
      }
      lines.push_back(line);
    }
  });
  EXPECT_THAT(lines, ElementsAre("shop/web ClusterIP 10.96.0.1:80/TCP 10.0.0.1:8080 ready",
                                 "shop/web NodePort 192.0.2.1:30080/TCP 10.0.0.1:8080 ready",
                                 "shop/x ClusterIP 10.96.0.2:80/TCP", "shop/x ExternalIP 10.96.0.1:80/TCP not held"));
}

TEST(RegistryScale, OneChangeAmongTenThousandServicesTouchesItsOwnAlone) {
  Registry registry{Facts{}};
  const auto key = [](unsigned i) { return "namespace-" + std::to_string(i % 100) + "/service-" + std::to_string(i); };
  const auto slice = [&key](unsigned i, unsigned count) {
    auto result = slice_of(key(i), {});
    for (unsigned j = 0; j < count; ++j) result.endpoints.push_back({.address = Ip::v4(0x0a000000U + i * 16 + j)});
    return result;
  };
  for (unsigned i = 0; i < 10'000; ++i) {
    auto service = service_at({});
    service.cluster_ips = {Ip::v4(0xc0000000U + i)};
    registry.set_service(key(i), service);
    registry.set_slice(key(i) + "-1", slice(i, 10));
  }
  Maps maps;
  maps.apply_unseen(registry.flush());
  EXPECT_THAT(maps.frontends, SizeIs(10'000));
  EXPECT_THAT(maps.slots, SizeIs(100'000));
  EXPECT_THAT(maps.backends, SizeIs(100'000));
  registry.set_slice(key(5000) + "-1", slice(5000, 11));
  const auto changes = registry.flush();
  EXPECT_THAT(changes.backends, SizeIs(1));
  EXPECT_THAT(changes.slots, SizeIs(1));
  EXPECT_THAT(changes.frontends, SizeIs(1));
  maps.apply_unseen(changes);
  EXPECT_THAT(maps.behind({.address = Ip::v4(0xc0000000U + 5000), .port = 80, .protocol = kTcp}), SizeIs(11));
  registry.adopt(maps.table());
  EXPECT_TRUE(registry.flush().empty());
}

}  // namespace
}  // namespace netkite::service
