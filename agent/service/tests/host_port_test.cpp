// SPDX-License-Identifier: Apache-2.0
// Ports of the node that lead to pods.
#include <gmock/gmock.h>

#include <memory>

#include "agent/service/registry.hpp"
#include "agent/service/tests/fixture.hpp"

namespace netkite::service {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class HostPortTest : public ::testing::Test {
 protected:
  void flush() { maps.apply(registry.flush()); }
  void set_endpoints(std::initializer_list<kube::Endpoint> endpoints) {
    registry.set_slice("shop/web-1", slice_of("shop/web", endpoints));
  }

  // 8080 of the node is 80 of the pod.
  static HostPort port_of(const std::string& pod, const char* address, std::uint64_t order) {
    return {.pod = pod, .port = 8080, .pod_port = 80, .address = {}, .pod_addresses = {ip(address)}, .order = order};
  }
  std::vector<std::string> problems() { return registry.problems(); }
  // A new process, with the same maps.
  static std::unique_ptr<Registry> after_restart(const Maps& maps) {
    auto again = std::make_unique<Registry>(facts_at({ip("192.0.2.1"), ip("2001:db8::1")}));
    again->adopt(maps.table());
    return again;
  }

  Registry registry{facts_at({ip("192.0.2.1"), ip("2001:db8::1")})};
  Maps maps;
  const Frontend web = at("10.96.0.1", 80);
  const Frontend node = at("192.0.2.1", 8080);
};

TEST_F(HostPortTest, IsAtEachAddressOfTheNodeThatThePodHasTheFamilyOf) {
  auto both = port_of("n/a", "10.0.0.1", 1);
  both.pod_addresses.push_back(ip("fd00::1"));
  registry.set_host_port("a", both);
  flush();
  EXPECT_THAT(maps.behind(node), ElementsAre("10.0.0.1:80"));
  EXPECT_THAT(maps.behind_entrance(node), ElementsAre("10.0.0.1:80"));
  EXPECT_TRUE(maps.entrances.at(node).keep_source);
  EXPECT_THAT(maps.behind_entrance(at("2001:db8::1", 8080)), ElementsAre("fd00::1:80"));
  registry.set_host_port("a", port_of("n/a", "10.0.0.1", 1));
  flush();
  EXPECT_THAT(maps.frontends, SizeIs(1));
  registry.remove_host_port("a");
  flush();
  EXPECT_THAT(maps.frontends, IsEmpty());
  EXPECT_THAT(maps.entrances, IsEmpty());
  EXPECT_THAT(maps.slots, IsEmpty());
  EXPECT_THAT(maps.backends, IsEmpty());
}

TEST_F(HostPortTest, IsAtOneAddressOrAtThoseOfAFamily) {
  auto wanted = port_of("n/a", "10.0.0.1", 1);
  wanted.pod_addresses.push_back(ip("fd00::1"));
  const auto frontends = [&](const char* address) {
    wanted.address = ip(address);
    registry.set_host_port("a", wanted);
    flush();
    std::vector<std::string> texts;
    for (const auto& [frontend, entry] : maps.frontends) texts.push_back(to_string(frontend));
    return texts;
  };
  EXPECT_THAT(frontends("0.0.0.0"), ElementsAre("192.0.2.1:8080/TCP"));
  EXPECT_THAT(frontends("::"), ElementsAre("[2001:db8::1]:8080/TCP"));
  EXPECT_THAT(frontends("198.51.100.7"), ElementsAre("198.51.100.7:8080/TCP"));
}

TEST_F(HostPortTest, TheLastPodHasItAndGivesItBack) {
  registry.set_host_port("a", port_of("n/a", "10.0.0.1", 1));
  registry.set_host_port("b", port_of("n/b", "10.0.0.2", 2));
  flush();
  EXPECT_THAT(maps.behind(node), ElementsAre("10.0.0.2:80"));
  EXPECT_THAT(maps.behind_entrance(node), ElementsAre("10.0.0.2:80"));
  EXPECT_THAT(problems(), ElementsAre("pod n/a: 192.0.2.1:8080/TCP is held by pod n/b"));
  registry.remove_host_port("b");
  flush();
  EXPECT_THAT(maps.behind_entrance(node), ElementsAre("10.0.0.1:80"));
  EXPECT_THAT(problems(), IsEmpty());
}

TEST_F(HostPortTest, WhoHasLostItTakesNothingWithIt) {
  registry.set_host_port("a", port_of("n/a", "10.0.0.1", 1));
  flush();
  registry.set_host_port("b", port_of("n/b", "10.0.0.2", 2));
  registry.remove_host_port("a");
  flush();
  EXPECT_THAT(maps.behind_entrance(node), ElementsAre("10.0.0.2:80"));
  // Another protocol is another port.
  auto other = port_of("n/c", "10.0.0.3", 3);
  other.protocol = kUdp;
  registry.set_host_port("c", other);
  flush();
  EXPECT_THAT(maps.behind_entrance(node), ElementsAre("10.0.0.2:80"));
  EXPECT_THAT(maps.behind_entrance(at("192.0.2.1", 8080, kUdp)), ElementsAre("10.0.0.3:80"));
}

TEST_F(HostPortTest, ANodePortComesFirstAndAnExternalAddressLast) {
  auto service = service_at({"10.96.0.1"});
  service.ports[0].node_port = 8080;
  service.external_ips = {ip("192.0.2.1")};
  service.ports.push_back({.name = "other", .protocol = kTcp, .port = 8081, .node_port = 0});
  registry.set_service("shop/web", service);
  set_endpoints({endpoint("10.0.0.9")});
  registry.set_host_port("a", port_of("n/a", "10.0.0.1", 1));
  auto second = port_of("n/a", "10.0.0.1", 1);
  second.port = 8081;
  registry.set_host_port("b", second);
  flush();
  EXPECT_THAT(maps.behind(node), ElementsAre("10.0.0.9:8080"));
  EXPECT_THAT(maps.behind(at("192.0.2.1", 8081)), ElementsAre("10.0.0.1:80"));
  EXPECT_THAT(problems(), ElementsAre("pod n/a: 192.0.2.1:8080/TCP is held by service shop/web",
                                      "service shop/web: 192.0.2.1:8081/TCP is held by pod n/a"));
}

TEST_F(HostPortTest, WaitsForNoService) {
  auto service = service_at({"10.96.0.1"});
  service.ports[0].node_port = 30080;
  registry.set_service("shop/web", service);
  set_endpoints({endpoint("10.0.0.9")});
  registry.set_host_port("a", port_of("n/a", "10.0.0.1", 1));
  flush();
  const auto before = maps.table();

  const auto again = after_restart(maps);
  again->set_host_port("a", port_of("n/a", "10.0.0.1", 1));
  EXPECT_TRUE(again->flush_host_ports().empty());
  again->set_host_port("b", port_of("n/b", "10.0.0.2", 2));
  maps.apply(again->flush_host_ports());
  EXPECT_THAT(maps.behind_entrance(node), ElementsAre("10.0.0.2:80"));
  again->remove_host_port("b");
  again->remove_host_port("a");
  maps.apply(again->flush_host_ports());
  EXPECT_FALSE(maps.entrances.contains(node));
  EXPECT_THAT(maps.behind(web), ElementsAre("10.0.0.9:8080"));
  EXPECT_THAT(maps.behind_entrance(at("192.0.2.1", 30080)), ElementsAre("10.0.0.9:8080"));

  again->set_service("shop/web", service);
  again->set_slice("shop/web-1", slice_of("shop/web", {endpoint("10.0.0.9")}));
  EXPECT_TRUE(again->flush().empty());
}

TEST_F(HostPortTest, WhatMayBeAServicesIsLeftUntilServicesAreKnown) {
  auto service = service_at({"10.96.0.1"});
  service.ports[0].node_port = 8080;
  registry.set_service("shop/web", service);
  set_endpoints({endpoint("10.0.0.9")});
  flush();

  const auto again = after_restart(maps);
  again->set_host_port("a", port_of("n/a", "10.0.0.1", 1));
  maps.apply(again->flush_host_ports());
  EXPECT_THAT(maps.behind_entrance(node), ElementsAre("10.0.0.9:8080"));
  again->remove_host_port("a");
  maps.apply(again->flush_host_ports());
  EXPECT_THAT(maps.behind_entrance(node), ElementsAre("10.0.0.9:8080"));
  again->set_host_port("a", port_of("n/a", "10.0.0.1", 2));
  maps.apply(again->flush_host_ports());
  // The service is not there any more.
  maps.apply(again->flush());
  EXPECT_THAT(maps.behind_entrance(node), ElementsAre("10.0.0.1:80"));
  EXPECT_THAT(maps.frontends, SizeIs(1));
}

TEST_F(HostPortTest, IsListedUnderItsPod) {
  registry.set_host_port("a", port_of("n/a", "10.0.0.1", 1));
  registry.set_host_port("b", port_of("n/b", "10.0.0.2", 2));
  flush();
  std::vector<std::string> lines;
  registry.list([&lines](const Listing& listing) {
    for (const auto& each : listing.frontends) {
      lines.push_back(listing.key + " " + std::string(to_string(each.kind)) + " " + to_string(each.frontend) +
                      (each.held ? "" : " not held") + (each.access == Scope::local ? " Local" : ""));
    }
  });
  EXPECT_THAT(lines, ElementsAre("n/a HostPort 192.0.2.1:8080/TCP not held", "n/b HostPort 192.0.2.1:8080/TCP Local"));
}

TEST_F(HostPortTest, ServesAsLongAsItIsThere) {
  EXPECT_FALSE(registry.serves(node, ip("10.0.0.1"), 80));
  registry.set_host_port("a", port_of("n/a", "10.0.0.1", 1));
  flush();
  EXPECT_TRUE(registry.serves(node, ip("10.0.0.1"), 80));
  EXPECT_FALSE(registry.serves(node, ip("10.0.0.1"), 8080)) << "the node's port";
  EXPECT_FALSE(registry.serves(node, ip("10.0.0.2"), 80));
  registry.remove_host_port("a");
  flush();
  EXPECT_FALSE(registry.serves(node, ip("10.0.0.1"), 80));
}

}  // namespace
}  // namespace netkite::service
