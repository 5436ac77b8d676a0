// SPDX-License-Identifier: Apache-2.0
#include "agent/kube/endpoint_slice.hpp"

#include <algorithm>

#include "agent/kube/reading.hpp"
#include "agent/kube/served.hpp"

namespace netkite::kube {
namespace {

constexpr const char* kServiceName = "kubernetes.io/service-name";
constexpr const char* kHostname = "kubernetes.io/hostname";
constexpr std::size_t kMaxEndpoints = 1000, kMaxPorts = 1000, kMaxHints = 8;  // the API's, but for the ports
static_assert(kMaxEndpoints < Picker::kMaxElements && kMaxPorts < Picker::kMaxElements);

Result<void> read_ports(const Json& list, EndpointSlice& slice) {
  if (!list.is_array()) return {};
  if (list.size() > kMaxPorts) return fail(Code::invalid, "ports: more than " + std::to_string(kMaxPorts));
  for (const auto& each : list) {
    // None stands for all ports, which no service has.
    const auto port = number_at(each, "port", 65535);
    if (!port) return wrap(port.error(), "ports");
    if (*port == 0) continue;
    const auto protocol = protocol_at(each);
    if (!protocol) return wrap(protocol.error(), "ports");
    slice.ports.push_back(
        {.name = text_at(each, "name"), .protocol = *protocol, .port = static_cast<std::uint16_t>(*port)});
  }
  return {};
}

void read_node_hints(const Json& list, const std::string& own_node, Endpoint& endpoint) {
  for (std::size_t i = 0; list.is_array() && i < std::min(list.size(), kMaxHints); ++i) {
    const auto node = text_at(list[i], "name");
    if (node.empty()) continue;
    endpoint.for_nodes = true;
    endpoint.for_us = endpoint.for_us || node == own_node;
  }
}

// The zones that an endpoint is meant for, as bits. False: there are more zones than bits.
bool read_zone_hints(const Json& list, EndpointSlice& slice, Endpoint& endpoint) {
  for (std::size_t i = 0; list.is_array() && i < std::min(list.size(), kMaxHints); ++i) {
    auto zone = text_at(list[i], "name");
    if (zone.empty()) continue;
    const auto place = std::ranges::find(slice.zones, zone) - slice.zones.begin();
    const auto bit = static_cast<std::size_t>(place);
    if (bit == EndpointSlice::kMaxZones) return false;
    if (bit == slice.zones.size()) slice.zones.push_back(std::move(zone));
    endpoint.zones |= 1U << bit;
  }
  return true;
}

// v1beta1 has it among the topology, and up to 1.20 there alone.
std::string node_of(const Json& endpoint) {
  auto node = text_at(endpoint, "nodeName");
  return node.empty() ? text_at(member(endpoint, "topology"), kHostname) : node;
}

Result<Ip> address_from(const Json& text, Family family) {
  auto address = ordinary_address(text);
  if (address && address->family() != family) {
    return fail(Code::invalid, address->to_string() + " is not of the slice's addressType");
  }
  return address;
}

Result<void> read_endpoints(const Json& list, const std::string& own_node, EndpointSlice& slice) {
  if (!list.is_array()) return {};
  if (list.size() > kMaxEndpoints) return fail(Code::invalid, "endpoints: more than " + std::to_string(kMaxEndpoints));
  bool hints = true;
  slice.endpoints.reserve(list.size());
  for (const auto& each : list) {
    const auto addresses = member(each, "addresses");
    if (!addresses.is_array() || addresses.empty()) continue;
    const auto address = address_from(addresses[0], slice.family);
    if (!address) return wrap(address.error(), "endpoints.addresses");
    const auto conditions = member(each, "conditions");
    Endpoint endpoint{.address = *address};
    endpoint.ready = flag_at(conditions, "ready", true);
    endpoint.serving = flag_at(conditions, "serving", endpoint.ready);
    endpoint.terminating = flag_at(conditions, "terminating", false);
    endpoint.local = !own_node.empty() && node_of(each) == own_node;
    const auto meant = member(each, "hints");
    read_node_hints(member(meant, "forNodes"), own_node, endpoint);
    hints = hints && read_zone_hints(member(meant, "forZones"), slice, endpoint);
    slice.endpoints.push_back(endpoint);
  }
  if (hints) return {};
  slice.zones.clear();
  for (auto& endpoint : slice.endpoints) endpoint.zones = 0;
  return {};
}

}  // namespace

Resource endpoint_slices() {
  Resource resource{
      .version = "discovery.k8s.io/v1",
      .kind = "EndpointSlice",
      .path = "/apis/discovery.k8s.io/v1/endpointslices",
      .namespaced = true,
      .selector = served_selector(),
      .fields = {"addressType", "ports.name", "ports.protocol", "ports.port", "endpoints.addresses",
                 "endpoints.conditions.ready", "endpoints.conditions.serving", "endpoints.conditions.terminating",
                 "endpoints.nodeName", "endpoints.hints.forNodes.name", "endpoints.hints.forZones.name"},
      .older = Resource::Older{.version = "discovery.k8s.io/v1beta1",
                               .path = "/apis/discovery.k8s.io/v1beta1/endpointslices"}};
  resource.fields.add_keys({"endpoints", "topology", kHostname});
  for (const auto* label : {kServiceName, kOtherProxy, kHeadless}) {
    resource.fields.add_keys({"metadata", "labels", label});
  }
  return resource;
}

Result<std::optional<EndpointSlice>> endpoint_slice_from(const Json& object, const std::string& own_node) {
  const auto metadata = member(object, "metadata");
  const auto service = text_at(member(metadata, "labels"), kServiceName);
  const auto type = text_at(object, "addressType");
  if (!is_served(metadata) || service.empty() || type == "FQDN") return std::nullopt;
  const auto context = "endpoint slice " + qualified_name(metadata);
  if (auto whole = check_whole(object); !whole) return wrap(whole.error(), context);
  if (type != "IPv4" && type != "IPv6") return fail(Code::invalid, context + ": addressType: neither IPv4 nor IPv6");
  EndpointSlice slice;
  slice.service = text_at(metadata, "namespace") + "/" + service;
  slice.family = type == "IPv4" ? Family::v4 : Family::v6;
  const auto read = read_ports(member(object, "ports"), slice).and_then([&] {
    return read_endpoints(member(object, "endpoints"), own_node, slice);
  });
  if (!read) return wrap(read.error(), context);
  return slice;
}

}  // namespace netkite::kube
