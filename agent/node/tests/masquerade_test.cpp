// SPDX-License-Identifier: Apache-2.0
// On the kernel: what is in the table, and what it does to packets.
#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <nftables/libnftables.h>
#include <sys/socket.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "agent/node/node.hpp"
#include "agent/node/tests/lab.hpp"
#include "common/base/unique_fd.hpp"
#include "common/netlink/netns.hpp"

namespace netkite::node {
namespace {

using testing::SizeIs;

nlohmann::json tables() {
  const std::unique_ptr<nft_ctx, decltype(&nft_ctx_free)> context(nft_ctx_new(NFT_CTX_DEFAULT), &nft_ctx_free);
  nft_ctx_buffer_output(context.get());
  nft_ctx_output_set_flags(context.get(), NFT_CTX_OUTPUT_JSON);
  EXPECT_EQ(nft_run_cmd_from_buffer(context.get(), "list ruleset"), 0);
  return nlohmann::json::parse(nft_ctx_get_output_buffer(context.get()))["nftables"];
}

// The objects of one kind ("table", "chain", "set", "rule").
std::vector<nlohmann::json> objects(const std::string& kind) {
  std::vector<nlohmann::json> found;
  for (const auto& object : tables()) {
    if (object.contains(kind)) found.push_back(object[kind]);
  }
  return found;
}

sockaddr_in at(const std::string& address, std::uint16_t port) {
  sockaddr_in result{};
  result.sin_family = AF_INET;
  result.sin_port = htons(port);
  inet_pton(AF_INET, address.c_str(), &result.sin_addr);
  return result;
}

UniqueFd udp(const sockaddr_in& address) {
  UniqueFd fd(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  const timeval patience{.tv_sec = 2, .tv_usec = 0};
  setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
  EXPECT_EQ(bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0) << strerror(errno);
  return fd;
}

class MasqueradeTable : public Lab {
 protected:
  void SetUp() override {
    Lab::SetUp();
    if (IsSkipped()) return;
    options_.pools = {cidr("10.244.1.0/24"), cidr("fd00:1::/64")};
    options_.peers = {{.name = "b",
                       .addresses = {ip("192.0.2.2"), ip("2001:db8::2")},
                       .pod_ranges = {cidr("10.244.2.0/24"), cidr("fd00:2::/64")}}};
  }
  config::Options options_;
};

TEST_F(MasqueradeTable, IsReplacedAsAWhole) {
  for (int round = 0; round < 2; ++round) {
    const auto applied = apply_masquerade(options_);
    ASSERT_TRUE(applied) << applied.error().message;
    EXPECT_THAT(objects("table"), SizeIs(1));
    EXPECT_THAT(objects("rule"), SizeIs(2));  // one a family
    const auto chains = objects("chain");
    ASSERT_THAT(chains, SizeIs(1));
    EXPECT_EQ(chains[0]["hook"], "postrouting");
    EXPECT_EQ(chains[0]["type"], "nat");
    EXPECT_EQ(chains[0]["prio"], 100);
    EXPECT_THAT(objects("set"), SizeIs(4));
  }
}

TEST_F(MasqueradeTable, AnEmptyFamilyHasNoRule) {
  options_.pools = {cidr("fd00:1::/64")};
  ASSERT_TRUE(apply_masquerade(options_));
  EXPECT_THAT(objects("rule"), SizeIs(1));
}

TEST_F(MasqueradeTable, TakesExceptionsThatCoverEverything) {
  options_.masquerade.except = {cidr("0.0.0.0/0"), cidr("::/0"), cidr("10.0.0.0/8")};
  const auto applied = apply_masquerade(options_);
  EXPECT_TRUE(applied) << applied.error().message;
}

TEST_F(MasqueradeTable, GoesWhenSwitchedOffAndOthersStay) {
  ASSERT_TRUE(apply_masquerade(options_));
  const std::unique_ptr<nft_ctx, decltype(&nft_ctx_free)> context(nft_ctx_new(NFT_CTX_DEFAULT), &nft_ctx_free);
  ASSERT_EQ(nft_run_cmd_from_buffer(context.get(), "add table inet foreign"), 0);
  options_.masquerade.enabled = false;
  for (int round = 0; round < 2; ++round) {
    ASSERT_TRUE(apply_masquerade(options_));
    ASSERT_THAT(objects("table"), SizeIs(1));
    EXPECT_EQ(objects("table")[0]["name"], "foreign");
  }
  options_.masquerade.enabled = true;
  ASSERT_TRUE(apply_masquerade(options_));
  ASSERT_TRUE(remove_all(options_));
  EXPECT_THAT(objects("table"), SizeIs(1));
}

// The other end of the uplink lies in a namespace of its own and tells which source address arrives there.
TEST_F(MasqueradeTable, ChangesTheSourceOfWhatLeavesTheClusterOnly) {
  const auto home = netlink::open_netns("/proc/thread-self/ns/net").value();
  ASSERT_EQ(unshare(CLONE_NEWNET), 0);
  const auto outside = netlink::open_netns("/proc/thread-self/ns/net").value();
  ASSERT_EQ(setns(home.get(), CLONE_NEWNET), 0);
  ASSERT_TRUE(netlink::create_veth(
      socket(), {.host_name = "up0", .pod_name = "out0", .pod_netns_fd = outside.get(), .mtu = 1500}));
  const auto up = netlink::get_link(socket(), "up0")->index;
  ASSERT_TRUE(netlink::change_link(socket(), up, {.up = true}));
  add_address(up, "192.0.2.1/24");
  add_address(1, "10.244.1.5/32");  // a pod's address, for a socket of ours to bind to
  auto far = netlink::Socket::open_in(outside.get()).value();
  const auto out = netlink::get_link(far, "out0")->index;
  ASSERT_TRUE(netlink::change_link(far, out, {.up = true}));
  ASSERT_TRUE(netlink::add_address(far, {.ifindex = out, .address = ip("192.0.2.2"), .prefix_length = 24}));
  ASSERT_TRUE(netlink::add_address(far, {.ifindex = out, .address = ip("192.0.2.9"), .prefix_length = 24}));

  ASSERT_EQ(setns(outside.get(), CLONE_NEWNET), 0);
  const auto receiver = udp(at("0.0.0.0", 7000));
  ASSERT_EQ(setns(home.get(), CLONE_NEWNET), 0);
  ASSERT_TRUE(apply_masquerade(options_));

  const auto source_seen = [&](const std::string& from, const std::string& to) -> std::string {
    const auto sender = udp(at(from, 0));
    const auto target = at(to, 7000);
    EXPECT_EQ(sendto(sender.get(), "x", 1, 0, reinterpret_cast<const sockaddr*>(&target), sizeof(target)), 1);
    sockaddr_in source{};
    socklen_t size = sizeof(source);
    char byte = 0;
    if (recvfrom(receiver.get(), &byte, 1, 0, reinterpret_cast<sockaddr*>(&source), &size) != 1) return "nothing";
    char text[INET_ADDRSTRLEN]{};
    return inet_ntop(AF_INET, &source.sin_addr, text, sizeof(text));
  };
  EXPECT_EQ(source_seen("10.244.1.5", "192.0.2.9"), "192.0.2.1");   // outside: masqueraded
  EXPECT_EQ(source_seen("10.244.1.5", "192.0.2.2"), "10.244.1.5");  // a peer: direct
  options_.masquerade.except = {cidr("192.0.2.9/32")};
  ASSERT_TRUE(apply_masquerade(options_));
  EXPECT_EQ(source_seen("10.244.1.5", "192.0.2.9"), "10.244.1.5");  // excepted
}

}  // namespace
}  // namespace netkite::node
