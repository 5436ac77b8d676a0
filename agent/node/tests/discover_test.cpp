// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include "agent/node/node.hpp"
#include "agent/node/tests/lab.hpp"

namespace netkite::node {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

class Discover : public Lab {
 protected:
  static config::Options options() {
    config::Options options;
    options.pools = {cidr("10.244.1.0/24"), cidr("fd00:1::/64")};
    return options;
  }
  static config::Peer peer(const std::vector<std::string>& addresses, const std::vector<std::string>& ranges) {
    config::Peer peer{.name = "b", .addresses = {}, .pod_ranges = {}};
    for (const auto& address : addresses) peer.addresses.push_back(ip(address));
    for (const auto& range : ranges) peer.pod_ranges.push_back(cidr(range));
    return peer;
  }
  static constexpr std::uint32_t kOverlay = 77;
  static View view_of(const config::Options& options) {
    auto view = discover(options, config::has_overlay(options) ? kOverlay : 0);
    EXPECT_TRUE(view) << view.error().message;
    return *view;
  }
  static std::vector<std::string> names(const View& view) {
    std::vector<std::string> names;
    for (const auto& uplink : view.uplinks) names.push_back(uplink.name);
    return names;
  }
  static std::vector<std::string> remotes(const View& view) {
    std::vector<std::string> lines;
    for (const auto& remote : view.remotes) {
      const auto way = remote.tunnel
                           ? " through " + remote.tunnel->node.to_string() + " from " + remote.tunnel->local.to_string()
                           : std::string();
      lines.push_back(remote.prefix.to_string() + way + " via " + remote.nexthop.to_string() + " dev " +
                      std::to_string(remote.ifindex) + " mtu " + std::to_string(remote.mtu));
    }
    return lines;
  }
};

TEST_F(Discover, FindsTheDevicesOfDefaultRoutes) {
  const auto up = add_device("up4", 9000);
  add_address(up, "192.0.2.1/24");
  add_route("0.0.0.0/0", up, "192.0.2.254");
  const auto up6 = add_device("up6", 1400);
  add_address(up6, "2001:db8::1/64");
  add_route("::/0", up6, "2001:db8::fe");
  add_device("other");

  const View view = view_of(options());
  EXPECT_THAT(names(view), UnorderedElementsAre("up4", "up6"));
  EXPECT_EQ(view.pod_mtu, 1400);
  EXPECT_GT(view.gso_max_size, 0);
  EXPECT_EQ(view.headroom, 0);
  EXPECT_THAT(view.problems, IsEmpty());
}

TEST_F(Discover, TheConfiguredMtuWins) {
  const auto up = add_device("up4", 9000);
  add_address(up, "192.0.2.1/24");
  add_route("0.0.0.0/0", up, "192.0.2.254");
  auto with_mtu = options();
  with_mtu.mtu = 1450;
  EXPECT_EQ(view_of(with_mtu).pod_mtu, 1450);
}

TEST_F(Discover, SaysWhenThereIsNoUplink) {
  const View view = view_of(options());
  EXPECT_THAT(view.uplinks, IsEmpty());
  EXPECT_THAT(view.problems, ElementsAre(HasSubstr("no uplink")));
  EXPECT_EQ(view.pod_mtu, 1500);
}

TEST_F(Discover, PodDevicesAreNeverUplinks) {
  const auto pod = add_device("nkpod");
  add_address(pod, "192.0.2.1/24");
  add_route("0.0.0.0/0", pod, "192.0.2.254");
  EXPECT_THAT(view_of(options()).uplinks, IsEmpty());

  auto with_names = options();
  with_names.uplinks = {"nkpod", "lo"};
  const View view = view_of(with_names);
  EXPECT_THAT(view.uplinks, IsEmpty());
  EXPECT_THAT(view.problems, ElementsAre(HasSubstr("uplink nkpod"), HasSubstr("uplink lo")));
}

TEST_F(Discover, TakesNamedUplinksOnlyAndNamesTheMissing) {
  const auto first = add_device("up4");
  add_address(first, "192.0.2.1/24");
  add_route("0.0.0.0/0", first, "192.0.2.254");
  add_device("named", 1300);
  auto with_names = options();
  with_names.uplinks = {"named", "absent"};
  const View view = view_of(with_names);
  EXPECT_THAT(names(view), ElementsAre("named"));
  EXPECT_EQ(view.pod_mtu, 1300);
  EXPECT_THAT(view.problems, ElementsAre("uplink absent: no such device"));
}

TEST_F(Discover, PeersOnTheLinkAreTheirOwnNextHop) {
  const auto up = add_device("up4");
  add_address(up, "192.0.2.1/24");
  add_address(up, "2001:db8::1/64");
  auto with_peer = options();
  with_peer.peers = {peer({"192.0.2.2", "2001:db8::2"}, {"10.244.2.0/24", "fd00:2::/64"})};
  const View view = view_of(with_peer);
  EXPECT_THAT(names(view), ElementsAre("up4"));  // the device of the route to the peer
  const std::string dev = " dev " + std::to_string(up) + " mtu 1500";
  EXPECT_THAT(remotes(view),
              UnorderedElementsAre("10.244.2.0/24 via 192.0.2.2" + dev, "192.0.2.2/32 via 192.0.2.2" + dev,
                                   "fd00:2::/64 via 2001:db8::2" + dev, "2001:db8::2/128 via 2001:db8::2" + dev));
  EXPECT_THAT(view.problems, IsEmpty());
}

TEST_F(Discover, PeersBehindARouterTakeItsAddress) {
  const auto up = add_device("up4");
  add_address(up, "192.0.2.1/24");
  add_address(up, "2001:db8::1/64");
  add_route("198.51.100.0/24", up, "192.0.2.254");
  add_route("2001:db8:5::/48", up, "fe80::1");
  auto with_peer = options();
  with_peer.peers = {peer({"198.51.100.9", "2001:db8:5::9"}, {"10.244.2.0/24", "fd00:2::/64"})};
  const View view = view_of(with_peer);
  ASSERT_EQ(view.remotes.size(), 4U);
  for (const auto& remote : view.remotes) {
    EXPECT_EQ(remote.nexthop, remote.prefix.address().is_v4() ? ip("192.0.2.254") : ip("fe80::1"));
  }
}

TEST_F(Discover, Ipv4RangesGoToAPeerThatHasIpv6Only) {
  const auto up = add_device("up4");
  add_address(up, "2001:db8::1/64");
  auto with_peer = options();
  with_peer.peers = {peer({"2001:db8::2"}, {"10.244.2.0/24"})};
  const View view = view_of(with_peer);
  EXPECT_THAT(remotes(view), testing::Contains(HasSubstr("10.244.2.0/24 via 2001:db8::2")));
}

TEST_F(Discover, TheOverlayTakesEverythingToOneAddress) {
  const auto up = add_device("up4", 9000);
  add_address(up, "192.0.2.1/24");
  add_address(up, "2001:db8::1/64");
  auto with_peer = options();
  with_peer.routing = config::Routing::overlay;
  with_peer.peers = {peer({"192.0.2.2", "2001:db8::2"}, {"10.244.2.0/24", "fd00:2::/64"})};
  const View view = view_of(with_peer);
  const auto to = " through 192.0.2.2 from 192.0.2.1 via 192.0.2.2 dev " + std::to_string(up) + " mtu 8950";
  EXPECT_THAT(remotes(view), UnorderedElementsAre("10.244.2.0/24" + to, "192.0.2.2/32" + to, "fd00:2::/64" + to,
                                                  "2001:db8::2/128" + to));
  for (const auto& remote : view.remotes) {
    EXPECT_EQ(remote.tunnel->device, kOverlay);
    EXPECT_EQ(remote.source, ip(remote.prefix.family() == Family::v4 ? "192.0.2.1" : "2001:db8::1"));
  }
  EXPECT_EQ(view.pod_mtu, 8950U);
  EXPECT_EQ(view.overlay.mtu, 8950U);
  EXPECT_LE(view.gso_max_size, 65536U);
  EXPECT_EQ(view.headroom, 70U);
  EXPECT_THAT(view.problems, IsEmpty());
}

TEST_F(Discover, AnOverlayOverIpv6LeavesLessRoom) {
  const auto up = add_device("up6");
  add_address(up, "2001:db8::1/64");
  auto with_peer = options();
  with_peer.routing = config::Routing::overlay;
  with_peer.peers = {peer({"2001:db8::2"}, {"10.244.2.0/24"})};
  View view = view_of(with_peer);
  EXPECT_THAT(remotes(view),
              testing::Contains(HasSubstr("10.244.2.0/24 through 2001:db8::2 from 2001:db8::1 via 2001:db8::2")));
  EXPECT_EQ(view.pod_mtu, 1430U);
  with_peer.mtu = 1400;
  EXPECT_EQ(view_of(with_peer).pod_mtu, 1400U);
  with_peer.mtu = 1450;
  view = view_of(with_peer);
  EXPECT_EQ(view.pod_mtu, 1450U);
  EXPECT_THAT(view.problems, ElementsAre("mtu: 1450 is more than the 1430 bytes that fit into the overlay"));
}

TEST_F(Discover, SaysWhenIpv6DoesNotFitIntoTheOverlay) {
  const auto up = add_device("up4", 1300);
  add_address(up, "192.0.2.1/24");
  auto with_peer = options();
  with_peer.routing = config::Routing::overlay;
  with_peer.peers = {peer({"192.0.2.2"}, {"fd00:2::/64"})};
  EXPECT_THAT(view_of(with_peer).problems, ElementsAre(HasSubstr("leave 1250 bytes inside the overlay")));
}

TEST_F(Discover, OneEndOfAPeerIsEnoughForATunnel) {
  const auto up = add_device("up4");
  add_address(up, "192.0.2.1/24");
  auto with_peer = options();
  with_peer.routing = config::Routing::overlay;
  with_peer.peers = {peer({"192.0.2.2", "2001:db8:9::2"}, {"10.244.2.0/24", "fd00:2::/64"})};
  View view = view_of(with_peer);
  EXPECT_EQ(view.remotes.size(), 4U);
  EXPECT_THAT(view.problems, IsEmpty());
  with_peer.peers = {peer({"198.51.100.2"}, {"10.244.2.0/24"})};
  view = view_of(with_peer);
  EXPECT_THAT(view.remotes, IsEmpty());
  EXPECT_THAT(view.problems, testing::Contains(HasSubstr("peer b: no route to 198.51.100.2")));
}

TEST_F(Discover, AutoTakesTheOverlayToPeersBehindARouterOnly) {
  const auto up = add_device("up4");
  add_address(up, "192.0.2.1/24");
  add_route("198.51.100.0/24", up, "192.0.2.254");
  auto with_peers = options();
  with_peers.routing = config::Routing::automatic;
  with_peers.peers = {peer({"192.0.2.2"}, {"10.244.2.0/24"}), peer({"198.51.100.9"}, {"10.244.3.0/24"})};
  with_peers.peers[1].name = "c";
  const View view = view_of(with_peers);
  const auto native = " via 192.0.2.2 dev " + std::to_string(up) + " mtu 1500";
  const auto tunnel = " through 198.51.100.9 from 192.0.2.1 via 192.0.2.254 dev " + std::to_string(up) + " mtu 1450";
  const auto beside = " through 192.0.2.2 from 192.0.2.1 via 192.0.2.2 dev " + std::to_string(up) + " mtu 1450";
  EXPECT_THAT(remotes(view),
              UnorderedElementsAre("10.244.2.0/24" + native, "192.0.2.2/32" + native, "192.0.2.2/32" + beside,
                                   "10.244.3.0/24" + tunnel, "198.51.100.9/32" + tunnel));
  EXPECT_THAT(view.remotes, testing::Contains(testing::Field(&datapath::Remote::beside, true)).Times(1));
  EXPECT_EQ(view.pod_mtu, 1450U);
}

TEST_F(Discover, Ipv6RangesNeedAnIpv6Address) {
  const auto up = add_device("up4");
  add_address(up, "192.0.2.1/24");
  auto with_peer = options();
  with_peer.peers = {peer({"192.0.2.2"}, {"fd00:2::/64"})};
  const View view = view_of(with_peer);
  EXPECT_EQ(view.remotes.size(), 1U);  // the peer's own address
  EXPECT_THAT(view.problems, ElementsAre("peer b: pod range fd00:2::/64 needs an IPv6 address of the peer"));
}

TEST_F(Discover, SaysWhichPeersCannotBeReached) {
  const auto up = add_device("up4");
  add_address(up, "192.0.2.1/24");
  const auto aside = add_device("aside");
  add_address(aside, "203.0.113.1/24");
  auto with_peers = options();
  with_peers.uplinks = {"up4"};
  with_peers.peers = {peer({"198.51.100.9"}, {"10.244.2.0/24"}), peer({"192.0.2.1"}, {"10.244.3.0/24"}),
                      peer({"203.0.113.2"}, {"10.244.4.0/24"})};
  with_peers.peers[1].name = "c";
  with_peers.peers[2].name = "d";
  const View view = view_of(with_peers);
  EXPECT_THAT(view.remotes, IsEmpty());
  EXPECT_THAT(view.problems, UnorderedElementsAre(HasSubstr("peer b: no route to 198.51.100.9"),
                                                  HasSubstr("peer c: 192.0.2.1 is an address of this node"),
                                                  HasSubstr("peer d: the route to 203.0.113.2 leads over no uplink")));
}

TEST_F(Discover, AddressesOfAFamilyThatNoPodHasAreNotMissed) {
  const auto up = add_device("up4");
  add_address(up, "192.0.2.1/24");
  auto with_peers = options();
  with_peers.pools = {cidr("10.244.1.0/24")};
  with_peers.peers = {peer({"192.0.2.2", "2001:db8:9::2"}, {"10.244.2.0/24", "fd00:2::/64"}),
                      peer({"2001:db8:9::3"}, {"10.244.3.0/24"})};
  with_peers.peers[1].name = "c";
  EXPECT_THAT(view_of(with_peers).problems, ElementsAre(HasSubstr("peer c: no route to 2001:db8:9::3")));
  with_peers.pools = options().pools;
  EXPECT_THAT(view_of(with_peers).problems, ElementsAre(HasSubstr("peer b: no route to 2001:db8:9::2"),
                                                        HasSubstr("peer c: no route to 2001:db8:9::3")));
}

TEST_F(Discover, HonoursTheMtuOfARoute) {
  const auto up = add_device("up4", 9000);
  add_address(up, "192.0.2.1/24");
  netlink::Route route{
      .destination = cidr("198.51.100.0/24"), .ifindex = up, .gateway = ip("192.0.2.254"), .mtu = 1400};
  ASSERT_TRUE(netlink::add_route(socket(), route));
  auto with_peer = options();
  with_peer.peers = {peer({"198.51.100.9"}, {"10.244.2.0/24"})};
  const View view = view_of(with_peer);
  ASSERT_EQ(view.remotes.size(), 2U);
  EXPECT_EQ(view.remotes[0].mtu, 1400);
  EXPECT_EQ(view.remotes[1].mtu, 1400);
}

}  // namespace
}  // namespace netkite::node
