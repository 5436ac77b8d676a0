// SPDX-License-Identifier: Apache-2.0
#include "agent/app/connections.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "agent/endpoint/tests/fakes.hpp"

namespace netkite::app {
namespace {

using std::chrono::milliseconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class ConnectionsTest : public ::testing::Test {
 protected:
  // Rounds that are so long that a second one is none of the test's.
  void begin(milliseconds round = milliseconds(60'000)) { connections_.emplace(context_, options_, datapath_, round); }
  // Until it sleeps, or so many steps have been made.
  void run_steps(int count) {
    context_.restart();
    while (journal_.count("sweep") < count && context_.run_one() > 0) {
    }
  }

  boost::asio::io_context context_;
  config::Options options_;
  endpoint::testing::Journal journal_;
  endpoint::testing::FakeDatapath datapath_{journal_};
  std::optional<Connections> connections_;
};

TEST_F(ConnectionsTest, SaysWhoTheNodeIs) {
  options_.services.first_port = 61000;
  options_.services.last_port = 62000;
  begin();
  kube::Node node;
  node.addresses = {Ip::parse("192.0.2.1").value(), Ip::parse("2001:db8::1").value()};
  connections_->set_own_node(node);
  EXPECT_EQ(datapath_.self, (datapath::Self{.addresses = node.addresses, .first_port = 61000, .last_port = 62000}));
}

TEST_F(ConnectionsTest, BesideMasqueradeByTheProgramsTheStackKeepsPorts) {
  options_.masquerade.mode = config::MasqueradeMode::bpf;
  begin();
  connections_->set_own_node({});
  EXPECT_EQ(datapath_.self.last_port + 1, config::stack_ports(options_).first);
}

TEST_F(ConnectionsTest, WhatTheKernelRefusesIsSaidAndRepeated) {
  journal_.failing = {"self", "sweep"};
  begin(milliseconds(2));
  connections_->set_own_node({});
  run_steps(1);
  EXPECT_THAT(connections_->problems(),
              ElementsAre("services: self was told to fail", "services: connections: sweep was told to fail"));
  journal_.failing.clear();
  run_steps(3);
  EXPECT_THAT(connections_->problems(), IsEmpty());
}

TEST_F(ConnectionsTest, ARoundIsDoneInStepsAndThenRests) {
  datapath_.sweep_step = {.round_over = false, .hurry = false, .steps = 30'000};  // 2 ms each
  begin();
  run_steps(3);
  EXPECT_EQ(journal_.count("sweep"), 3);
  datapath_.sweep_step.round_over = true;
  run_steps(4);
  context_.restart();
  context_.run_for(milliseconds(20));
  EXPECT_EQ(journal_.count("sweep"), 4);
}

TEST_F(ConnectionsTest, ATableThatIsNearlyFullGetsNoRest) {
  datapath_.sweep_step = {.round_over = true, .hurry = true, .steps = 30'000};
  begin();
  run_steps(5);
  EXPECT_EQ(journal_.count("sweep"), 5);
}

TEST_F(ConnectionsTest, StepsThatCostMuchAreMadeLessOften) {
  int steps = 0;
  for (const bool hurry : {false, true}) {
    // Without the cost a step would follow after 2 ms.
    datapath_.sweep_step = {.round_over = false, .hurry = hurry, .steps = 30'000, .cost = std::chrono::minutes(1)};
    begin();
    run_steps(++steps);
    context_.restart();
    context_.run_for(milliseconds(20));
    EXPECT_EQ(journal_.count("sweep"), steps);
  }
}

TEST_F(ConnectionsTest, EndsWhenItIsTold) {
  begin(milliseconds(2));
  run_steps(2);
  connections_->stop();
  context_.restart();
  context_.run();  // or it would not come back
  EXPECT_EQ(journal_.count("sweep"), 2);
}

TEST_F(ConnectionsTest, PortsThatTheKernelHandsOutAsWellAreAProblem) {
  options_.services.first_port = 40000;
  options_.services.last_port = 40100;
  options_.sysctl_dir = ::testing::TempDir() + "netkite-connections-" + std::to_string(::getpid());
  std::filesystem::create_directories(options_.sysctl_dir + "/net/ipv4");
  std::ofstream(options_.sysctl_dir + "/net/ipv4/ip_local_port_range") << "32768\t60999\n";
  begin();
  EXPECT_THAT(connections_->problems(), ElementsAre(HasSubstr("services.first_port")));
  std::filesystem::remove_all(options_.sysctl_dir);
}

}  // namespace
}  // namespace netkite::app
