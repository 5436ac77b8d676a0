// SPDX-License-Identifier: Apache-2.0
// A manager with both of its kernel edges faked, and the pods that the tests give it.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>

#include "agent/endpoint/manager.hpp"
#include "agent/endpoint/tests/fakes.hpp"
#include "agent/endpoint/tests/netns_fixture.hpp"

namespace netkite::endpoint::testing {

class ManagerTest : public ::testing::Test {
 protected:
  ManagerTest() : netns(new_netns()) {
    char name[] = "/tmp/netkite-manager-XXXXXX";
    options.run_dir = ::mkdtemp(name);
    options.pools = {Cidr::parse("10.0.0.0/29").value(), Cidr::parse("fd00::/64").value()};
    options.datapath.expedite_rcu = false;
  }
  ~ManagerTest() override { std::filesystem::remove_all(options.run_dir); }

  void SetUp() override {
    if (!netns.valid()) GTEST_SKIP() << "needs the right to make network namespaces";
    datapath::ExpediteRcu::configure(false, options.run_dir);
    restart();
  }

  // A new process with the same run_dir and the same kernel.
  void restart(wire::DeviceMode device = wire::DeviceMode::netkit, bool netkit = true) {
    manager = std::make_unique<Manager>(options, Devices{.usual = device, .netkit = netkit}, datapath,
                                        std::make_unique<FakeHostLink>(journal, links));
    ASSERT_TRUE(manager->restore());
  }

  static wire::Attachment pod(const std::string& id, const std::string& network = "net") {
    return {.network = network, .container_id = id, .ifname = "eth0"};
  }
  static std::string name_of(const wire::Attachment& attachment) { return wire::host_ifname(attachment); }

  Result<wire::PrepareReply> prepare(const wire::Attachment& attachment) {
    wire::PrepareRequest request;
    request.attachment = attachment;
    return manager->prepare(request, netns);
  }
  // What the plugin does between the phases.
  std::uint32_t build(const wire::Attachment& attachment) {
    links[name_of(attachment)] = netkit_link(name_of(attachment), ++last_ifindex);
    return last_ifindex;
  }
  Result<void> commit(const wire::Attachment& attachment) {
    const auto link = links.find(name_of(attachment));
    const std::uint32_t ifindex = link == links.end() ? 99 : link->second.index;
    return manager->commit({.attachment = attachment, .host_ifindex = ifindex, .pod_ifindex = 2});
  }
  void add(const wire::Attachment& attachment) {
    ASSERT_TRUE(prepare(attachment));
    build(attachment);
    ASSERT_TRUE(commit(attachment));
  }
  [[nodiscard]] std::size_t rows() const {
    std::size_t count = 0;
    for (const auto& entry : std::filesystem::directory_iterator(options.run_dir + "/endpoints")) {
      count += entry.path().extension() == ".json" ? 1U : 0U;
    }
    return count;
  }
  // Neither the kernel nor the ledger nor the pools know of any pod.
  void expect_nothing_left() const {
    EXPECT_TRUE(links.empty());
    EXPECT_TRUE(datapath.attached.empty());
    EXPECT_EQ(rows(), 0U);
    EXPECT_EQ(manager->size(), 0U);
    for (const auto& pool : manager->pools()) EXPECT_EQ(pool.taken, 0U) << pool.prefix.to_string();
  }

  UniqueFd netns;
  config::Options options;
  Journal journal;
  std::map<std::string, netlink::Link> links;
  FakeDatapath datapath{journal};
  std::unique_ptr<Manager> manager;
  std::uint32_t last_ifindex = 10;
};

}  // namespace netkite::endpoint::testing
