// SPDX-License-Identifier: Apache-2.0
// netkit pairs against the running kernel; skipped where it has none.
#include "common/netlink/link_netkit.hpp"

#include <gmock/gmock.h>
#include <linux/if_link.h>

#include "common/netlink/address.hpp"
#include "common/netlink/route.hpp"
#include "common/netlink/tests/test_namespaces.hpp"

namespace netkite::netlink {
namespace {

using ::testing::HasSubstr;

class NetkitTest : public TwoNamespaces {
 protected:
  void SetUp() override {
    TwoNamespaces::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    const auto probe = create_netkit(host(), {.host_name = "probe0", .pod_name = "probe1"});
    if (!probe && probe.error().code == Code::unsupported) GTEST_SKIP() << probe.error().message;
    must(probe);
    must(delete_link(host(), "probe0"));
  }
};

using NoNetkitTest = TwoNamespaces;

TEST_F(NoNetkitTest, KernelsWithoutNetkitAreNamed) {
  const auto created = create_netkit(host(), {.host_name = "nk1", .pod_name = "nk2"});
  if (created) GTEST_SKIP() << "this kernel has netkit";
  EXPECT_EQ(created.error().code, Code::unsupported);
  EXPECT_THAT(created.error().message, HasSubstr("CONFIG_NETKIT"));
}

TEST_F(NetkitTest, LayerThreePairDropsUntilProgrammed) {
  must(create_netkit(host(), {.host_name = "nk1",
                              .pod_name = "eth0",
                              .pod_netns_fd = pod_netns(),
                              .mtu = 9000,
                              .gso_max_size = 150000,
                              .gro_max_size = 180000,
                              .headroom = 70}));
  const Link outer = must(get_link(host(), "nk1"));
  const Link inner = must(get_link(pod(), "eth0"));
  EXPECT_TRUE(outer.netkit_primary);
  EXPECT_FALSE(inner.netkit_primary);
  EXPECT_EQ(outer.netkit_peer_policy, NETKIT_DROP);
  EXPECT_EQ(outer.peer_index, inner.index);
  EXPECT_EQ(get_link(host(), "eth0").error().code, Code::not_found) << "never visible outside";
  for (const Link& link : {outer, inner}) {
    EXPECT_EQ(link.kind, "netkit");
    EXPECT_EQ(link.netkit_mode, NETKIT_L3);
    EXPECT_EQ(link.netkit_policy, NETKIT_DROP) << link.name;
    EXPECT_EQ(link.mtu, 9000U) << link.name;
    EXPECT_EQ(link.gso_max_size, 150000U) << link.name;
    EXPECT_EQ(link.gro_max_size, 180000U) << link.name;
    EXPECT_EQ(link.netkit_headroom.value_or(70), 70) << link.name << ": where the kernel knows of it";
    EXPECT_FALSE(link.up);
  }
}

TEST_F(NetkitTest, LayerTwoPairHasItsAddresses) {
  must(create_netkit(host(), {.host_name = "nk1",
                              .pod_name = "eth0",
                              .pod_netns_fd = pod_netns(),
                              .l3 = false,
                              .host_mac = Mac::derived("host"),
                              .pod_mac = Mac::derived("pod")}));
  const Link outer = must(get_link(host(), "nk1"));
  EXPECT_EQ(outer.netkit_mode, NETKIT_L2);
  EXPECT_EQ(outer.netkit_policy, NETKIT_DROP);
  EXPECT_EQ(outer.netkit_peer_policy, NETKIT_DROP);
  EXPECT_EQ(outer.mac, Mac::derived("host"));
  EXPECT_EQ(must(get_link(pod(), "eth0")).mac, Mac::derived("pod"));
}

TEST_F(NetkitTest, ScrubbingIsOffWhereTheKernelCan) {
  must(create_netkit(host(), {.host_name = "nk1", .pod_name = "a"}));
  must(create_netkit(host(), {.host_name = "nk2", .pod_name = "b", .scrub_none = true}));
  const auto usual = must(get_link(host(), "nk1")).netkit_scrub;
  if (!usual) GTEST_SKIP() << "this kernel's netkit has no scrub attribute (Linux 6.13)";
  EXPECT_EQ(usual, NETKIT_SCRUB_DEFAULT);
  EXPECT_EQ(must(get_link(host(), "nk2")).netkit_scrub, NETKIT_SCRUB_NONE);
}

TEST_F(NetkitTest, RefusalsAreNotRetriedIntoSuccess) {
  const auto created = create_netkit(host(), {.host_name = "nk1", .pod_name = "eth0", .mtu = 1, .scrub_none = true});
  ASSERT_FALSE(created);
  EXPECT_EQ(created.error().code, Code::invalid);
  EXPECT_EQ(get_link(host(), "nk1").error().code, Code::not_found);
}

TEST_F(NetkitTest, BothEndsComeUpWithoutLinkLocalAddresses) {
  must(create_netkit(host(), {.host_name = "nk1", .pod_name = "eth0", .pod_netns_fd = pod_netns()}));
  const std::uint32_t outer = must(get_link(host(), "nk1")).index, inner = must(get_link(pod(), "eth0")).index;
  must(change_link(pod(), inner, {.up = true, .ipv6_addr_gen_none = true}));
  must(change_link(host(), outer, {.up = true, .ipv6_addr_gen_none = true}));
  EXPECT_TRUE(must(get_link(host(), outer)).running);
  EXPECT_TRUE(must(get_link(pod(), inner)).running);
  EXPECT_TRUE(must(list_addresses(host())).empty());
  EXPECT_TRUE(must(list_addresses(pod())).empty());
}

TEST_F(NetkitTest, DefaultRoutesOnTheDevice) {
  must(create_netkit(host(), {.host_name = "nk1", .pod_name = "eth0", .pod_netns_fd = pod_netns()}));
  const std::uint32_t inner = must(get_link(pod(), "eth0")).index;
  for (const char* address : {"10.0.0.5", "fd00::5"}) {
    const Ip ip = Ip::parse(address).value();
    must(add_address(pod(), {.ifindex = inner, .address = ip, .prefix_length = ip.width()}));
  }
  must(change_link(host(), must(get_link(host(), "nk1")).index, {.up = true}));
  must(change_link(pod(), inner, {.up = true, .ipv6_addr_gen_none = true}));
  for (const char* any : {"0.0.0.0/0", "::/0"}) {
    must(add_route(pod(), {.destination = Cidr::parse(any).value(), .ifindex = inner, .link_scope = true}));
  }
  for (const char* far : {"192.0.2.1", "2001:db8::1"}) {
    const Route route = must(resolve_route(pod(), Ip::parse(far).value()));
    EXPECT_EQ(route.ifindex, inner);
    EXPECT_EQ(route.gateway, std::nullopt);
    EXPECT_EQ(route.preferred_source, Ip::parse(far[0] == '1' ? "10.0.0.5" : "fd00::5").value());
  }
}

}  // namespace
}  // namespace netkite::netlink
