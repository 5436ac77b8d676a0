// SPDX-License-Identifier: Apache-2.0
#include "cni-plugin/result.hpp"

#include <string_view>
#include <utility>

namespace netkite::cni {
namespace {

using nlohmann::json;

const std::optional<Ip>& gateway_of(const PodNetwork& network, Family family) {
  return family == Family::v4 ? network.gateway4 : network.gateway6;
}

std::string with_length(const Ip& address) { return address.to_string() + "/" + std::to_string(address.width()); }

json default_route(const PodNetwork& network, Family family, SpecVersion version) {
  json route = {{"dst", family == Family::v4 ? "0.0.0.0/0" : "::/0"}};
  if (const auto& gateway = gateway_of(network, family)) {
    route["gw"] = gateway->to_string();
  } else if (version >= SpecVersion::v1_1_0 && family == Family::v4) {
    route["scope"] = 253;  // RT_SCOPE_LINK; IPv6 routes have no scope
  }
  return route;
}

bool has_default(const PodNetwork& network, Family family) {
  return family == Family::v4 ? network.default4 : network.default6;
}

json interface_entry(const std::string& name, const std::optional<Mac>& mac, std::uint32_t mtu, SpecVersion version) {
  json entry = {{"name", name}};
  if (mac) entry["mac"] = mac->to_string();
  if (version >= SpecVersion::v1_1_0) entry["mtu"] = mtu;
  return entry;
}

json address_entry(const PodNetwork& network, const Ip& address, std::size_t interface, SpecVersion version) {
  json entry = {{"address", with_length(address)}, {"interface", interface}};
  if (version < SpecVersion::v1_0_0) entry["version"] = address.is_v4() ? "4" : "6";
  if (const auto& gateway = gateway_of(network, address.family())) entry["gateway"] = gateway->to_string();
  return entry;
}

// Versions before 0.3.0 know one address a family, and no interfaces.
json legacy_result(const PodNetwork& network, SpecVersion version) {
  json result = {{"cniVersion", to_string(version)}};
  for (const Ip& address : network.addresses) {
    const char* key = address.is_v4() ? "ip4" : "ip6";
    if (result.contains(key)) continue;
    json entry = {{"ip", with_length(address)}};
    if (has_default(network, address.family())) {
      entry["routes"] = json::array({default_route(network, address.family(), version)});
    }
    if (const auto& gateway = gateway_of(network, address.family())) entry["gateway"] = gateway->to_string();
    result[key] = std::move(entry);
  }
  return result;
}

void append(const PodNetwork& network, SpecVersion version, json& result) {
  auto& interfaces = result["interfaces"];
  interfaces.push_back(interface_entry(network.host_ifname, network.host_mac, network.mtu, version));
  const std::size_t pod_interface = interfaces.size();
  // In L3 mode zeros, as the kernel shows them: podman refuses an interface of the pod without an address.
  interfaces.push_back(interface_entry(network.pod_ifname, network.pod_mac.value_or(Mac{}), network.mtu, version));
  interfaces.back()["sandbox"] = network.netns;
  for (const Ip& address : network.addresses) {
    result["ips"].push_back(address_entry(network, address, pod_interface, version));
  }
  for (const Family family : {Family::v4, Family::v6}) {
    if (has_default(network, family)) result["routes"].push_back(default_route(network, family, version));
  }
}

}  // namespace

json make_result(const PodNetwork& network, SpecVersion version, const json& base, const json& dns) {
  json result = base;
  if (version < SpecVersion::v0_3_0) {
    result = legacy_result(network, version);
  } else {
    append(network, version, result);
  }
  if (!dns.empty() || !result.contains("dns")) result["dns"] = dns;
  return result;
}

}  // namespace netkite::cni
