// SPDX-License-Identifier: Apache-2.0
#include "agent/app/services.hpp"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "agent/endpoint/tests/fakes.hpp"

namespace netkite::app {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class ServicesTest : public ::testing::Test {
 protected:
  ServicesTest() {
    options_.node_name = "a";
    options_.services.enabled = true;
    services_.emplace(context_, options_, datapath_, [this] { ++readied_; }, std::chrono::milliseconds(20));
    subscriptions_ = services_->subscriptions();
  }

  // What has come by now, and retries of this time.
  void work(std::chrono::milliseconds time = std::chrono::milliseconds(5)) {
    context_.restart();
    context_.run_for(time);
  }
  kube::Events& services() { return subscriptions_.at(0).events; }
  kube::Events& slices() { return subscriptions_.at(1).events; }
  void tell_service(const std::string& cluster_ip) {
    auto object = kube::Json::parse(R"({"metadata": {"name": "web", "namespace": "default"},
                                        "spec": {"ports": [{"port": 80}]}})");
    object["spec"]["clusterIP"] = cluster_ip;
    services().changed("default/web", object);
  }
  void tell_slice(const std::string& address) {
    auto object = kube::Json::parse(R"({"metadata": {"name": "web-1", "namespace": "default",
                                                     "labels": {"kubernetes.io/service-name": "web"}},
                                        "addressType": "IPv4", "endpoints": [{}], "ports": [{"port": 8080}]})");
    object["endpoints"][0]["addresses"].push_back(address);
    slices().changed("default/web-1", object);
  }
  void sync() {
    services().synced();
    slices().synced();
    services_->set_own_node({});
    work();
  }

  static std::uint16_t free_port() {
    const UniqueFd probe(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in place{};
    place.sin_family = AF_INET;
    socklen_t size = sizeof place;
    EXPECT_EQ(::bind(probe.get(), reinterpret_cast<sockaddr*>(&place), sizeof place), 0);
    EXPECT_EQ(::getsockname(probe.get(), reinterpret_cast<sockaddr*>(&place), &size), 0);
    return ntohs(place.sin_port);
  }
  // The beginning of what healthz_port answers.
  std::string asked(const std::string& path) {
    work();
    const UniqueFd client(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in place{};
    place.sin_family = AF_INET;
    place.sin_port = htons(static_cast<std::uint16_t>(options_.services.healthz_port));
    place.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (::connect(client.get(), reinterpret_cast<sockaddr*>(&place), sizeof place) != 0) return std::strerror(errno);
    const auto question = "GET " + path + " HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    EXPECT_EQ(::send(client.get(), question.data(), question.size(), 0), static_cast<ssize_t>(question.size()));
    work(std::chrono::milliseconds(20));
    std::array<char, 12> answer{};
    EXPECT_EQ(::recv(client.get(), answer.data(), answer.size(), MSG_DONTWAIT), static_cast<ssize_t>(answer.size()));
    return {answer.data(), answer.size()};
  }

  boost::asio::io_context context_;
  config::Options options_;
  endpoint::testing::Journal journal_;
  endpoint::testing::FakeDatapath datapath_{journal_};
  int readied_ = 0;
  std::optional<Services> services_;
  std::vector<kube::Subscription> subscriptions_;
};

TEST_F(ServicesTest, NothingIsWrittenBeforeAllIsKnown) {
  tell_service("10.96.0.1");
  services().synced();
  services_->set_own_node({});
  work();
  EXPECT_THAT(journal_.calls, ElementsAre("read services", "sockets"));
  EXPECT_TRUE(services_->waits());
  tell_slice("10.77.0.1");
  slices().synced();
  work();
  EXPECT_THAT(journal_.calls, ElementsAre("read services", "sockets", "write services"));
  EXPECT_EQ(datapath_.last_changes.frontends.size(), 1U);
  EXPECT_EQ(datapath_.last_changes.backends.size(), 1U);
  EXPECT_FALSE(services_->waits());
  EXPECT_EQ(readied_, 1);
}

TEST_F(ServicesTest, ASwarmOfEventsIsOneWriteAndNoChangeIsNone) {
  sync();
  for (int i = 1; i < 50; ++i) {
    tell_service("10.96.0." + std::to_string(i));
    tell_slice("10.77.0." + std::to_string(i));
  }
  work();
  EXPECT_EQ(journal_.count("write services"), 1);
  tell_service("10.96.0.49");
  work();
  EXPECT_EQ(journal_.count("write services"), 1);
}

TEST_F(ServicesTest, WhatTheKernelRefusesIsSaidAndRepeatedFromWhatIsThere) {
  journal_.failing = {"write services"};
  tell_service("10.96.0.1");
  tell_slice("10.77.0.1");
  sync();
  EXPECT_THAT(services_->problems(), ElementsAre("services: write services was told to fail"));
  EXPECT_EQ(services_->writes().failures(), 1U);
  // The first half of it had been written.
  datapath_.service_table.backends = datapath_.last_changes.backends;
  journal_.failing.clear();
  work(std::chrono::milliseconds(100));
  EXPECT_THAT(services_->problems(), IsEmpty());
  EXPECT_EQ(journal_.count("read services"), 2);
  EXPECT_EQ(readied_, 1);
  EXPECT_EQ(datapath_.last_changes.frontends.size(), 1U);
}

TEST_F(ServicesTest, AFullMapMakesNobodyWaitAndIsTriedAgain) {
  datapath_.full_services = true;
  tell_service("10.96.0.1");
  tell_slice("10.77.0.1");
  sync();
  EXPECT_THAT(services_->problems(), ElementsAre("services: map is full"));
  EXPECT_FALSE(services_->waits());
  EXPECT_EQ(readied_, 1);
  datapath_.full_services = false;
  work(std::chrono::milliseconds(100));
  EXPECT_THAT(services_->problems(), IsEmpty());
  EXPECT_EQ(journal_.count("write services"), 2);
  EXPECT_EQ(readied_, 1);
}

TEST_F(ServicesTest, AFullMapLeavesTheAgentItsTime) {
  datapath_.full_services = true;
  datapath_.write_time = std::chrono::milliseconds(10);
  tell_service("10.96.0.1");
  sync();
  ASSERT_EQ(journal_.count("write services"), 1);
  for (int i = 0; i < 20; ++i) {
    tell_slice("10.77.0." + std::to_string(i + 1));
    work();
  }
  EXPECT_LE(journal_.count("write services"), 3) << "a tenth of the time at most";
  datapath_.full_services = false;
  work(std::chrono::milliseconds(300));
  const auto before = journal_.count("write services");
  tell_slice("10.77.0.99");
  work();
  EXPECT_EQ(journal_.count("write services"), before + 1) << "no rest any more";
}

TEST_F(ServicesTest, WhatAFormerRunHasLeftIsInForce) {
  datapath_.service_table.frontends.push_back({{.address = Ip::parse("10.96.0.1").value(), .port = 80}, {.set = 1}});
  const Services again(context_, options_, datapath_, [] {});
  EXPECT_FALSE(again.waits());
}

TEST_F(ServicesTest, AttachingIsTriedAgain) {
  journal_.failing = {"sockets"};
  sync();
  EXPECT_THAT(services_->problems(), ElementsAre(HasSubstr("services: sockets was told to fail; until then pods")));
  journal_.failing.clear();
  work(std::chrono::milliseconds(100));
  EXPECT_THAT(services_->problems(), IsEmpty());
  EXPECT_EQ(journal_.count("sockets"), 2);
}

TEST_F(ServicesTest, AMistakeIsNamedAndKeepsWhatWasThere) {
  tell_service("10.96.0.1");
  tell_slice("10.77.0.1");
  sync();
  tell_slice("nowhere");
  work();
  EXPECT_THAT(services_->problems(), ElementsAre(HasSubstr("default/web-1")));
  EXPECT_EQ(journal_.count("write services"), 1);
  slices().removed("default/web-1");
  work();
  EXPECT_THAT(services_->problems(), IsEmpty());
  EXPECT_EQ(datapath_.last_changes.gone_backends.size(), 1U);
}

// A restart of the agent while the API server is away must not take a node that serves from its load balancers.
TEST_F(ServicesTest, TheNodesHealthGoesByWhatIsInForce) {
  options_.services.healthz_port = free_port();
  for (const bool former : {false, true}) {
    if (former)
      datapath_.service_table.frontends.push_back(
          {{.address = Ip::parse("10.96.0.1").value(), .port = 80}, {.set = 1}});
    services_.emplace(context_, options_, datapath_, [this] { ++readied_; });
    subscriptions_ = services_->subscriptions();
    EXPECT_EQ(asked("/healthz"), former ? "HTTP/1.1 200" : "HTTP/1.1 503");
    sync();
    EXPECT_EQ(asked("/healthz"), "HTTP/1.1 200");
    services_->set_own_node({.leaving = true});
    EXPECT_EQ(asked("/healthz"), "HTTP/1.1 503");
    EXPECT_EQ(asked("/livez"), "HTTP/1.1 200");
    services_->stop();
    work();
  }
}

TEST_F(ServicesTest, HealthChecksFollowWhatIsWritten) {
  UniqueFd probe(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in place{};
  place.sin_family = AF_INET;
  socklen_t size = sizeof place;
  ASSERT_EQ(::bind(probe.get(), reinterpret_cast<sockaddr*>(&place), sizeof place), 0);
  ASSERT_EQ(::getsockname(probe.get(), reinterpret_cast<sockaddr*>(&place), &size), 0);
  auto object = kube::Json::parse(R"({"metadata": {"name": "web", "namespace": "default"},
    "spec": {"type": "LoadBalancer", "clusterIP": "10.96.0.1", "ports": [{"port": 80}],
             "externalTrafficPolicy": "Local"}})");
  object["spec"]["healthCheckNodePort"] = ntohs(place.sin_port);
  services().changed("default/web", object);
  tell_slice("10.77.0.1");
  sync();
  // This test has the port.
  EXPECT_THAT(services_->problems(), ElementsAre(HasSubstr("service default/web: healthCheckNodePort")));
  const UniqueFd client(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  probe.reset();
  work(std::chrono::milliseconds(100));
  EXPECT_THAT(services_->problems(), IsEmpty());
  place.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_EQ(::connect(client.get(), reinterpret_cast<sockaddr*>(&place), sizeof place), 0);
  services_->stop();
  work();
}

// A Node object may be deleted under running pods.
TEST_F(ServicesTest, WithoutAnOwnNodeItsAddressesStay) {
  services_->recall_own_node(
      {.name = "a", .pod_ranges = {}, .addresses = {Ip::parse("192.0.2.1").value()}, .zone = {}});
  auto object = kube::Json::parse(R"({"metadata": {"name": "web", "namespace": "default"},
    "spec": {"type": "NodePort", "clusterIP": "10.96.0.1", "ports": [{"port": 80, "nodePort": 30080}]}})");
  services().changed("default/web", object);
  services().synced();
  slices().synced();
  work();
  EXPECT_EQ(journal_.count("write services"), 0);
  services_->go_on_without_own_node();
  work();
  EXPECT_EQ(datapath_.last_changes.frontends.size(), 2U);
}

class HostPortsTest : public ServicesTest {
 protected:
  HostPortsTest() {
    options_.services.host_ports = true;
    start();
  }
  void start() {
    services_.emplace(context_, options_, datapath_, [this] { ++readied_; }, std::chrono::milliseconds(20));
    subscriptions_ = services_->subscriptions();
  }
  void tell_pod(endpoint::State state) {
    endpoint::Endpoint pod;
    pod.attachment = {.network = "net", .container_id = "p", .ifname = "eth0"};
    pod.host_ifname = "nk1";
    pod.state = state;
    pod.addresses = {Ip::parse("10.77.0.9").value()};
    pod.host_ports = {wire::parse_port_mapping("8080:80/udp").value()};
    services_->take_host_ports(pod);
    work();
  }
  static kube::Node own_node() {
    return {.name = "a", .pod_ranges = {}, .addresses = {Ip::parse("192.0.2.1").value()}, .zone = {}};
  }
};

TEST_F(HostPortsTest, AreServedWithoutTheCluster) {
  services_->recall_own_node(own_node());
  tell_pod(endpoint::State::ready);
  ASSERT_EQ(datapath_.last_changes.entrances.size(), 1U);
  EXPECT_EQ(to_string(datapath_.last_changes.entrances[0].first), "192.0.2.1:8080/UDP");
  EXPECT_EQ(datapath_.last_changes.frontends.size(), 1U);
  EXPECT_TRUE(services_->waits());
  EXPECT_EQ(readied_, 0);
  tell_pod(endpoint::State::removing);
  EXPECT_EQ(datapath_.last_changes.gone_entrances.size(), 1U);
  EXPECT_EQ(datapath_.last_changes.gone_backends.size(), 1U);
}

TEST_F(HostPortsTest, ComeWithTheNodesAddresses) {
  tell_pod(endpoint::State::ready);
  EXPECT_EQ(journal_.count("write services"), 0);
  services_->set_own_node(own_node());
  work();
  EXPECT_EQ(datapath_.last_changes.entrances.size(), 1U);
  tell_service("10.96.0.1");
  services().synced();
  slices().synced();
  work();
  EXPECT_EQ(datapath_.last_changes.frontends.size(), 1U);
  EXPECT_TRUE(datapath_.last_changes.gone_entrances.empty());
  EXPECT_FALSE(services_->waits());
}

TEST_F(HostPortsTest, AWriteThatFailsIsRepeated) {
  services_->recall_own_node(own_node());
  journal_.failing = {"write services"};
  tell_pod(endpoint::State::ready);
  EXPECT_THAT(services_->problems(), ElementsAre("services: write services was told to fail"));
  journal_.failing.clear();
  work(std::chrono::milliseconds(100));
  EXPECT_THAT(services_->problems(), IsEmpty());
  EXPECT_EQ(datapath_.last_changes.entrances.size(), 1U);
}

}  // namespace
}  // namespace netkite::app
