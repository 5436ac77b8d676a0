// SPDX-License-Identifier: Apache-2.0
// Ports of the node that pods ask for.
#include <gmock/gmock.h>

#include "agent/endpoint/tests/manager_fixture.hpp"

namespace netkite::endpoint {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class ManagerPortsTest : public testing::ManagerTest {
 protected:
  ManagerPortsTest() { options.services.enabled = options.services.host_ports = true; }

  static wire::PrepareRequest asking(const std::string& id, std::initializer_list<const char*> ports) {
    wire::PrepareRequest request{.attachment = pod(id), .stack_path = true};
    for (const auto* each : ports) request.port_mappings.push_back(wire::parse_port_mapping(each).value());
    return request;
  }
  void add_asking(const std::string& id, std::initializer_list<const char*> ports) {
    ASSERT_TRUE(manager->prepare(asking(id, ports), netns));
    build(pod(id));
    ASSERT_TRUE(commit(pod(id)));
  }
  void follow() {
    manager->follow_host_ports([this](const Endpoint& each) {
      told.push_back(each.attachment.container_id + " " + std::string(to_string(each.state)));
    });
  }
  [[nodiscard]] Endpoint only() const { return manager->list().at(0); }

  std::vector<std::string> told;
};

TEST_F(ManagerPortsTest, ArePortmapsUnlessTheOptionIsOn) {
  options.services.host_ports = false;
  restart();
  add_asking("p", {"8080:80/sctp", "203.0.113.9:80:80/tcp"});
  EXPECT_TRUE(only().stack_path);
  EXPECT_THAT(only().host_ports, IsEmpty());
}

TEST_F(ManagerPortsTest, NeedNoStackButABandwidthDoes) {
  add_asking("p", {"8080:80/tcp"});
  EXPECT_FALSE(only().stack_path);
  EXPECT_FALSE(datapath.attached.at(name_of(pod("p"))).stack_path);
  auto request = asking("q", {"8081:80/tcp"});
  request.bandwidth = true;
  ASSERT_TRUE(manager->prepare(request, netns));
  EXPECT_TRUE(manager->list().at(1).stack_path);
  // A plugin that is older than the option says only that there are some.
  request = asking("r", {});
  ASSERT_TRUE(manager->prepare(request, netns));
  EXPECT_TRUE(manager->list().at(2).stack_path);
}

TEST_F(ManagerPortsTest, AreToldWhileThePodIsReady) {
  follow();
  ASSERT_TRUE(manager->prepare(asking("p", {"8080:80/tcp"}), netns));
  EXPECT_THAT(told, IsEmpty());
  build(pod("p"));
  ASSERT_TRUE(commit(pod("p")));
  add(pod("without"));
  EXPECT_THAT(told, ElementsAre("p ready"));
  ASSERT_TRUE(manager->remove_begin({.attachment = pod("p")}));
  EXPECT_THAT(told, ElementsAre("p ready", "p removing"));
  ASSERT_TRUE(manager->remove_end({.attachment = pod("p")}));
  EXPECT_THAT(told, ElementsAre("p ready", "p removing"));
}

TEST_F(ManagerPortsTest, AreToldOfRemovalsOfAnyKind) {
  add_asking("p", {"8080:80/tcp"});
  follow();
  ASSERT_TRUE(manager->gc({.network = "net", .valid = {}}));
  EXPECT_THAT(told, ElementsAre("p ready", "p removing"));
}

TEST_F(ManagerPortsTest, OutliveTheAgentWithTheirOrder) {
  add_asking("a", {"8080:80/tcp"});
  add_asking("b", {"[::]:8080:80/udp", "192.0.2.1:1:2/tcp"});
  ASSERT_TRUE(manager->remove_end({.attachment = pod("a")}));
  restart();
  const auto kept = only();
  EXPECT_EQ(kept.order, 2U);
  ASSERT_EQ(kept.host_ports.size(), 2U);
  EXPECT_EQ(wire::to_string(kept.host_ports[0]), "[::]:8080:80/udp");
  EXPECT_EQ(wire::to_string(kept.host_ports[1]), "192.0.2.1:1:2/tcp");
  follow();
  EXPECT_THAT(told, ElementsAre("b ready"));
  add_asking("c", {"8080:80/tcp"});
  EXPECT_EQ(manager->list().at(1).order, 3U);
}

TEST_F(ManagerPortsTest, ThatCannotBeServedAreRefusedAndLeaveNothing) {
  const std::vector<std::pair<const char*, const char*>> cases = {
      {"80:80/sctp", "portMappings[1].protocol sctp"},
      {"127.0.0.1:80:80/tcp", "portMappings[1].hostIP 127.0.0.1: loopback"},
      {"[::1]:80:80/tcp", "portMappings[1].hostIP ::1: loopback"},
      {"[fe80::1]:80:80/tcp", "portMappings[1].hostIP fe80::1: loopback"},
      {"203.0.113.9:80:80/tcp", "portMappings[1].hostIP 203.0.113.9: the node has no such address"},
  };
  for (const auto& [mapping, why] : cases) {
    const auto refused = manager->prepare(asking("p", {"8080:80/tcp", mapping}), netns);
    ASSERT_FALSE(refused) << mapping;
    EXPECT_EQ(refused.error().code, Code::invalid);
    EXPECT_THAT(refused.error().message, HasSubstr(why));
  }
  auto only_v4 = asking("p", {"[::]:80:80/tcp"});
  only_v4.requested_ips = {Ip::parse("10.0.0.3").value()};
  EXPECT_THAT(manager->prepare(only_v4, netns).error().message, HasSubstr("hostIP ::: the pod has no address"));
  auto many = asking("p", {});
  many.port_mappings.assign(129, wire::parse_port_mapping("80:80/tcp").value());
  EXPECT_THAT(manager->prepare(many, netns).error().message, HasSubstr("there are 129"));
  expect_nothing_left();
}

TEST_F(ManagerPortsTest, AsManyAsMayBeFitIntoTheLedger) {
  auto request = asking("p", {});
  request.port_mappings.assign(128, wire::parse_port_mapping("192.0.2.1:65535:65535/udp").value());
  ASSERT_TRUE(manager->prepare(request, netns));
  build(pod("p"));
  ASSERT_TRUE(commit(pod("p")));
  restart();
  EXPECT_EQ(only().host_ports.size(), 128U);
}

}  // namespace
}  // namespace netkite::endpoint
