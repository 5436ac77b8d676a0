// SPDX-License-Identifier: Apache-2.0
// Devices, addresses and neighbours against the running kernel, with veth pairs.
#include "common/netlink/link.hpp"

#include <gmock/gmock.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <algorithm>
#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "common/netlink/address.hpp"
#include "common/netlink/attributes.hpp"
#include "common/netlink/link_veth.hpp"
#include "common/netlink/link_vxlan.hpp"
#include "common/netlink/neighbor.hpp"
#include "common/netlink/tests/test_namespaces.hpp"

namespace netkite::netlink {
namespace {

using ::testing::HasSubstr;
using LinkTest = TwoNamespaces;

Ip ip(std::string_view text) { return Ip::parse(text).value(); }

TEST_F(LinkTest, VethPairIsBornAcrossNamespaces) {
  const Mac host_mac = Mac::derived("host"), pod_mac = Mac::derived("pod");
  must(create_veth(host(), {.host_name = "nk1",
                            .pod_name = "eth0",
                            .pod_netns_fd = pod_netns(),
                            .mtu = 9000,
                            .gso_max_size = 40000,
                            .gro_max_size = 50000,
                            .host_mac = host_mac,
                            .pod_mac = pod_mac}));
  const Link outer = must(get_link(host(), "nk1"));
  const Link inner = must(get_link(pod(), "eth0"));
  EXPECT_EQ(outer.mac, host_mac);
  EXPECT_EQ(inner.mac, pod_mac);
  EXPECT_EQ(outer.peer_index, inner.index);
  for (const Link& link : {outer, inner}) {
    EXPECT_EQ(link.kind, "veth");
    EXPECT_EQ(link.mtu, 9000U);
    EXPECT_EQ(link.gso_max_size, 40000U) << link.name;
    EXPECT_EQ(link.gro_max_size, 50000U) << link.name;
    EXPECT_FALSE(link.up);
    EXPECT_FALSE(link.loopback);
    EXPECT_EQ(link.netkit_mode, std::nullopt);
  }
  EXPECT_EQ(must(get_link(host(), outer.index)).name, "nk1");
  EXPECT_EQ(get_link(host(), "eth0").error().code, Code::not_found) << "never visible outside";
}

TEST_F(LinkTest, VxlanThatIsToldWhereToByEachPacket) {
  const Mac mac = Mac::derived("overlay");
  must(create_vxlan(host(), {.name = "nk1", .port = 8472, .mtu = 8950, .mac = mac}));
  const Link link = must(get_link(host(), "nk1"));
  EXPECT_EQ(link.kind, "vxlan");
  EXPECT_EQ(link.vxlan_port, 8472);
  EXPECT_TRUE(link.vxlan_external);
  EXPECT_EQ(link.mtu, 8950U);
  EXPECT_EQ(link.mac, mac);
  EXPECT_FALSE(link.up);
  EXPECT_EQ(create_vxlan(host(), {.name = "nk1", .port = 8472, .mac = mac}).error().code, Code::exists);
  must(change_link(host(), link.index, {.up = true}));
  must(create_vxlan(host(), {.name = "nk2", .port = 8473, .mac = mac}));
  must(delete_link(host(), "nk1"));
  EXPECT_EQ(get_link(host(), "nk1").error().code, Code::not_found);
}

TEST_F(LinkTest, BigTcpSizes) {
  must(create_veth(host(), {.host_name = "nk1",
                            .pod_name = "eth0",
                            .pod_netns_fd = pod_netns(),
                            .gso_max_size = 150000,
                            .gro_max_size = 180000}));
  for (const Link& link : {must(get_link(host(), "nk1")), must(get_link(pod(), "eth0"))}) {
    EXPECT_EQ(link.gso_max_size, 150000U) << link.name;
    EXPECT_EQ(link.gro_max_size, 180000U) << link.name;
  }
}

TEST_F(LinkTest, PairInOneNamespace) {
  must(create_veth(host(), {.host_name = "a", .pod_name = "b"}));
  EXPECT_EQ(must(get_link(host(), "a")).peer_index, must(get_link(host(), "b")).index);
  EXPECT_EQ(must(get_link(host(), "b")).mtu, 1500U);
}

TEST_F(LinkTest, TakenNamesLeaveNothingBehind) {
  must(create_veth(pod(), {.host_name = "eth0", .pod_name = "other"}));
  const auto pair = create_veth(host(), {.host_name = "nk1", .pod_name = "eth0", .pod_netns_fd = pod_netns()});
  ASSERT_FALSE(pair);
  EXPECT_EQ(pair.error().code, Code::exists);
  EXPECT_THAT(pair.error().message, HasSubstr("nk1, eth0"));
  EXPECT_EQ(get_link(host(), "nk1").error().code, Code::not_found);
  must(create_veth(host(), {.host_name = "nk1", .pod_name = "x"}));
  EXPECT_EQ(create_veth(host(), {.host_name = "nk1", .pod_name = "y"}).error().code, Code::exists);
}

TEST_F(LinkTest, ErrorsCarryTheKernelsWords) {
  must(create_veth(host(), {.host_name = "nk1", .pod_name = "x"}));
  const auto changed = change_link(host(), must(get_link(host(), "nk1")).index, {.mtu = 70000});
  ASSERT_FALSE(changed);
  EXPECT_EQ(changed.error().code, Code::invalid);
  EXPECT_THAT(changed.error().message, HasSubstr("(mtu greater than device maximum)"));
  const auto too_long = change_link(host(), 1, {.alias = std::string(100000, 'a')});
  ASSERT_FALSE(too_long);
  EXPECT_EQ(too_long.error().code, Code::invalid);
  EXPECT_FALSE(create_veth(host(), {.host_name = "a-name-of-sixteen", .pod_name = "x2"}));
  must(get_link(host(), "nk1"));
}

TEST_F(LinkTest, ChangesEveryProperty) {
  must(create_veth(host(), {.host_name = "nk1", .pod_name = "eth0", .pod_netns_fd = pod_netns()}));
  const std::uint32_t index = must(get_link(host(), "nk1")).index;
  const std::uint32_t pod_index = must(get_link(pod(), "eth0")).index;
  must(change_link(pod(), pod_index, {.up = true}));
  must(change_link(host(), index,
                   {.up = true,
                    .mtu = 1400,
                    .alias = "default/web-0",
                    .mac = Mac::derived("x"),
                    .gso_max_size = 30000,
                    .gro_max_size = 31000}));
  const Link link = must(get_link(host(), index));
  EXPECT_TRUE(link.up);
  EXPECT_TRUE(link.running) << "both ends are up, and asking has brought the carrier up to date";
  EXPECT_EQ(link.mtu, 1400U);
  EXPECT_EQ(link.alias, "default/web-0");
  EXPECT_EQ(link.mac, Mac::derived("x"));
  EXPECT_EQ(link.gso_max_size, 30000U);
  EXPECT_EQ(link.gro_max_size, 31000U);
  must(change_link(host(), index, {.up = false, .mtu = 1300}));
  EXPECT_FALSE(must(get_link(host(), index)).up);
  EXPECT_EQ(must(get_link(host(), index)).mtu, 1300U);
  must(change_link(host(), index, {}));
  EXPECT_EQ(change_link(host(), 9999, {.up = true}).error().code, Code::not_found);
}

TEST_F(LinkTest, NoLinkLocalAddressWithoutAddressGeneration) {
  must(create_veth(host(), {.host_name = "nk1", .pod_name = "a"}));
  must(create_veth(host(), {.host_name = "nk2", .pod_name = "b"}));
  const std::uint32_t with = must(get_link(host(), "nk1")).index, without = must(get_link(host(), "nk2")).index;
  for (const char* name : {"a", "b"}) must(change_link(host(), must(get_link(host(), name)).index, {.up = true}));
  must(change_link(host(), with, {.up = true}));
  must(change_link(host(), without, {.up = true, .ipv6_addr_gen_none = true}));
  must(get_link(host(), with));
  EXPECT_EQ(must(list_addresses(host(), with)).size(), 1U);
  EXPECT_EQ(must(list_addresses(host(), without)).size(), 0U);
}

TEST_F(LinkTest, DeletingToleratesWhatIsGone) {
  must(create_veth(host(), {.host_name = "nk1", .pod_name = "eth0", .pod_netns_fd = pod_netns()}));
  must(delete_link(host(), "nk1"));
  EXPECT_EQ(get_link(pod(), "eth0").error().code, Code::not_found) << "both ends";
  must(delete_link(host(), "nk1"));
  must(delete_link(host(), 4242));
  must(create_veth(host(), {.host_name = "nk1", .pod_name = "eth0", .pod_netns_fd = pod_netns()}));
  must(delete_link(host(), must(get_link(host(), "nk1")).index));
  EXPECT_EQ(get_link(host(), "nk1").error().code, Code::not_found);
}

TEST_F(LinkTest, EarlyDeletionLeavesTheNameFree) {
  for (int round = 0; round < 5; ++round) {
    must(create_veth(host(), {.host_name = "nk1", .pod_name = "eth0", .pod_netns_fd = pod_netns()}));
    must(delete_link_early(host(), "nk1"));
    EXPECT_EQ(get_link(host(), "nk1").error().code, Code::not_found);
    EXPECT_EQ(get_link(pod(), "eth0").error().code, Code::not_found);
  }
  must(delete_link_early(host(), "nk1"));
  const auto refused = delete_link_early(host(), "lo");
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, HasSubstr("delete device lo"));
}

TEST_F(LinkTest, ListsMoreThanOneReceiveBuffer) {
  constexpr int kPairs = 100;
  for (int i = 0; i < kPairs; ++i) {
    const std::string number = std::to_string(i);
    must(create_veth(host(), {.host_name = "nk" + number, .pod_name = "p" + number}));
  }
  const auto links = must(list_links(host()));
  const auto named = [&](char first) {
    return std::ranges::count(links, first, [](const Link& link) { return link.name[0]; });
  };
  EXPECT_EQ(named('n'), kPairs);
  EXPECT_EQ(named('p'), kPairs);
  EXPECT_EQ(std::ranges::count_if(links, [](const Link& link) { return link.loopback; }), 1);
}

TEST_F(LinkTest, ListsAreWholeWhileDevicesComeAndGo) {
  constexpr int kPairs = 30;
  for (int i = 0; i < kPairs; ++i) {
    must(create_veth(host(), {.host_name = "s" + std::to_string(i), .pod_name = "t" + std::to_string(i)}));
  }
  std::atomic<bool> stop = false;
  std::thread churn([&] {
    auto socket = Socket::open_in(host_netns());
    ASSERT_TRUE(socket) << socket.error().message;
    while (!stop) {
      must(create_veth(*socket, {.host_name = "churn0", .pod_name = "churn1"}));
      must(delete_link(*socket, "churn0"));
    }
  });
  for (int round = 0; round < 40; ++round) {
    const auto links = must(list_links(host()));
    EXPECT_EQ(std::ranges::count_if(links, [](const Link& link) { return link.name[0] == 's' || link.name[0] == 't'; }),
              2 * kPairs);
  }
  stop = true;
  churn.join();
}

TEST_F(LinkTest, AddressesOfBothFamilies) {
  must(create_veth(host(), {.host_name = "nk1", .pod_name = "x"}));
  must(create_veth(host(), {.host_name = "nk2", .pod_name = "y"}));
  const std::uint32_t one = must(get_link(host(), "nk1")).index, two = must(get_link(host(), "nk2")).index;
  must(add_address(host(), {.ifindex = one, .address = ip("10.1.0.5"), .prefix_length = 32}));
  must(add_address(host(), {.ifindex = one, .address = ip("fd00::5"), .prefix_length = 128}));
  must(add_address(host(), {.ifindex = two, .address = ip("10.2.0.1"), .prefix_length = 24}));
  const auto again = add_address(host(), {.ifindex = one, .address = ip("10.1.0.5"), .prefix_length = 32});
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code, Code::exists);
  EXPECT_THAT(again.error().message, HasSubstr("10.1.0.5/32"));

  const auto of_one = must(list_addresses(host(), one));
  ASSERT_EQ(of_one.size(), 2U);
  EXPECT_EQ(of_one[0].address, ip("10.1.0.5"));
  EXPECT_EQ(of_one[0].prefix_length, 32U);
  EXPECT_EQ(of_one[0].ifindex, one);
  EXPECT_EQ(of_one[1].address, ip("fd00::5"));
  EXPECT_EQ(of_one[1].prefix_length, 128U);
  EXPECT_EQ(must(list_addresses(host())).size(), 3U);
}

// Flags (IFA_FLAGS) of every IPv6 address.
std::vector<std::uint32_t> ipv6_address_flags(Socket& socket) {
  Message message(RTM_GETADDR, NLM_F_DUMP);
  message.header(ifaddrmsg{.ifa_family = AF_INET6, .ifa_prefixlen = 0, .ifa_flags = 0, .ifa_scope = 0, .ifa_index = 0});
  std::vector<std::uint32_t> flags;
  must(socket.query(message, "flags", [&](const nlmsghdr& answer) {
    flags.push_back(parse<ifaddrmsg>(answer)->attributes.value<std::uint32_t>(IFA_FLAGS).value_or(0));
  }));
  return flags;
}

TEST_F(LinkTest, Ipv6AddressesAreUsableAtOnce) {
  must(create_veth(host(), {.host_name = "nk1", .pod_name = "x"}));
  const std::uint32_t index = must(get_link(host(), "nk1")).index;
  must(change_link(host(), index, {.up = true, .ipv6_addr_gen_none = true}));
  must(change_link(host(), must(get_link(host(), "x")).index, {.up = true, .ipv6_addr_gen_none = true}));
  must(add_address(host(), {.ifindex = index, .address = ip("fd00::5"), .prefix_length = 128}));
  const auto flags = ipv6_address_flags(host());
  ASSERT_EQ(flags.size(), 1U);
  EXPECT_TRUE((flags[0] & IFA_F_NODAD) != 0);
  EXPECT_FALSE((flags[0] & IFA_F_TENTATIVE) != 0);
}

struct Neighbor {
  std::optional<Ip> address;
  std::optional<Mac> mac;
  int state;
};
std::vector<Neighbor> list_permanent(Socket& socket, std::uint32_t ifindex) {
  Message message(RTM_GETNEIGH, NLM_F_DUMP);
  message.header(ndmsg{});
  std::vector<Neighbor> list;
  must(socket.query(message, "neighbours", [&](const nlmsghdr& answer) {
    const auto parsed = parse<ndmsg>(answer);
    if (parsed->header.ndm_ifindex != static_cast<int>(ifindex) || parsed->header.ndm_state != NUD_PERMANENT) return;
    list.push_back({parsed->attributes.ip(NDA_DST), parsed->attributes.mac(NDA_LLADDR), parsed->header.ndm_state});
  }));
  return list;
}

TEST_F(LinkTest, PermanentNeighboursAreReplaced) {
  must(create_veth(host(), {.host_name = "nk1", .pod_name = "x"}));
  const std::uint32_t index = must(get_link(host(), "nk1")).index;
  must(change_link(host(), index, {.up = true, .ipv6_addr_gen_none = true}));
  for (const char* seed : {"old", "new"}) {
    must(add_permanent_neighbor(host(), index, ip("169.254.1.1"), Mac::derived(seed)));
    must(add_permanent_neighbor(host(), index, ip("fe80::1"), Mac::derived(seed)));
  }
  const auto neighbours = list_permanent(host(), index);
  ASSERT_EQ(neighbours.size(), 2U);
  for (const auto& each : neighbours) EXPECT_EQ(each.mac, Mac::derived("new"));
}

}  // namespace
}  // namespace netkite::netlink
