// SPDX-License-Identifier: Apache-2.0
#include "cni-plugin/result.hpp"

#include <gtest/gtest.h>

#include "cni-plugin/prev_result.hpp"

namespace netkite::cni {
namespace {

using nlohmann::json;

PodNetwork dual_stack() {
  return {.host_ifname = "nk0123456789ab",
          .pod_ifname = "eth0",
          .netns = "/run/netns/x",
          .host_mac = {},
          .pod_mac = {},
          .mtu = 1450,
          .addresses = {*Ip::parse("10.0.0.5"), *Ip::parse("fd00::5")},
          .gateway4 = {},
          .gateway6 = {},
          .default4 = true,
          .default6 = true};
}

json result_of(const PodNetwork& network, SpecVersion version, const json& prev = nullptr,
               const json& dns = json::object()) {
  return make_result(network, version, *convert_prev_result(prev, version), dns);
}

TEST(Result, Version11) {
  EXPECT_EQ(result_of(dual_stack(), SpecVersion::v1_1_0), json::parse(R"({
    "cniVersion": "1.1.0",
    "interfaces": [{"name": "nk0123456789ab", "mtu": 1450},
                   {"name": "eth0", "mac": "00:00:00:00:00:00", "mtu": 1450, "sandbox": "/run/netns/x"}],
    "ips": [{"address": "10.0.0.5/32", "interface": 1}, {"address": "fd00::5/128", "interface": 1}],
    "routes": [{"dst": "0.0.0.0/0", "scope": 253}, {"dst": "::/0"}],
    "dns": {}})"));
}

TEST(Result, Version10HasNoMtuAndNoScope) {
  EXPECT_EQ(result_of(dual_stack(), SpecVersion::v1_0_0), json::parse(R"({
    "cniVersion": "1.0.0",
    "interfaces": [{"name": "nk0123456789ab"}, {"name": "eth0", "mac": "00:00:00:00:00:00", "sandbox": "/run/netns/x"}],
    "ips": [{"address": "10.0.0.5/32", "interface": 1}, {"address": "fd00::5/128", "interface": 1}],
    "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}],
    "dns": {}})"));
}

TEST(Result, Versions03And04NameTheFamily) {
  for (const SpecVersion version : {SpecVersion::v0_3_0, SpecVersion::v0_3_1, SpecVersion::v0_4_0}) {
    json expected = json::parse(R"({
      "interfaces": [{"name": "nk0123456789ab"},
                     {"name": "eth0", "mac": "00:00:00:00:00:00", "sandbox": "/run/netns/x"}],
      "ips": [{"version": "4", "address": "10.0.0.5/32", "interface": 1},
              {"version": "6", "address": "fd00::5/128", "interface": 1}],
      "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}],
      "dns": {}})");
    expected["cniVersion"] = to_string(version);
    EXPECT_EQ(result_of(dual_stack(), version), expected);
  }
}

TEST(Result, FirstVersionsHaveOneAddressAFamily) {
  for (const SpecVersion version : {SpecVersion::v0_1_0, SpecVersion::v0_2_0}) {
    json expected = json::parse(R"({
      "ip4": {"ip": "10.0.0.5/32", "routes": [{"dst": "0.0.0.0/0"}]},
      "ip6": {"ip": "fd00::5/128", "routes": [{"dst": "::/0"}]},
      "dns": {}})");
    expected["cniVersion"] = to_string(version);
    auto network = dual_stack();
    network.addresses.push_back(*Ip::parse("10.0.0.6"));
    EXPECT_EQ(result_of(network, version), expected);
  }
}

TEST(Result, L2ModesHaveMacsAndGateways) {
  auto network = dual_stack();
  network.host_mac = *Mac::parse("02:00:00:00:00:01");
  network.pod_mac = *Mac::parse("02:00:00:00:00:02");
  network.gateway4 = *Ip::parse("169.254.1.1");
  network.gateway6 = *Ip::parse("fe80::1");
  const json result = result_of(network, SpecVersion::v1_1_0);
  EXPECT_EQ(result["interfaces"][0]["mac"], "02:00:00:00:00:01");
  EXPECT_EQ(result["interfaces"][1]["mac"], "02:00:00:00:00:02");
  EXPECT_EQ(result["ips"][0]["gateway"], "169.254.1.1");
  EXPECT_EQ(result["ips"][1]["gateway"], "fe80::1");
  EXPECT_EQ(result["routes"],
            json::parse(R"([{"dst": "0.0.0.0/0", "gw": "169.254.1.1"}, {"dst": "::/0", "gw": "fe80::1"}])"));
  const json legacy = result_of(network, SpecVersion::v0_2_0);
  EXPECT_EQ(legacy["ip4"]["gateway"], "169.254.1.1");
  EXPECT_EQ(legacy["ip6"]["routes"][0]["gw"], "fe80::1");
}

TEST(Result, ForeignDefaultRoutesAreNotListed) {
  auto network = dual_stack();
  network.default4 = false;
  EXPECT_EQ(result_of(network, SpecVersion::v1_0_0)["routes"], json::parse(R"([{"dst": "::/0"}])"));
  EXPECT_FALSE(result_of(network, SpecVersion::v0_2_0)["ip4"].contains("routes"));
}

TEST(Result, PrevResultIsKeptAndExtended) {
  const json prev = json::parse(R"({
    "cniVersion": "1.0.0",
    "interfaces": [{"name": "first", "sandbox": "/run/netns/x"}],
    "ips": [{"address": "192.0.2.1/24", "interface": 0}],
    "routes": [{"dst": "198.51.100.0/24"}],
    "dns": {"nameservers": ["192.0.2.53"]},
    "other": true})");
  auto network = dual_stack();
  network.addresses.pop_back();
  network.default6 = false;
  EXPECT_EQ(result_of(network, SpecVersion::v1_0_0, prev), json::parse(R"({
    "cniVersion": "1.0.0",
    "interfaces": [{"name": "first", "sandbox": "/run/netns/x"},
                   {"name": "nk0123456789ab"}, {"name": "eth0", "mac": "00:00:00:00:00:00", "sandbox": "/run/netns/x"}],
    "ips": [{"address": "192.0.2.1/24", "interface": 0}, {"address": "10.0.0.5/32", "interface": 2}],
    "routes": [{"dst": "198.51.100.0/24"}, {"dst": "0.0.0.0/0"}],
    "dns": {"nameservers": ["192.0.2.53"]},
    "other": true})"));
}

TEST(Result, OurDnsWins) {
  const json prev = json::parse(R"({"dns": {"nameservers": ["192.0.2.53"]}})");
  const json ours = json::parse(R"({"nameservers": ["192.0.2.54"]})");
  EXPECT_EQ(result_of(dual_stack(), SpecVersion::v1_1_0, prev, ours)["dns"], ours);
}

}  // namespace
}  // namespace netkite::cni
