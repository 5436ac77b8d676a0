// SPDX-License-Identifier: Apache-2.0
// What the registry makes of services that are asked for from outside.
#include <gmock/gmock.h>

#include "agent/service/maglev.hpp"
#include "agent/service/registry.hpp"
#include "agent/service/tests/fixture.hpp"

namespace netkite::service {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Key;
using ::testing::Pair;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

kube::Endpoint here(const std::string& address) {
  auto result = endpoint(address);
  result.local = true;
  return result;
}
Cidr cidr(const std::string& text) { return Cidr::parse(text).value(); }

class EntranceTest : public ::testing::Test {
 protected:
  EntranceTest() {
    service.ports[0].node_port = 30080;
    service.load_balancer_ips = {ip("203.0.113.1")};
    registry.set_facts(facts);
  }
  // The difference, carried out.
  Changes flush() {
    auto changes = registry.flush();
    maps.apply(changes);
    return changes;
  }
  Changes tell(std::initializer_list<kube::Endpoint> endpoints) {
    registry.set_service("shop/web", service);
    registry.set_slice("shop/web-1", slice_of("shop/web", endpoints));
    return flush();
  }
  void restart(std::initializer_list<kube::Endpoint> endpoints) {
    Registry next{facts};
    next.adopt(maps.table());
    next.set_service("shop/web", service);
    next.set_slice("shop/web-1", slice_of("shop/web", endpoints));
    EXPECT_TRUE(next.flush().empty());
  }

  Facts facts = facts_at({ip("192.0.2.1")});
  Registry registry{Facts{}};
  Maps maps;
  kube::Service service = service_at({"10.96.0.1"});
  const Frontend node_port = at("192.0.2.1", 30080), balancer = at("203.0.113.1", 80);
};

TEST_F(EntranceTest, SharesTheFrontendsSet) {
  service.affinity_s = 60;
  tell({endpoint("10.0.0.1"), here("10.0.0.2")});
  EXPECT_THAT(maps.entrances, UnorderedElementsAre(Key(node_port), Key(balancer)));
  const EntranceEntry expected{
      .set = maps.frontends.at(node_port).set, .count = 2, .affinity_s = 60, .keep_source = false, .ranges = false};
  EXPECT_EQ(maps.entrances.at(node_port), expected);
  EXPECT_EQ(maps.entrances.at(balancer), expected);
  restart({endpoint("10.0.0.1"), here("10.0.0.2")});
}

TEST_F(EntranceTest, PolicyLocalHasASetOfItsOwnAndKeepsTheSource) {
  service.external_local = true;
  tell({endpoint("10.0.0.1"), here("10.0.0.2")});
  EXPECT_THAT(maps.behind(balancer), ElementsAre("10.0.0.1:8080", "10.0.0.2:8080"));
  EXPECT_THAT(maps.behind_entrance(balancer), ElementsAre("10.0.0.2:8080"));
  EXPECT_TRUE(maps.entrances.at(balancer).keep_source);
  restart({endpoint("10.0.0.1"), here("10.0.0.2")});
  // The last one here goes, and those elsewhere do not help.
  tell({endpoint("10.0.0.1")});
  EXPECT_EQ(maps.entrances.at(balancer).count, 0U);
  restart({endpoint("10.0.0.1")});

  service.external_local = false;
  const auto changes = tell({endpoint("10.0.0.1")});
  EXPECT_EQ(maps.entrances.at(balancer).set, maps.frontends.at(balancer).set);
  EXPECT_THAT(changes.entrances, SizeIs(2));
  EXPECT_THAT(changes.frontends, IsEmpty());
}

TEST_F(EntranceTest, WhomAnotherNodeLeadsHereGetsAPodOfThisNode) {
  facts.overlay = true;
  registry.set_facts(facts);
  tell({endpoint("10.0.0.1"), here("10.0.0.2"), here("10.0.0.3")});
  for (auto frontend : {node_port, balancer}) {
    EXPECT_THAT(maps.behind_entrance(frontend), SizeIs(3));
    frontend.led = true;
    EXPECT_THAT(maps.behind_entrance(frontend), UnorderedElementsAre("10.0.0.2:8080", "10.0.0.3:8080"));
    EXPECT_FALSE(maps.frontends.contains(frontend)) << "no socket asks there";
  }
  EXPECT_EQ(maps.entrances.size(), 4U);
  restart({endpoint("10.0.0.1"), here("10.0.0.2"), here("10.0.0.3")});
  // Of no pod is known that it is here: another node may know more, or not yet know of its end.
  auto led = balancer;
  led.led = true;
  tell({endpoint("10.0.0.1")});
  EXPECT_THAT(maps.behind_entrance(led), ElementsAre("10.0.0.1:8080"));
  EXPECT_FALSE(maps.entrances.at(led).keep_source || maps.entrances.at(led).direct);
  restart({endpoint("10.0.0.1")});
  tell({});
  EXPECT_EQ(maps.entrances.at(led).count, 0U);
  tell({here("10.0.0.2")});
  EXPECT_THAT(maps.behind_entrance(led), ElementsAre("10.0.0.2:8080"));
  service.source_ranges = {cidr("198.51.100.0/24")};
  tell({here("10.0.0.2")});
  EXPECT_TRUE(maps.entrances.at(led).ranges);
  EXPECT_THAT(maps.ranges,
              testing::Contains(Range{.set = maps.entrances.at(led).set, .clients = cidr("198.51.100.0/24")}));
  // With policy Local no other node leads clients on.
  service.external_local = true;
  tell({here("10.0.0.2")});
  EXPECT_THAT(maps.entrances, UnorderedElementsAre(Key(node_port), Key(balancer)));
  int listed = 0;
  registry.list([&](const Listing& listing) { listed += static_cast<int>(listing.frontends.size()); });
  EXPECT_EQ(listed, 3);
}

TEST_F(EntranceTest, ClientsAreLedToOtherNodesWhenThisOneIsToldTo) {
  tell({endpoint("10.0.0.1")});
  EXPECT_FALSE(maps.entrances.at(node_port).direct);
  facts.overlay = facts.dsr = true;
  registry.set_facts(facts);
  tell({endpoint("10.0.0.1"), here("10.0.0.2")});
  EXPECT_TRUE(maps.entrances.at(node_port).direct);
  auto led = node_port;
  led.led = true;
  EXPECT_FALSE(maps.entrances.at(led).direct);
  restart({endpoint("10.0.0.1"), here("10.0.0.2")});
}

TEST_F(EntranceTest, NothingStaysOfAServiceThatGoes) {
  service.source_ranges = {cidr("198.51.100.0/24")};
  facts.maglev = facts.overlay = facts.dsr = true;
  registry.set_facts(facts);
  tell({here("10.0.0.1")});
  registry.remove_service("shop/web");
  flush();
  EXPECT_TRUE(maps.entrances.empty() && maps.ranges.empty() && maps.maglev.empty());
  EXPECT_TRUE(maps.frontends.empty() && maps.slots.empty() && maps.backends.empty());
}

TEST_F(EntranceTest, BelongsToWhomTheFrontendBelongs) {
  tell({endpoint("10.0.0.1")});
  auto other = service_at({"10.96.0.2"});
  other.created = "2025-01-01T00:00:00Z";
  other.load_balancer_ips = {ip("203.0.113.1"), ip("10.96.0.1")};
  registry.set_service("evil/x", other);
  registry.set_slice("evil/x-1", slice_of("evil/x", {endpoint("10.0.0.66")}));
  service.created = "2026-01-01T00:00:00Z";
  tell({endpoint("10.0.0.1")});
  EXPECT_THAT(maps.behind_entrance(balancer), ElementsAre("10.0.0.66:8080"));
  // A ClusterIP is nobody's entrance, whoever asks for one there.
  EXPECT_FALSE(maps.entrances.contains(at("10.96.0.1", 80)));
  registry.remove_service("evil/x");
  flush();
  EXPECT_THAT(maps.behind_entrance(balancer), ElementsAre("10.0.0.1:8080"));
}

TEST_F(EntranceTest, LeadsToTheNodeItselfAsToOthers) {
  tell({endpoint("10.0.0.1"), here("192.0.2.1")});
  EXPECT_THAT(maps.behind_entrance(node_port), UnorderedElementsAre("10.0.0.1:8080", "192.0.2.1:8080"));
  EXPECT_THAT(registry.problems(), IsEmpty());
}

TEST_F(EntranceTest, RangesAreTheSetsAndTheBalancersAlone) {
  service.source_ranges = {cidr("198.51.100.0/24"), cidr("2001:db8::/32")};
  tell({endpoint("10.0.0.1")});
  const auto set = maps.entrances.at(balancer).set;
  EXPECT_TRUE(maps.entrances.at(balancer).ranges);
  EXPECT_FALSE(maps.entrances.at(node_port).ranges);
  EXPECT_THAT(maps.ranges, ElementsAre(Range{.set = set, .clients = cidr("198.51.100.0/24")}));
  restart({endpoint("10.0.0.1")});

  service.source_ranges.push_back(cidr("192.0.2.0/25"));
  auto changes = tell({endpoint("10.0.0.1")});
  EXPECT_THAT(changes.ranges, ElementsAre(Range{.set = set, .clients = cidr("192.0.2.0/25")}));
  EXPECT_TRUE(changes.entrances.empty() && changes.gone_ranges.empty());
  service.source_ranges.clear();
  changes = tell({endpoint("10.0.0.1")});
  EXPECT_THAT(changes.gone_ranges, SizeIs(2));
  EXPECT_FALSE(maps.entrances.at(balancer).ranges);
}

// As where the balancer runs on the nodes.
TEST_F(EntranceTest, RangesLeaveNodePortsOpenAtTheBalancersAddress) {
  service.source_ranges = {cidr("198.51.100.0/24")};
  service.load_balancer_ips = {node_port.address};
  tell({endpoint("10.0.0.1")});
  EXPECT_FALSE(maps.entrances.at(node_port).ranges);
  EXPECT_TRUE(maps.entrances.at({.address = node_port.address, .port = balancer.port}).ranges);
}

TEST_F(EntranceTest, RangesOfOneFamilyDoNotCloseTheOther) {
  service.source_ranges = {cidr("198.51.100.0/24")};
  tell({endpoint("10.0.0.1")});
  EXPECT_TRUE(maps.entrances.at(balancer).ranges);
  service.source_ranges = {cidr("2001:db8::/32")};
  const auto changes = tell({endpoint("10.0.0.1")});
  EXPECT_THAT(changes.gone_ranges, SizeIs(1));
  EXPECT_FALSE(maps.entrances.at(balancer).ranges);
  EXPECT_TRUE(maps.ranges.empty());
}

TEST_F(EntranceTest, TablesAreOnlyThereWhereTheyAreAskedForAndEntered) {
  auto inner = service_at({"10.96.0.2"});
  registry.set_service("shop/inner", inner);
  registry.set_slice("shop/inner-1", slice_of("shop/inner", {endpoint("10.0.0.9")}));
  tell({endpoint("10.0.0.1")});
  EXPECT_THAT(maps.maglev, IsEmpty());
  EXPECT_EQ(maps.entrances.at(balancer).table, 0U);

  facts.maglev = true;
  registry.set_facts(facts);
  const auto changes = flush();
  EXPECT_EQ(maps.entrances.at(balancer).table, 251U);
  EXPECT_THAT(changes.maglev, SizeIs(4));
  EXPECT_TRUE(changes.backends.empty() && changes.slots.empty() && changes.frontends.empty());
  for (const auto& [piece, backends] : maps.maglev) EXPECT_EQ(piece.set, maps.entrances.at(balancer).set);

  facts.maglev = false;
  registry.set_facts(facts);
  EXPECT_THAT(flush().gone_maglev, SizeIs(4));
  EXPECT_EQ(maps.entrances.at(balancer).table, 0U);
}

TEST_F(EntranceTest, OnlyPiecesThatChangeAreWritten) {
  facts.maglev = true;
  registry.set_facts(facts);
  tell({endpoint("10.0.0.1"), endpoint("10.0.0.2"), endpoint("10.0.0.3")});
  EXPECT_THAT(maps.maglev, SizeIs(16));
  restart({endpoint("10.0.0.3"), endpoint("10.0.0.2"), endpoint("10.0.0.1")});
  // The table does not depend on it.
  service.affinity_s = 5;
  EXPECT_THAT(tell({endpoint("10.0.0.1"), endpoint("10.0.0.2"), endpoint("10.0.0.3")}).maglev, IsEmpty());
  // Smaller and larger ones, with somebody looking at each step.
  EXPECT_THAT(tell({endpoint("10.0.0.1"), endpoint("10.0.0.2")}).gone_maglev, SizeIs(12));
  EXPECT_THAT(tell({endpoint("10.0.0.1"), endpoint("10.0.0.2"), endpoint("10.0.0.4")}).maglev, SizeIs(16));
  EXPECT_THAT(tell({}).gone_maglev, SizeIs(16));
  EXPECT_EQ(maps.entrances.at(balancer).table, 0U);
}

TEST_F(EntranceTest, WhatAnotherProcessHasLeftIsSetRight) {
  facts.maglev = true;
  service.source_ranges = {cidr("198.51.100.0/24")};
  registry.set_facts(facts);
  tell({endpoint("10.0.0.1")});
  const auto before = maps.table();
  const auto set = maps.entrances.at(balancer).set;
  // Half a table, a range too few and one too many, and what belongs to no set.
  maps.maglev.erase({.set = set, .piece = 1});
  maps.maglev.at({.set = set, .piece = 2}).assign(kMaglevPiece, 99);
  maps.maglev[{.set = 77, .piece = 0}].assign(kMaglevPiece, 1);
  maps.ranges = {{.set = set, .clients = cidr("0.0.0.0/0")}, {.set = 78, .clients = cidr("::/0")}};
  maps.entrances[at("203.0.113.9", 80)] = {.set = 79};
  registry.adopt(maps.table());
  maps.apply_unseen(registry.flush());
  const auto after = maps.table();
  EXPECT_EQ(after.maglev, before.maglev);
  EXPECT_EQ(after.ranges, before.ranges);
  EXPECT_EQ(after.entrances, before.entrances);
  EXPECT_EQ(after.backends, before.backends);
  // Numbers that somebody has seen are not given again.
  tell({endpoint("10.0.0.2")});
  EXPECT_THAT(maps.backends, ElementsAre(Key(100)));
}

TEST_F(EntranceTest, HealthChecksCountWhatIsReadyHere) {
  service.space = "shop";
  service.name = "web";
  service.health_check_port = 32000;
  tell({here("10.0.0.1")});
  EXPECT_THAT(registry.health_checks(), IsEmpty());
  service.external_local = true;
  auto ending = here("10.0.0.3");
  ending.ready = false;
  ending.terminating = true;
  tell({here("10.0.0.1"), endpoint("10.0.0.2"), ending});
  const HealthCheck one{.space = "shop", .name = "web", .endpoints = 1};
  EXPECT_THAT(registry.health_checks(), ElementsAre(Pair(32000, one)));
  // They still serve, but no new clients are to come.
  tell({endpoint("10.0.0.2"), ending});
  EXPECT_EQ(registry.health_checks().at(32000).endpoints, 0U);
  EXPECT_EQ(maps.entrances.at(balancer).count, 1U);
  registry.remove_service("shop/web");
  flush();
  EXPECT_THAT(registry.health_checks(), IsEmpty());
}

TEST_F(EntranceTest, IsListed) {
  const auto accesses = [this] {
    std::vector<std::string> texts;
    registry.list([&texts](const Listing& listing) {
      for (const auto& each : listing.frontends) {
        const std::string access = !each.access ? "no" : *each.access == Scope::local ? "local" : "cluster";
        texts.push_back(std::string(to_string(each.kind)) + " " + access);
      }
    });
    return texts;
  };
  tell({endpoint("10.0.0.1")});
  EXPECT_THAT(accesses(), ElementsAre("ClusterIP no", "NodePort cluster", "LoadBalancer cluster"));
  service.external_local = true;
  tell({here("10.0.0.1")});
  EXPECT_THAT(accesses(), ElementsAre("ClusterIP no", "NodePort local", "LoadBalancer local"));
}

// A ClusterIP leads to the node as well, but nobody from outside.
TEST_F(EntranceTest, WhoIsLedToTheNodeItselfIsTold) {
  EXPECT_FALSE(tell({endpoint("10.0.0.1")}).enters_node);
  EXPECT_TRUE(tell({endpoint("10.0.0.1"), here("192.0.2.1")}).enters_node);
  service = service_at({"10.96.0.1"});
  EXPECT_FALSE(tell({endpoint("10.0.0.1"), here("192.0.2.1")}).enters_node);
}

}  // namespace
}  // namespace netkite::service
