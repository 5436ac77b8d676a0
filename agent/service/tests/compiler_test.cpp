// SPDX-License-Identifier: Apache-2.0
#include "agent/service/compiler.hpp"

#include <gmock/gmock.h>

#include <algorithm>

#include "agent/service/tests/fixture.hpp"

namespace netkite::service {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

constexpr SetKey kCluster{.port = 80, .protocol = kTcp, .family = Family::v4, .scope = Scope::cluster};
constexpr SetKey kLocal{.port = 80, .protocol = kTcp, .family = Family::v4, .scope = Scope::local};

kube::Endpoint starting(const std::string& address) {
  auto result = endpoint(address);
  result.ready = result.serving = false;
  return result;
}
// Still answers, or not any more.
kube::Endpoint ending(const std::string& address, bool serving = true) {
  auto result = endpoint(address);
  result.ready = false;
  result.serving = serving;
  result.terminating = true;
  return result;
}
kube::Endpoint local(kube::Endpoint endpoint) {
  endpoint.local = true;
  return endpoint;
}
kube::Endpoint hinted(const std::string& address, std::uint32_t zones) {
  auto result = endpoint(address);
  result.zones = zones;
  return result;
}

std::vector<std::string> targets(const kube::Service& service, std::initializer_list<kube::EndpointSlice> slices,
                                 const SetKey& set = kCluster, const std::string& zone = "") {
  std::vector<const kube::EndpointSlice*> pointers;
  for (const auto& slice : slices) pointers.push_back(&slice);
  std::vector<std::string> texts;
  for (const auto& each : targets_of(service, pointers, set, zone)) texts.push_back(text_of(each.address, each.port));
  return texts;
}
std::vector<std::string> targets(std::initializer_list<kube::Endpoint> endpoints, const SetKey& set = kCluster) {
  return targets(service_at({"10.96.0.1"}), {slice_of("a/b", endpoints)}, set);
}

std::vector<std::string> frontends(const kube::Service& service, const Facts& facts = {}) {
  std::vector<std::string> texts;
  for (const auto& each : frontends_of(service, facts)) {
    texts.push_back(std::string(to_string(each.kind)) + " " + to_string(each.frontend) + " " +
                    std::to_string(each.set.port) + (each.set.scope == Scope::local ? " local" : ""));
  }
  return texts;
}

// "198.51.100.1:80/TCP 80 local ranges"
std::vector<std::string> entrances(const kube::Service& service, const Facts& facts) {
  std::vector<std::string> texts;
  for (const auto& each : frontends_of(service, facts)) {
    if (!each.entrance) continue;
    const auto& [set, ranges] = *each.entrance;
    texts.push_back(to_string(each.frontend) + " " + std::to_string(set.port) +
                    (set.scope == Scope::local ? " local" : "") + (ranges ? " ranges" : ""));
  }
  return texts;
}

TEST(Targets, AreThoseThatAreReady) {
  EXPECT_THAT(targets({starting("10.0.0.3"), endpoint("10.0.0.2"), ending("10.0.0.4"), endpoint("10.0.0.1")}),
              ElementsAre("10.0.0.1:8080", "10.0.0.2:8080"));
}

TEST(Targets, ThoseThatEndButServeHelpOutWhenNoneIsReady) {
  EXPECT_THAT(targets({starting("10.0.0.1"), ending("10.0.0.2"), ending("10.0.0.3", false)}),
              ElementsAre("10.0.0.2:8080"));
  EXPECT_THAT(targets({starting("10.0.0.1"), ending("10.0.0.3", false)}), IsEmpty());
}

TEST(Targets, ThoseThatEndHelpOutOnTheNodeEvenIfOthersAreReadyElsewhere) {
  EXPECT_THAT(targets({endpoint("10.0.0.1"), local(ending("10.0.0.2"))}, kLocal), ElementsAre("10.0.0.2:8080"));
}

TEST(Targets, AreAllWithPublishNotReady) {
  auto service = service_at({"10.96.0.1"});
  service.publish_not_ready = true;
  const auto slice = slice_of("a/b", {starting("10.0.0.1"), endpoint("10.0.0.2"), ending("10.0.0.3", false)});
  EXPECT_THAT(targets(service, {slice}), ElementsAre("10.0.0.1:8080", "10.0.0.2:8080", "10.0.0.3:8080"));
  const auto* pointer = &slice;
  const auto all = targets_of(service, {&pointer, 1}, kCluster, "");
  std::vector<State> states;
  for (const auto& each : all) states.push_back(each.state);
  EXPECT_THAT(states, ElementsAre(State::not_ready, State::ready, State::terminating));
}

TEST(Targets, OfALocalSetAreOnTheNode) {
  EXPECT_THAT(targets({endpoint("10.0.0.1"), local(endpoint("10.0.0.2"))}, kLocal), ElementsAre("10.0.0.2:8080"));
  EXPECT_THAT(targets({endpoint("10.0.0.1")}, kLocal), IsEmpty());
  EXPECT_THAT(targets({endpoint("10.0.0.1"), local(endpoint("10.0.0.2"))}),
              ElementsAre("10.0.0.1:8080", "10.0.0.2:8080"));
}

TEST(Targets, AreOfTheSetsFamily) {
  const auto service = service_at({"10.96.0.1", "fd00::1"});
  const auto v4 = slice_of("a/b", {endpoint("10.0.0.1")});
  const auto v6 = slice_of("a/b", {endpoint("fd01::1")});
  auto set = kCluster;
  EXPECT_THAT(targets(service, {v4, v6}, set), ElementsAre("10.0.0.1:8080"));
  set.family = Family::v6;
  EXPECT_THAT(targets(service, {v4, v6}, set), ElementsAre("fd01::1:8080"));
}

TEST(Targets, PortsMatchByNameAndProtocol) {
  auto service = service_at({"10.96.0.1"});
  service.ports = {{.name = "dns", .protocol = kUdp, .port = 53, .node_port = 0},
                   {.name = "dns-tcp", .protocol = kTcp, .port = 53, .node_port = 0}};
  auto slice = slice_of("a/b", {endpoint("10.0.0.1")});
  slice.ports = {{.name = "dns", .protocol = kUdp, .port = 5300},
                 {.name = "dns", .protocol = kTcp, .port = 5301},
                 {.name = "dns-tcp", .protocol = kTcp, .port = 5302},
                 {.name = "metrics", .protocol = kTcp, .port = 53}};
  // Another version of the same pods may have the port elsewhere.
  auto other = slice_of("a/b", {endpoint("10.0.0.2")});
  other.ports = {{.name = "dns", .protocol = kUdp, .port = 53}};
  auto set = kCluster;
  set.port = 53;
  EXPECT_THAT(targets(service, {slice, other}, set), ElementsAre("10.0.0.1:5302"));
  set.protocol = kUdp;
  EXPECT_THAT(targets(service, {slice, other}, set), ElementsAre("10.0.0.1:5300", "10.0.0.2:53"));
  set.port = 54;
  EXPECT_THAT(targets(service, {slice, other}, set), IsEmpty());
}

TEST(Targets, CountOnceOverSeveralSlices) {
  const auto service = service_at({"10.96.0.1"});
  const auto now = slice_of("a/b", {endpoint("10.0.0.1"), endpoint("10.0.0.2")});
  EXPECT_THAT(targets(service, {slice_of("a/b", {starting("10.0.0.1"), endpoint("10.0.0.2")}), now}),
              ElementsAre("10.0.0.1:8080", "10.0.0.2:8080"));
}

TEST(Targets, HintsForNodesComeBeforeThoseForZones) {
  const auto for_node = [](const std::string& address, bool ours) {
    auto result = hinted(address, 1);
    result.for_nodes = true;
    result.for_us = ours;
    return result;
  };
  const auto chosen = [](std::vector<kube::Endpoint> endpoints, const SetKey& set = kCluster) {
    auto slice = slice_of("a/b", {});
    slice.zones = {"a"};
    slice.endpoints = std::move(endpoints);
    return targets(service_at({"10.96.0.1"}), {slice}, set, "a");
  };
  const std::string one = "10.0.0.1:8080", two = "10.0.0.2:8080";
  EXPECT_THAT(chosen({for_node("10.0.0.1", true), for_node("10.0.0.2", false)}), ElementsAre(one));
  // None for us, or not all have some: by zones.
  EXPECT_THAT(chosen({for_node("10.0.0.1", false), for_node("10.0.0.2", false)}), ElementsAre(one, two));
  EXPECT_THAT(chosen({for_node("10.0.0.1", true), hinted("10.0.0.2", 1)}), ElementsAre(one, two));
  EXPECT_THAT(chosen({local(for_node("10.0.0.1", true)), local(for_node("10.0.0.2", false))}, kLocal),
              ElementsAre(one, two));
}

TEST(Targets, HintsForNodesNeedNoZone) {
  auto near = endpoint("10.0.0.1"), far = endpoint("10.0.0.2");
  near.for_nodes = far.for_nodes = near.for_us = true;
  EXPECT_THAT(targets({near, far}), ElementsAre("10.0.0.1:8080"));
}

struct Hints {
  const char* name;
  std::vector<kube::Endpoint> endpoints;
  std::string zone;
  std::vector<std::string> expected;
};

TEST(Targets, HintsChooseAmongThem) {
  constexpr std::uint32_t kA = 1, kB = 2;
  const std::vector<Hints> cases = {
      {"ours",
       {hinted("10.0.0.1", kA), hinted("10.0.0.2", kB), hinted("10.0.0.3", kA | kB)},
       "a",
       {"10.0.0.1:8080", "10.0.0.3:8080"}},
      {"one has none", {hinted("10.0.0.1", kA), endpoint("10.0.0.2")}, "a", {"10.0.0.1:8080", "10.0.0.2:8080"}},
      {"one that does not count has none",
       {hinted("10.0.0.1", kA), hinted("10.0.0.2", kB), starting("10.0.0.3")},
       "a",
       {"10.0.0.1:8080"}},
      {"none for ours", {hinted("10.0.0.1", kA), hinted("10.0.0.2", kA)}, "b", {"10.0.0.1:8080", "10.0.0.2:8080"}},
      {"a zone that no hint names", {hinted("10.0.0.1", kA)}, "c", {"10.0.0.1:8080"}},
      {"the node has no zone",
       {hinted("10.0.0.1", kA), hinted("10.0.0.2", kB)},
       "",
       {"10.0.0.1:8080", "10.0.0.2:8080"}},
  };
  for (const auto& each : cases) {
    auto slice = slice_of("a/b", {});
    slice.zones = {"a", "b"};
    slice.endpoints = each.endpoints;
    EXPECT_EQ(targets(service_at({"10.96.0.1"}), {slice}, kCluster, each.zone), each.expected) << each.name;
  }
}

TEST(Targets, HintsDoNotCountOnTheNodeNorAmongThoseThatEnd) {
  auto slice = slice_of("a/b", {local(hinted("10.0.0.1", 1)), local(hinted("10.0.0.2", 2))});
  slice.zones = {"a", "b"};
  EXPECT_THAT(targets(service_at({"10.96.0.1"}), {slice}, kLocal, "a"), ElementsAre("10.0.0.1:8080", "10.0.0.2:8080"));
  for (auto& each : slice.endpoints) {
    each.ready = false;
    each.terminating = true;
  }
  EXPECT_THAT(targets(service_at({"10.96.0.1"}), {slice}, kCluster, "a"),
              ElementsAre("10.0.0.1:8080", "10.0.0.2:8080"));
}

TEST(Frontends, AreOfEveryKind) {
  auto service = service_at({"10.96.0.1"});
  service.ports[0].node_port = 30080;
  service.external_ips = {ip("198.51.100.1")};
  service.load_balancer_ips = {ip("203.0.113.1")};
  EXPECT_THAT(
      frontends(service, facts_at({ip("192.0.2.1"), ip("192.0.2.2")})),
      ElementsAre("ClusterIP 10.96.0.1:80/TCP 80", "NodePort 192.0.2.1:30080/TCP 80", "NodePort 192.0.2.2:30080/TCP 80",
                  "ExternalIP 198.51.100.1:80/TCP 80", "LoadBalancer 203.0.113.1:80/TCP 80"));
}

TEST(Frontends, ExternalIpsCanBeSwitchedOff) {
  auto service = service_at({"10.96.0.1"});
  service.external_ips = {ip("198.51.100.1")};
  service.load_balancer_ips = {ip("203.0.113.1")};
  EXPECT_THAT(frontends(service, facts_at({}, false)),
              ElementsAre("ClusterIP 10.96.0.1:80/TCP 80", "LoadBalancer 203.0.113.1:80/TCP 80"));
}

TEST(Frontends, AreOfTheServicesFamilies) {
  const auto facts = facts_at({ip("192.0.2.1"), ip("2001:db8::1")});
  auto service = service_at({"10.96.0.1"});
  service.ports[0].node_port = 30080;
  service.external_ips = {ip("2001:db8::2")};
  EXPECT_THAT(frontends(service, facts),
              ElementsAre("ClusterIP 10.96.0.1:80/TCP 80", "NodePort 192.0.2.1:30080/TCP 80"));
  service.cluster_ips.push_back(ip("fd00::1"));
  EXPECT_THAT(frontends(service, facts),
              UnorderedElementsAre("ClusterIP 10.96.0.1:80/TCP 80", "ClusterIP [fd00::1]:80/TCP 80",
                                   "NodePort 192.0.2.1:30080/TCP 80", "NodePort [2001:db8::1]:30080/TCP 80",
                                   "ExternalIP [2001:db8::2]:80/TCP 80"));
}

TEST(Frontends, PortsMayShareANumber) {
  auto service = service_at({"10.96.0.1"});
  service.ports = {{.name = "dns", .protocol = kUdp, .port = 53, .node_port = 0},
                   {.name = "dns-tcp", .protocol = kTcp, .port = 53, .node_port = 0},
                   {.name = "metrics", .protocol = kTcp, .port = 9153, .node_port = 0}};
  EXPECT_THAT(frontends(service), ElementsAre("ClusterIP 10.96.0.1:53/UDP 53", "ClusterIP 10.96.0.1:53/TCP 53",
                                              "ClusterIP 10.96.0.1:9153/TCP 9153"));
}

TEST(Frontends, EachIsThereOnce) {
  auto service = service_at({"10.96.0.1"});
  service.external_ips = service.load_balancer_ips = {ip("203.0.113.1"), ip("203.0.113.1"), ip("10.96.0.1")};
  EXPECT_THAT(frontends(service), ElementsAre("ClusterIP 10.96.0.1:80/TCP 80", "ExternalIP 203.0.113.1:80/TCP 80"));
}

TEST(Frontends, InternalTrafficPolicyLocalKeepsTheClusterIpOnTheNode) {
  auto service = service_at({"10.96.0.1"});
  service.ports[0].node_port = 30080;
  service.internal_local = true;
  EXPECT_THAT(frontends(service, facts_at({ip("192.0.2.1")})),
              ElementsAre("ClusterIP 10.96.0.1:80/TCP 80 local", "NodePort 192.0.2.1:30080/TCP 80"));
}

TEST(Frontends, ExternalTrafficPolicyAndSourceRangesAreNotForTheNodesOwnSockets) {
  auto service = service_at({"10.96.0.1"});
  service.ports[0].node_port = 30080;
  service.external_ips = {ip("198.51.100.1")};
  service.load_balancer_ips = {ip("203.0.113.1")};
  const auto facts = facts_at({ip("192.0.2.1")});
  const auto without = frontends(service, facts);
  service.external_local = true;
  service.source_ranges = {Cidr::parse("198.51.100.0/24").value()};
  EXPECT_EQ(frontends(service, facts), without);
}

kube::Service service_from_outside() {
  auto service = service_at({"10.96.0.1"});
  service.ports[0].node_port = 30080;
  service.external_ips = {ip("198.51.100.1")};
  service.load_balancer_ips = {ip("203.0.113.1")};
  return service;
}

TEST(Entrances, AreOfWhateverIsForTheOutside) {
  const auto service = service_from_outside();
  EXPECT_THAT(entrances(service, facts_at({ip("192.0.2.1")})),
              ElementsAre("192.0.2.1:30080/TCP 80", "198.51.100.1:80/TCP 80", "203.0.113.1:80/TCP 80"));
  EXPECT_THAT(entrances(service, facts_at({}, false)), ElementsAre("203.0.113.1:80/TCP 80"));
}

TEST(Entrances, ObeyExternalTrafficPolicyAndNotTheInternalOne) {
  auto service = service_from_outside();
  service.internal_local = true;
  EXPECT_THAT(entrances(service, facts_at({})), ElementsAre("198.51.100.1:80/TCP 80", "203.0.113.1:80/TCP 80"));
  service.internal_local = false;
  service.external_local = true;
  EXPECT_THAT(entrances(service, facts_at({})),
              ElementsAre("198.51.100.1:80/TCP 80 local", "203.0.113.1:80/TCP 80 local"));
}

TEST(Entrances, SourceRangesBindTheLoadBalancersAddressesAlone) {
  auto service = service_from_outside();
  service.source_ranges = {Cidr::parse("198.51.100.0/24").value()};
  EXPECT_THAT(entrances(service, facts_at({ip("192.0.2.1")})),
              ElementsAre("192.0.2.1:30080/TCP 80", "198.51.100.1:80/TCP 80", "203.0.113.1:80/TCP 80 ranges"));
  // Written among the external ones as well it is not open to everybody.
  service.external_ips = service.load_balancer_ips;
  EXPECT_THAT(entrances(service, facts_at({})), ElementsAre("203.0.113.1:80/TCP 80 ranges"));
}

TEST(Entrances, SourceRangesAreOfTheSetsFamily) {
  auto service = service_from_outside();
  const auto v4 = Cidr::parse("198.51.100.0/24").value();
  service.source_ranges = {Cidr::parse("203.0.113.0/24").value(), v4, v4, Cidr::parse("2001:db8::/32").value()};
  auto set = kCluster;
  EXPECT_THAT(ranges_of(service, set), ElementsAre(v4, Cidr::parse("203.0.113.0/24").value()));
  set.family = Family::v6;
  EXPECT_THAT(ranges_of(service, set), ElementsAre(Cidr::parse("2001:db8::/32").value()));
  service.source_ranges = {v4};
  EXPECT_THAT(ranges_of(service, set), IsEmpty());
}

TEST(Entrances, AreNotForSctp) {
  auto service = service_from_outside();
  service.ports[0].protocol = kube::Protocol::sctp;
  EXPECT_THAT(entrances(service, facts_at({ip("192.0.2.1")})), IsEmpty());
}

TEST(LocalEndpoints, AreThoseThatAreReadyOnce) {
  const auto count = [](std::initializer_list<kube::EndpointSlice> slices) {
    std::vector<const kube::EndpointSlice*> pointers;
    for (const auto& slice : slices) pointers.push_back(&slice);
    return local_endpoints(pointers);
  };
  EXPECT_EQ(count({}), 0U);
  EXPECT_EQ(count({slice_of("a/b", {endpoint("10.0.0.1"), local(starting("10.0.0.2")), local(ending("10.0.0.3"))})}),
            0U);
  const auto one = slice_of("a/b", {local(endpoint("10.0.0.1")), endpoint("10.0.0.2")});
  EXPECT_EQ(count({one, one}), 1U);
  // A pod has an address of each family.
  EXPECT_EQ(count({one, slice_of("a/b", {local(endpoint("fd01::1")), local(endpoint("fd01::2"))})}), 2U);
}

}  // namespace
}  // namespace netkite::service
