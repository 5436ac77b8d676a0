// SPDX-License-Identifier: Apache-2.0
#include "agent/config/check.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <map>
#include <set>

#include "common/wire/agent_api.hpp"

namespace netkite::config {
namespace {

constexpr std::size_t kMaxSocketPath = 107;  // sun_path of unix(7), without the final zero
constexpr std::uint32_t kMinMtu4 = 576;      // RFC 791: what every host takes
constexpr std::uint32_t kMinMtu6 = 1280;     // RFC 8200 section 5; the kernel turns IPv6 off below it
constexpr std::uint32_t kFirstNodePort =
    30000;  // the API server's --service-node-port-range, unless it is told another
constexpr std::uint32_t kLastNodePort = 32767;
constexpr std::uint32_t kFewestPorts = 16;  // to be shared by programs and stack

// Collects lines; one member function for each part of the file.
class Checker {
 public:
  explicit Checker(const Options& options) : options_(options) {}

  std::vector<std::string> run() {
    strings();
    kubernetes();
    services();
    pools();
    for (std::size_t i = 0; i < options_.peers.size(); ++i) peer(i);
    uplinks();
    mtu();
    datapath();
    prefilter();
    masquerade();
    hooks();
    return std::move(problems_);
  }

 private:
  void problem(std::string line) { problems_.push_back(std::move(line)); }
  static std::string item(std::string_view list, std::size_t i) {
    return std::string(list) + "[" + std::to_string(i) + "]";
  }

  void absolute(std::string_view key, const std::string& path) {
    if (!path.starts_with('/')) problem(std::string(key) + ": \"" + path + "\" is not an absolute path");
  }

  void strings() {
    constexpr std::array<std::string_view, 5> kLevels = {"trace", "debug", "info", "warn", "error"};
    if (std::ranges::find(kLevels, options_.log_level) == kLevels.end()) {
      problem("log_level: \"" + options_.log_level + R"(" is none of "trace", "debug", "info", "warn", "error")");
    }
    if (!options_.node_name.empty() && !wire::is_valid_name(options_.node_name)) {
      problem("node_name: \"" + options_.node_name + "\" may hold only letters, digits, '_', '.' and '-'");
    }
    absolute("run_dir", options_.run_dir);
    absolute("bpffs", options_.bpffs);
    absolute("sysctl_dir", options_.sysctl_dir);
    absolute("datapath.source_dir", options_.datapath.source_dir);
    absolute("datapath.cache_dir", options_.datapath.cache_dir);
    absolute("socket", socket_path(options_));
    if (socket_path(options_).size() > kMaxSocketPath) {
      problem("socket: longer than the kernel's " + std::to_string(kMaxSocketPath) + " bytes");
    }
  }

  void pod_prefix(const std::string& where, const Cidr& prefix) {
    if (auto sane = check_pod_range(prefix); !sane) return problem(where + ": " + sane.error().message);
    for (const auto& [other, name] : taken_) {
      if (other.overlaps(prefix)) {
        problem(where + ": " + prefix.to_string() + " overlaps " + other.to_string() + " of " + name);
      }
    }
    taken_.emplace(prefix, where);
  }

  void kubernetes() {
    const auto& kubernetes = options_.kubernetes;
    if (!kubernetes.kubeconfig.empty()) absolute("kubernetes.kubeconfig", kubernetes.kubeconfig);
    if (!kubernetes.manifests.empty()) {
      absolute("kubernetes.manifests", kubernetes.manifests);
      if (!kubernetes.kubeconfig.empty()) problem("kubernetes.kubeconfig: of no use while kubernetes.manifests is set");
      if (!kubernetes.server.empty()) problem("kubernetes.server: of no use while kubernetes.manifests is set");
    }
    const auto& server = kubernetes.server;
    if (!server.empty() && !server.starts_with("https://") && !server.starts_with("http://")) {
      problem("kubernetes.server: \"" + server + R"(" is no URL; it looks like "https://192.0.2.1:6443")");
    }
    if (!kubernetes.enabled) {
      if (options_.pools.empty()) problem("pools: at least one prefix is needed, such as \"10.244.1.0/24\"");
      return;
    }
    if (!options_.pools.empty()) problem("pools: they come from the Node object while kubernetes.enabled is true");
    if (!options_.peers.empty()) problem("peers: they come from the Node objects while kubernetes.enabled is true");
  }

  void services() {
    const auto& services = options_.services;
    if (!services.cgroup.empty()) absolute("services.cgroup", services.cgroup);
    if (services.enabled && !options_.kubernetes.enabled) {
      problem("services.enabled: it needs kubernetes.enabled: an API server or a folder of manifests has the Services");
    }
    if (services.host_ports && !services.enabled) {
      problem("services.host_ports: it needs services.enabled, whose programs serve them");
    }
    if (services.dsr && !services.enabled) {
      problem("services.dsr: it needs services.enabled, whose programs lead clients to other nodes");
    }
    if (services.healthz_port != 0 && !services.enabled) {
      problem("services.healthz_port: it needs services.enabled: what is served is all that it has to say");
    }
    if (services.healthz_port != 0 && services.healthz_port == options_.http_port) {
      problem("services.healthz_port: http_port is the same one");
    }
    if (services.dsr && !has_overlay(options_)) {
      problem(R"(services.dsr: clients are led to other nodes by the overlay: set routing to "overlay" or "auto")");
    }
    ports();
  }

  void masquerade() {
    if (!masks_in_bpf(options_)) return;
    const auto& services = options_.services;
    if (services.first_port <= services.last_port && services.last_port - services.first_port + 1 < kFewestPorts) {
      problem("services.first_port: masquerade.mode \"bpf\" needs at least " + std::to_string(kFewestPorts) +
              " ports up to services.last_port");
    }
    for (std::size_t i = 0; i < options_.hooks.size(); ++i) {
      const auto& hook = options_.hooks[i];
      if (hook.attach != HookPoint::uplink_ingress || hook.order != HookOrder::after) continue;
      problem(item("hooks", i) + ": behind our program on uplink-ingress answers are not translated, which " +
              R"(masquerade.mode "bpf" needs: give it "order": "before", or set masquerade.mode to "nftables")");
    }
  }

  void ports() {
    const auto first = options_.services.first_port;
    const auto last = options_.services.last_port;
    const auto range = std::to_string(first) + "-" + std::to_string(last);
    if (first > last) {
      return problem("services.first_port: " + std::to_string(first) + " is beyond services.last_port, " +
                     std::to_string(last));
    }
    if (first <= kLastNodePort && last >= kFirstNodePort) {
      problem("services.first_port: " + range + " overlaps NodePorts, " + std::to_string(kFirstNodePort) + "-" +
              std::to_string(kLastNodePort));
    }
    const auto tunnel = options_.overlay.port;
    if (has_overlay(options_) && first <= tunnel && tunnel <= last) {
      problem("services.first_port: " + range + " contains overlay.port, " + std::to_string(tunnel));
    }
  }

  void pools() {
    std::set<Family> families;
    for (std::size_t i = 0; i < options_.pools.size(); ++i) {
      const auto& pool = options_.pools[i];
      pod_prefix(item("pools", i), pool);
      if (!families.insert(pool.family()).second) problem(item("pools", i) + ": a second pool of the same family");
    }
  }

  void peer_addresses(const std::string& where, const Peer& peer) {
    if (peer.addresses.empty()) problem(where + ".addresses: at least one address of the node is needed");
    std::set<Family> families;
    for (std::size_t i = 0; i < peer.addresses.size(); ++i) {
      const auto& address = peer.addresses[i];
      const auto at = item(where + ".addresses", i) + ": " + address.to_string();
      if (!families.insert(address.family()).second) problem(at + " is a second one of its family");
      if (!is_node_address(address)) problem(at + " is no unicast address that a node can be reached at from anywhere");
      const auto [other, fresh] = addresses_.emplace(address, where);
      if (!fresh) problem(at + " is already an address of " + other->second);
      for (const auto& pool : options_.pools) {
        if (pool.contains(address)) problem(at + " lies in our own pool " + pool.to_string());
      }
    }
  }

  void peer(std::size_t index) {
    const auto& peer = options_.peers[index];
    const auto where = item("peers", index);
    if (!wire::is_valid_name(peer.name)) {
      problem(where + ".name: \"" + peer.name +
              "\" must be letters, digits, '_', '.' and '-', starting with one of the " + "first two");
    }
    if (!names_.insert(peer.name).second) problem(where + ".name: \"" + peer.name + "\" is used twice");
    peer_addresses(where, peer);
    for (std::size_t i = 0; i < peer.pod_ranges.size(); ++i) {
      const auto& range = peer.pod_ranges[i];
      const auto at = item(where + ".pod_ranges", i);
      pod_prefix(at, range);
      // IPv4 can be sent to an IPv6 neighbour, not the other way round; the overlay carries both over either.
      const bool reachable = range.family() == Family::v4 || options_.routing == Routing::overlay ||
                             std::ranges::any_of(peer.addresses, &Ip::is_v6);
      if (!reachable) problem(at + ": " + range.to_string() + " needs an IPv6 address in " + where + ".addresses");
    }
  }

  void uplinks() {
    std::set<std::string> seen;
    for (std::size_t i = 0; i < options_.uplinks.size(); ++i) {
      const auto& name = options_.uplinks[i];
      if (!wire::is_valid_ifname(name)) problem(item("uplinks", i) + ": \"" + name + "\" is no interface name");
      if (!seen.insert(name).second) problem(item("uplinks", i) + ": \"" + name + "\" is given twice");
    }
  }

  void mtu() {
    if (options_.mtu == 0) return;
    const bool v6 = std::ranges::any_of(options_.pools, [](const Cidr& pool) { return pool.family() == Family::v6; });
    const std::uint32_t least = v6 ? kMinMtu6 : kMinMtu4;
    if (options_.mtu < least) {
      problem("mtu: " + std::to_string(options_.mtu) + " is below " + std::to_string(least) + ", the least for " +
              (v6 ? "IPv6" : "IPv4"));
    }
  }

  void datapath() {
    const auto bytes = options_.datapath.event_buffer;
    if (!std::has_single_bit(bytes)) {
      problem("datapath.event_buffer: " + std::to_string(bytes) + " is not a power of two; the next one is " +
              std::to_string(std::bit_ceil(bytes)));
    }
  }

  void prefixes(std::string_view key, const std::vector<Cidr>& list) {
    std::set<Cidr> seen;
    for (std::size_t i = 0; i < list.size(); ++i) {
      if (!seen.insert(list[i]).second) problem(item(key, i) + ": " + list[i].to_string() + " is given twice");
    }
  }

  void prefilter() {
    prefixes("masquerade.except", options_.masquerade.except);
    const auto& filter = options_.prefilter;
    prefixes("prefilter.deny", filter.deny);
    if (filter.mode == XdpMode::off && !filter.deny.empty()) {
      problem("prefilter.deny: has no effect while prefilter.mode is \"off\"");
    }
    for (const auto family : {Family::v4, Family::v6}) {
      const auto count = std::ranges::count(filter.deny, family, &Cidr::family);
      if (count > static_cast<std::ptrdiff_t>(filter.max_prefixes)) {
        problem("prefilter.deny: more prefixes of one family than prefilter.max_prefixes, " +
                std::to_string(filter.max_prefixes));
      }
    }
  }

  void hooks() {
    std::set<std::string> seen;
    for (std::size_t i = 0; i < options_.hooks.size(); ++i) {
      const auto& hook = options_.hooks[i];
      const auto where = item("hooks", i);
      // Names become file names of pins.
      const bool plain = wire::is_valid_name(hook.name) && hook.name.find('.') == std::string::npos;
      if (!plain || hook.name.size() > 32) {
        problem(where + ".name: \"" + hook.name + "\" must be 1 to 32 letters, digits, '_' and '-'");
      }
      if (!seen.insert(hook.name).second) problem(where + ".name: \"" + hook.name + "\" is used twice");
      if (hook.source.empty() == hook.object.empty()) {
        problem(where + ": exactly one of \"source\" and \"object\" is needed");
      }
      if (!hook.source.empty()) absolute(where + ".source", hook.source);
      if (!hook.object.empty()) absolute(where + ".object", hook.object);
      if (!hook.source.empty() && options_.datapath.compile == Compile::embedded) {
        problem(where + R"(.source: needs clang, but datapath.compile is "embedded"; give an "object")");
      }
    }
  }

  const Options& options_;
  std::vector<std::string> problems_;
  std::map<Cidr, std::string> taken_;    // pod prefixes seen so far, and where
  std::map<Ip, std::string> addresses_;  // of peers
  std::set<std::string> names_;          // of peers
};

}  // namespace

Result<void> check_pod_range(const Cidr& prefix) {
  const Ip& address = prefix.address();
  if (prefix.length() == 0 || address.is_unspecified()) return fail(Code::invalid, "covers the unspecified address");
  const char* kind = address.is_loopback()     ? " is loopback"
                     : address.is_multicast()  ? " is multicast"
                     : address.is_link_local() ? " is link-local"
                                               : nullptr;
  if (kind != nullptr) return fail(Code::invalid, prefix.to_string() + kind);
  return {};
}

bool is_node_address(const Ip& address) {
  return !address.is_unspecified() && !address.is_loopback() && !address.is_multicast() && !address.is_link_local();
}

std::vector<std::string> check(const Options& options) { return Checker(options).run(); }

}  // namespace netkite::config
