// SPDX-License-Identifier: Apache-2.0
#include "agent/config/loader.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>

namespace netkite::config {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr std::string_view kFull = R"({
  "node_name": "a", "log_level": "debug", "run_dir": "/run/a", "socket": "/run/a/s", "bpffs": "/sys/fs/bpf/a",
  "sysctl_dir": "/host/proc/sys",
  "device": "netkit-l2", "pools": ["10.244.1.0/24", "fd00:244:1::/64"],
  "peers": [{"name": "b", "addresses": ["192.0.2.2", "2001:db8::2"], "pod_ranges": ["10.244.2.0/24", "fd00:244:2::/64"]}],
  "routing": "auto", "overlay": {"port": 4789, "vni": 7}, "uplinks": ["eth0"], "mtu": 1400, "manage_forwarding": false,
  "masquerade": {"enabled": false, "mode": "bpf", "except": ["10.0.0.0/8"]},
  "datapath": {"compile": "clang", "source_dir": "/s", "cache_dir": "/c", "expedite_rcu": false, "position": "last",
               "max_endpoints": 10, "max_remotes": 20, "event_buffer": 8192},
  "prefilter": {"mode": "generic", "max_prefixes": 5, "deny": ["203.0.113.0/24", "2001:db8:bad::/48"]},
  "http_port": 9477, "hooks": [{"name": "h", "source": "/h.bpf.c", "program": "p", "attach": "uplink-egress", "order": "after"}]
})";

TEST(Loader, KubernetesHasThePools) {
  const auto options = parse(R"({"kubernetes": {"enabled": true, "kubeconfig": "/k", "server": "https://192.0.2.1:6443",
                 "report_ready": false}})");
  ASSERT_TRUE(options) << options.error().message;
  EXPECT_EQ(options->kubernetes.kubeconfig, "/k");
  EXPECT_EQ(options->kubernetes.server, "https://192.0.2.1:6443");
  EXPECT_FALSE(options->kubernetes.report_ready);
  EXPECT_TRUE(parse(R"({"kubernetes": {"enabled": true}})")->kubernetes.report_ready);
  EXPECT_TRUE(parse(dump(*options)));
  const auto message = [](const char* text) { return parse(text).error().message; };
  EXPECT_THAT(message(R"({"kubernetes": {"enabled": true}, "pools": ["10.1.0.0/24"]})"), HasSubstr("pools: they come"));
  EXPECT_THAT(message(R"({"kubernetes": {"enabled": true}, "peers": [{"name": "b", "addresses": ["192.0.2.2"]}]})"),
              HasSubstr("peers: they come"));
  EXPECT_THAT(message(R"({"kubernetes": {"enabled": true, "kubeconfig": "k"}})"), HasSubstr("kubernetes.kubeconfig"));
  EXPECT_THAT(message(R"({"kubernetes": {"enabled": true, "server": "192.0.2.1"}})"), HasSubstr("kubernetes.server"));
  EXPECT_THAT(message(R"({"kubernetes": {"enabled": false}})"), HasSubstr("pools: at least one"));
  EXPECT_THAT(message(R"({"pools": ["10.1.0.0/24"], "services": {"enabled": true}})"), HasSubstr("services.enabled"));
  EXPECT_THAT(message(R"({"pools": ["10.1.0.0/24"], "services": {"host_ports": true}})"),
              HasSubstr("services.host_ports: it needs services.enabled"));
  EXPECT_THAT(message(R"({"pools": ["10.1.0.0/24"], "routing": "overlay", "services": {"dsr": true}})"),
              HasSubstr("services.dsr: it needs services.enabled"));
  EXPECT_THAT(message(R"({"kubernetes": {"enabled": true}, "services": {"enabled": true, "dsr": true}})"),
              HasSubstr("services.dsr: clients are led to other nodes by the overlay: set routing"));
  EXPECT_THAT(message(R"({"kubernetes": {"enabled": true}, "services": {"enabled": true, "cgroup": "x"}})"),
              HasSubstr("services.cgroup"));
  EXPECT_EQ(parse(R"({"kubernetes": {"enabled": true, "manifests": "/m"}})")->kubernetes.manifests, "/m");
  EXPECT_THAT(message(R"({"kubernetes": {"enabled": true, "manifests": "m"}})"), HasSubstr("kubernetes.manifests"));
  EXPECT_THAT(message(R"({"kubernetes": {"enabled": true, "manifests": "/m", "kubeconfig": "/k"}})"),
              HasSubstr("kubernetes.kubeconfig: of no use"));
  EXPECT_THAT(message(R"({"kubernetes": {"enable": true}})"), HasSubstr("nearest known one is \"enabled\""));
}

TEST(Loader, PortsToTranslateWithAreNobodyElses) {
  const auto ports = [](const std::string& first, const std::string& last, const std::string& more = "") {
    return parse(R"({"pools": ["10.1.0.0/24"], "services": {"first_port": )" + first + R"(, "last_port": )" + last +
                 "}" + more + "}")
        .error()
        .message;
  };
  EXPECT_THAT(ports("61001", "61000"), HasSubstr("services.first_port: 61001 is beyond services.last_port, 61000"));
  EXPECT_THAT(ports("1023", "2000"), HasSubstr("services.first_port"));
  EXPECT_THAT(ports("61000", "65536"), HasSubstr("services.last_port"));
  EXPECT_THAT(ports("29000", "30000"), HasSubstr("29000-30000 overlaps NodePorts, 30000-32767"));
  EXPECT_THAT(ports("32767", "40000"), HasSubstr("overlaps NodePorts"));
  EXPECT_THAT(ports("8000", "9000", R"(, "routing": "overlay")"), HasSubstr("8000-9000 contains overlay.port, 8472"));
  EXPECT_THAT(parse(R"({"pools": ["10.1.0.0/24"], "services": {"max_connections": 0}})").error().message,
              HasSubstr("services.max_connections"));
}

TEST(Loader, Routing) {
  const auto with = [](const std::string& keys) { return parse(R"({"pools": ["10.1.0.0/24"], )" + keys + "}"); };
  EXPECT_EQ(parse(R"({"pools": ["10.1.0.0/24"]})")->routing, Routing::native);
  EXPECT_EQ(with(R"("routing": "overlay")")->overlay.port, 8472U);
  EXPECT_EQ(routing_name(with(R"("routing": "auto")")->routing), "auto");
  EXPECT_FALSE(has_overlay(*with(R"("routing": "native")")));
  EXPECT_TRUE(has_overlay(*with(R"("routing": "auto")")));
  const auto message = [&](const std::string& keys) { return with(keys).error().message; };
  EXPECT_THAT(message(R"("routing": "vxlan")"),
              HasSubstr(R"(routing: "vxlan" is none of "native", "overlay", "auto")"));
  EXPECT_THAT(message(R"("overlay": {"port": 0})"), HasSubstr("overlay.port"));
  EXPECT_THAT(message(R"("overlay": {"port": 65536})"), HasSubstr("overlay.port"));
  EXPECT_THAT(message(R"("overlay": {"vni": 0})"), HasSubstr("overlay.vni"));
  EXPECT_THAT(message(R"("overlay": {"vni": 16777216})"), HasSubstr("overlay.vni"));
}

TEST(Loader, OnlyTheOverlayCarriesIpv6OverAnIpv4Network) {
  const std::string peers =
      R"("peers": [{"name": "b", "addresses": ["192.0.2.2"], "pod_ranges": ["fd00:244:2::/64"]}])";
  const auto with = [&peers](const std::string& routing) {
    return parse(R"({"pools": ["10.1.0.0/24"], "routing": ")" + routing + "\", " + peers + "}");
  };
  EXPECT_TRUE(with("overlay"));
  for (const auto* routing : {"native", "auto"}) {
    EXPECT_THAT(with(routing).error().message,
                HasSubstr("peers[0].pod_ranges[0]: fd00:244:2::/64 needs an IPv6 address"));
  }
}

TEST(Loader, TheNodesNameMayComeFromItsSurroundings) {
  constexpr std::string_view kLeast = R"({"pools": ["10.1.0.0/24"]})";
  ::setenv("NETKITE_NODE_NAME", "node-7.example", 1);
  EXPECT_EQ(parse(kLeast)->node_name, "node-7.example");
  EXPECT_EQ(parse(R"({"node_name": "x", "pools": ["10.1.0.0/24"]})")->node_name, "x");
  ::setenv("NETKITE_NODE_NAME", "../x", 1);
  EXPECT_NE(parse(kLeast)->node_name, "../x");
  ::unsetenv("NETKITE_NODE_NAME");
}

TEST(Loader, ReadsEveryKey) {
  const auto options = parse(kFull);
  ASSERT_TRUE(options) << options.error().message;
  EXPECT_EQ(options->node_name, "a");
  EXPECT_EQ(options->log_level, "debug");
  EXPECT_EQ(options->run_dir, "/run/a");
  EXPECT_EQ(options->socket, "/run/a/s");
  EXPECT_EQ(options->bpffs, "/sys/fs/bpf/a");
  EXPECT_EQ(options->sysctl_dir, "/host/proc/sys");
  EXPECT_EQ(options->device, Device::netkit_l2);
  EXPECT_EQ(options->http_port, 9477U);
  ASSERT_EQ(options->pools.size(), 2U);
  EXPECT_EQ(options->pools[1].to_string(), "fd00:244:1::/64");
  ASSERT_EQ(options->peers.size(), 1U);
  EXPECT_EQ(options->peers[0].addresses[0].to_string(), "192.0.2.2");
  EXPECT_EQ(options->peers[0].pod_ranges[0].to_string(), "10.244.2.0/24");
  EXPECT_EQ(options->routing, Routing::automatic);
  EXPECT_EQ(options->overlay.port, 4789U);
  EXPECT_EQ(options->overlay.vni, 7U);
  EXPECT_THAT(options->uplinks, ElementsAre("eth0"));
  EXPECT_EQ(options->mtu, 1400U);
  EXPECT_FALSE(options->manage_forwarding);
  EXPECT_FALSE(options->masquerade.enabled);
  EXPECT_EQ(options->masquerade.mode, MasqueradeMode::bpf);
  EXPECT_EQ(options->masquerade.except.at(0).to_string(), "10.0.0.0/8");
  EXPECT_EQ(options->datapath.compile, Compile::clang);
  EXPECT_EQ(options->datapath.position, Position::last);
  EXPECT_FALSE(options->datapath.expedite_rcu);
  EXPECT_EQ(options->datapath.max_endpoints, 10U);
  EXPECT_EQ(options->datapath.max_remotes, 20U);
  EXPECT_EQ(options->datapath.event_buffer, 8192U);
  EXPECT_EQ(options->prefilter.mode, XdpMode::generic);
  EXPECT_EQ(options->prefilter.max_prefixes, 5U);
  EXPECT_EQ(options->prefilter.deny.size(), 2U);
  EXPECT_EQ(options->hooks.at(0).attach, HookPoint::uplink_egress);
  EXPECT_EQ(options->hooks.at(0).order, HookOrder::after);
}

TEST(Loader, DefaultsAreEffectiveValues) {
  const auto options = parse(R"({"pools": ["10.244.1.0/24"]})");
  ASSERT_TRUE(options) << options.error().message;
  EXPECT_EQ(options->socket, "/run/netkite/agent.sock");
  EXPECT_THAT(options->node_name, Not(IsEmpty()));
  EXPECT_EQ(options->device, Device::automatic);
  EXPECT_TRUE(options->masquerade.enabled);
  EXPECT_EQ(options->masquerade.mode, MasqueradeMode::nftables);
}

TEST(Loader, ProgramsThatMasqueradeShareThePortsWithTheStack) {
  Options options;
  EXPECT_EQ(program_ports(options), (Ports{.first = 61000, .last = 65535}));
  EXPECT_FALSE(translates(options));
  options.masquerade.mode = MasqueradeMode::bpf;
  EXPECT_TRUE(translates(options));
  EXPECT_EQ(program_ports(options), (Ports{.first = 61000, .last = 64401}));
  EXPECT_EQ(stack_ports(options), (Ports{.first = 64402, .last = 65535}));
  options.services.last_port = 61015;
  EXPECT_EQ(program_ports(options), (Ports{.first = 61000, .last = 61011}));
  EXPECT_EQ(stack_ports(options), (Ports{.first = 61012, .last = 61015}));
}

TEST(Loader, DumpIsReadBackUnchanged) {
  const auto options = parse(kFull);
  ASSERT_TRUE(options);
  const auto text = dump(*options);
  const auto again = parse(text);
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_EQ(dump(*again), text);
  EXPECT_THAT(differences(*options, *again), IsEmpty());
  EXPECT_THAT(text, AllOf(HasSubstr(R"("device": "netkit-l2")"), HasSubstr(R"("max_endpoints": 10)"),
                          HasSubstr(R"("attach": "uplink-egress")")));
}

TEST(Loader, DifferencesNamePaths) {
  auto a = parse(kFull);
  ASSERT_TRUE(a);
  auto b = *a;
  b.datapath.position = Position::first;
  b.pools.pop_back();
  b.mtu = 0;
  EXPECT_THAT(differences(*a, b), ElementsAre("datapath.position", "mtu", "pools.1"));
}

struct Bad {
  std::string_view name, text, message;
};
void PrintTo(const Bad& bad, std::ostream* out) { *out << bad.name; }

class BadConfig : public ::testing::TestWithParam<Bad> {};

TEST_P(BadConfig, IsRefusedByName) {
  const auto options = parse(GetParam().text);
  ASSERT_FALSE(options) << "accepted: " << GetParam().text;
  EXPECT_EQ(options.error().code, Code::invalid);
  EXPECT_THAT(options.error().message, HasSubstr(std::string(GetParam().message)));
}

#define POOL R"("pools": ["10.244.1.0/24"])"

INSTANTIATE_TEST_SUITE_P(
    Table, BadConfig,
    ::testing::Values(
        Bad{"empty", "", "parse error"}, Bad{"syntax", "{\n  \"pools\": [,]}", "line 2"},
        Bad{"not_an_object", "[]", "expected one JSON object, got array"},
        Bad{"no_pools", "{}", "pools: at least one prefix"},
        Bad{"unknown_key", R"({"pool": []})", R"(pool: unknown key; the nearest known one is "pools")"},
        Bad{"unknown_nested", R"({"datapath": {"max_endpoint": 1}})",
            R"(datapath.max_endpoint: unknown key; the nearest known one is "max_endpoints")"},
        Bad{"unknown_in_list", R"({"peers": [{"adresses": []}]})",
            R"(peers[0].adresses: unknown key; the nearest known one is "addresses")"},
        Bad{"repeated_key", R"({"mtu": 1400, "mtu": 1500})", "mtu: given twice"},
        Bad{"repeated_nested", R"({"masquerade": {"enabled": true, "enabled": false}})", "enabled: given twice"},
        Bad{"bool_type", R"({"manage_forwarding": "yes"})", "manage_forwarding: expected true or false, got \"yes\""},
        Bad{"string_type", R"({"run_dir": 1})", "run_dir: expected a string, got number"},
        Bad{"list_type", R"({"pools": "10.0.0.0/8"})", "pools: expected a list, got string"},
        Bad{"object_type", R"({"datapath": []})", "datapath: expected an object, got array"},
        Bad{"null", R"({"pools": null})", "pools: expected a list, got null"},
        Bad{"negative", R"({"mtu": -1})", "mtu: expected a whole number from 0 to 65535, got -1"},
        Bad{"too_large", R"({"mtu": 65536})", "mtu: expected a whole number from 0 to 65535, got 65536"},
        Bad{"fraction", R"({"mtu": 1400.5})", "mtu: expected a whole number"},
        Bad{"zero_map", R"({"datapath": {"max_endpoints": 0}})",
            "datapath.max_endpoints: expected a whole number from 1"},
        Bad{"enum", R"({"device": "bridge"})", R"(device: "bridge" is none of "auto", "netkit", "netkit-l2", "veth")"},
        Bad{"enum_type", R"({"device": 3})", "device: 3 is none of"},
        Bad{"control_character", "{\"run_dir\": \"/run/\\u0001\"}", "run_dir: control characters"},
        Bad{"bad_prefix", R"({"pools": ["10.244.1.0"]})", "pools[0]: "},
        Bad{"host_bits", R"({"pools": ["10.244.1.7/24"]})", "pools[0]: "},
        Bad{"bad_address", R"({"peers": [{"addresses": ["192.0.2.300"]}]})", "peers[0].addresses[0]: "},
        Bad{"log_level", R"({)" POOL R"(, "log_level": "loud"})", "log_level: \"loud\" is none of"},
        Bad{"relative_path", R"({)" POOL R"(, "run_dir": "run"})", "run_dir: \"run\" is not an absolute path"},
        Bad{"node_name", R"({)" POOL R"(, "node_name": "a b"})", "node_name: \"a b\""},
        Bad{"two_pools_of_a_family", R"({"pools": ["10.1.0.0/24", "10.2.0.0/24"]})", "pools[1]: a second pool"},
        Bad{"loopback_pool", R"({"pools": ["127.0.0.0/8"]})", "pools[0]: 127.0.0.0/8 is loopback"},
        Bad{"multicast_pool", R"({"pools": ["ff00::/8"]})", "pools[0]: ff00::/8 is multicast"},
        Bad{"link_local_pool", R"({"pools": ["fe80::/64"]})", "pools[0]: fe80::/64 is link-local"},
        Bad{"default_pool", R"({"pools": ["0.0.0.0/0"]})", "pools[0]: covers the unspecified address"},
        Bad{"range_overlaps_pool",
            R"({)" POOL R"(, "peers": [{"name": "b", "addresses": ["192.0.2.2"], "pod_ranges": ["10.244.0.0/16"]}]})",
            "peers[0].pod_ranges[0]: 10.244.0.0/16 overlaps 10.244.1.0/24 of pools[0]"},
        Bad{"ranges_overlap",
            R"({)" POOL R"(, "peers": [{"name": "b", "addresses": ["192.0.2.2"], "pod_ranges": ["10.9.0.0/16"]},
                                       {"name": "c", "addresses": ["192.0.2.3"], "pod_ranges": ["10.9.4.0/24"]}]})",
            "peers[1].pod_ranges[0]: 10.9.4.0/24 overlaps 10.9.0.0/16 of peers[0].pod_ranges[0]"},
        Bad{"peer_without_name", R"({)" POOL R"(, "peers": [{"addresses": ["192.0.2.2"]}]})", "peers[0].name: \"\""},
        Bad{"peer_twice",
            R"({)" POOL
            R"(, "peers": [{"name": "b", "addresses": ["192.0.2.2"]}, {"name": "b", "addresses": ["192.0.2.3"]}]})",
            "peers[1].name: \"b\" is used twice"},
        Bad{"peer_without_address", R"({)" POOL R"(, "peers": [{"name": "b"}]})", "peers[0].addresses: at least one"},
        Bad{"peer_two_v4", R"({)" POOL R"(, "peers": [{"name": "b", "addresses": ["192.0.2.2", "192.0.2.3"]}]})",
            "peers[0].addresses[1]: 192.0.2.3 is a second one"},
        Bad{"peer_address_taken",
            R"({)" POOL
            R"(, "peers": [{"name": "b", "addresses": ["192.0.2.2"]}, {"name": "c", "addresses": ["192.0.2.2"]}]})",
            "peers[1].addresses[0]: 192.0.2.2 is already an address of peers[0]"},
        Bad{"peer_in_pool", R"({)" POOL R"(, "peers": [{"name": "b", "addresses": ["10.244.1.9"]}]})",
            "lies in our own pool"},
        Bad{"peer_loopback", R"({)" POOL R"(, "peers": [{"name": "b", "addresses": ["127.0.0.1"]}]})",
            "peers[0].addresses[0]: 127.0.0.1 is no unicast"},
        Bad{"range_family",
            R"({)" POOL R"(, "peers": [{"name": "b", "addresses": ["192.0.2.2"], "pod_ranges": ["fd00::/64"]}]})",
            "peers[0].pod_ranges[0]: fd00::/64 needs an IPv6 address in peers[0].addresses"},
        Bad{"uplink_name", R"({)" POOL R"(, "uplinks": ["a/b"]})", "uplinks[0]: \"a/b\" is no interface name"},
        Bad{"uplink_twice", R"({)" POOL R"(, "uplinks": ["a", "a"]})", "uplinks[1]: \"a\" is given twice"},
        Bad{"mtu_v4", R"({)" POOL R"(, "mtu": 500})", "mtu: 500 is below 576"},
        Bad{"mtu_v6", R"({"pools": ["fd00::/64"], "mtu": 1279})", "mtu: 1279 is below 1280"},
        Bad{"event_buffer", R"({)" POOL R"(, "datapath": {"event_buffer": 5000}})",
            "5000 is not a power of two; the next one is 8192"},
        Bad{"deny_twice", R"({)" POOL R"(, "prefilter": {"deny": ["192.0.2.0/24", "192.0.2.0/24"]}})",
            "prefilter.deny[1]: 192.0.2.0/24 is given twice"},
        Bad{"deny_off", R"({)" POOL R"(, "prefilter": {"mode": "off", "deny": ["192.0.2.0/24"]}})",
            "prefilter.deny: has no effect"},
        Bad{"deny_too_many",
            R"({)" POOL R"(, "prefilter": {"max_prefixes": 1, "deny": ["192.0.2.0/24", "192.0.3.0/24"]}})",
            "more prefixes of one family"},
        Bad{"except_twice", R"({)" POOL R"(, "masquerade": {"except": ["10.0.0.0/8", "10.0.0.0/8"]}})",
            "masquerade.except[1]"},
        Bad{"masquerade_ports",
            R"({)" POOL R"(, "masquerade": {"mode": "bpf"}, "services": {"first_port": 61000, "last_port": 61014}})",
            "services.first_port: masquerade.mode \"bpf\" needs at least 16 ports"},
        Bad{"masquerade_hook", R"({)" POOL R"(, "masquerade": {"mode": "bpf"},
                "hooks": [{"name": "x", "object": "/x.o", "attach": "uplink-ingress", "order": "after"}]})",
            "hooks[0]: behind our program on uplink-ingress"},
        Bad{"hook_name", R"({)" POOL R"(, "hooks": [{"name": "../x", "object": "/x.o"}]})", "hooks[0].name: \"../x\""},
        Bad{"hook_twice",
            R"({)" POOL R"(, "hooks": [{"name": "x", "object": "/x.o"}, {"name": "x", "object": "/y.o"}]})",
            "hooks[1].name: \"x\" is used twice"},
        Bad{"hook_without_code", R"({)" POOL R"(, "hooks": [{"name": "x"}]})", "hooks[0]: exactly one of"},
        Bad{"hook_relative", R"({)" POOL R"(, "hooks": [{"name": "x", "object": "x.o"}]})", "hooks[0].object: \"x.o\""},
        Bad{"hook_source_embedded",
            R"({)" POOL R"(, "datapath": {"compile": "embedded"}, "hooks": [{"name": "x", "source": "/x.c"}]})",
            "hooks[0].source: needs clang"},
        Bad{"socket_length",
            R"({)" POOL
            R"(, "run_dir": "/run/0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789"})",
            "socket: longer than"}),
    [](const auto& each) { return std::string(each.param.name); });

TEST(Loader, NamesAllProblemsAtOnce) {
  const auto options = parse(R"({"mtu": -1, "devise": "veth", "pools": ["x"]})");
  ASSERT_FALSE(options);
  EXPECT_THAT(options.error().message,
              AllOf(HasSubstr("mtu:"), HasSubstr("devise: unknown key; the nearest known one is \"device\""),
                    HasSubstr("pools[0]:")));
}

TEST(Loader, FileErrorsNameTheFile) {
  const auto missing = load_file("/nonexistent/agent.json");
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, Code::not_found);
  EXPECT_THAT(missing.error().message, HasSubstr("/nonexistent/agent.json"));

  const std::string path = ::testing::TempDir() + "/netkite-loader-test-" + std::to_string(::getpid());
  std::ofstream(path) << "{\"mtu\": 1}";
  const auto bad = load_file(path);
  std::ofstream(path) << kFull;
  const auto good = load_file(path);
  ::unlink(path.c_str());
  ASSERT_FALSE(bad);
  EXPECT_THAT(bad.error().message, HasSubstr(path + ": pools"));
  EXPECT_TRUE(good);
}

}  // namespace
}  // namespace netkite::config
