// SPDX-License-Identifier: Apache-2.0
#include "agent/kube/service.hpp"

#include <algorithm>
#include <charconv>

#include "agent/kube/reading.hpp"
#include "agent/kube/served.hpp"

namespace netkite::kube {
namespace {

constexpr std::size_t kMaxEntries = 1000;  // in each list of a service
static_assert(kMaxEntries < Picker::kMaxElements);
// Each port is at each address. Full lists of ports at the ClusterIPs and balancers of two families are within it; by
// default eight such services fit into the maps (services.max_frontends).
constexpr std::size_t kMaxTogether = 4 * kMaxEntries;
constexpr std::uint32_t kMaxPort = 65535;
constexpr std::uint32_t kAffinity = 10800, kMaxAffinity = 86400;  // seconds, the API's

Result<Json> bounded(const Json& list, const char* field) {
  if (!list.is_array()) return Json::array();
  if (list.size() > kMaxEntries) {
    return fail(Code::invalid, std::string(field) + ": it holds more than " + std::to_string(kMaxEntries));
  }
  return list;
}

Result<std::vector<Ip>> ips_of(const Json& whole, const char* field) {
  const auto list = bounded(whole, field);
  if (!list) return tl::make_unexpected(list.error());
  std::vector<Ip> addresses;
  for (const auto& text : *list) {
    const auto address = ordinary_address(text);
    if (!address) return wrap(address.error(), field);
    addresses.push_back(*address);
  }
  return addresses;
}

// Old servers have one address alone.
Json cluster_ip_texts(const Json& spec) {
  auto texts = member(spec, "clusterIPs");
  if (texts.is_array() && !texts.empty()) return texts;
  auto one = text_at(spec, "clusterIP");
  return one.empty() ? Json::array() : Json::array({std::move(one)});
}

std::vector<Ip> balancer_ips_of(const Json& ingress) {
  std::vector<Ip> addresses;
  for (std::size_t i = 0; ingress.is_array() && i < std::min(ingress.size(), kMaxEntries); ++i) {
    if (text_at(ingress[i], "ipMode") == "Proxy") continue;
    const auto address = Ip::parse(text_at(ingress[i], "ip"));
    if (address && is_ordinary(*address)) addresses.push_back(*address);
  }
  return addresses;
}

// The API takes spaces around a range, and host bits in it.
Result<Cidr> range_from(std::string text) {
  std::erase(text, ' ');
  const auto slash = text.find('/');
  const auto address = Ip::parse(text.substr(0, slash));
  if (!address || slash == std::string::npos) return Cidr::parse(text);
  unsigned length = 0;
  const auto* last = text.data() + text.size();
  const auto [end, error] = std::from_chars(text.data() + slash + 1, last, length);
  if (error != std::errc{} || end != last) return Cidr::parse(text);
  return Cidr::of(*address, length);
}

Result<std::vector<Cidr>> ranges_from(const Json& whole) {
  constexpr const char* kField = "spec.loadBalancerSourceRanges";
  const auto list = bounded(whole, kField);
  if (!list) return tl::make_unexpected(list.error());
  std::vector<Cidr> ranges;
  for (const auto& text : *list) {
    const auto range = range_from(text.is_string() ? text.get<std::string>() : "");
    if (!range) return wrap(range.error(), kField);
    ranges.push_back(*range);
  }
  return ranges;
}

Result<ServicePort> port_from(const Json& object) {
  const auto protocol = protocol_at(object);
  if (!protocol) return tl::make_unexpected(protocol.error());
  const auto port = number_at(object, "port", kMaxPort);
  if (!port) return tl::make_unexpected(port.error());
  if (*port == 0) return fail(Code::invalid, "port: missing");
  const auto node_port = number_at(object, "nodePort", kMaxPort);
  if (!node_port) return tl::make_unexpected(node_port.error());
  return ServicePort{.name = text_at(object, "name"),
                     .protocol = *protocol,
                     .port = static_cast<std::uint16_t>(*port),
                     .node_port = static_cast<std::uint16_t>(*node_port)};
}

Result<std::vector<ServicePort>> ports_from(const Json& whole) {
  constexpr const char* kField = "spec.ports";
  const auto list = bounded(whole, kField);
  if (!list) return tl::make_unexpected(list.error());
  std::vector<ServicePort> ports;
  for (const auto& each : *list) {
    auto port = port_from(each);
    if (!port) return wrap(port.error(), kField);
    const auto same = [&port](const ServicePort& other) {
      return other.port == port->port && other.protocol == port->protocol;
    };
    if (std::ranges::any_of(ports, same)) {
      return fail(Code::invalid, std::string(kField) + ": port " + std::to_string(port->port) + "/" +
                                     std::string(to_string(port->protocol)) + " is given twice");
    }
    ports.push_back(*std::move(port));
  }
  return ports;
}

Result<void> read_addresses(const Json& object, Service& service) {
  const auto spec = member(object, "spec");
  auto cluster_ips = ips_of(cluster_ip_texts(spec), "spec.clusterIPs");
  if (!cluster_ips) return tl::make_unexpected(cluster_ips.error());
  auto external_ips = ips_of(member(spec, "externalIPs"), "spec.externalIPs");
  if (!external_ips) return tl::make_unexpected(external_ips.error());
  auto ranges = ranges_from(member(spec, "loadBalancerSourceRanges"));
  if (!ranges) return tl::make_unexpected(ranges.error());
  service.cluster_ips = *std::move(cluster_ips);
  service.external_ips = *std::move(external_ips);
  service.load_balancer_ips = balancer_ips_of(member(member(member(object, "status"), "loadBalancer"), "ingress"));
  service.source_ranges = *std::move(ranges);
  return {};
}

Result<void> read_behaviour(const Json& spec, Service& service) {
  service.external_local = text_at(spec, "externalTrafficPolicy") == "Local";
  service.internal_local = text_at(spec, "internalTrafficPolicy") == "Local";
  service.publish_not_ready = flag_at(spec, "publishNotReadyAddresses", false);
  if (text_at(spec, "sessionAffinity") == "ClientIP") {
    const auto config = member(member(spec, "sessionAffinityConfig"), "clientIP");
    const auto seconds = number_at(config, "timeoutSeconds", kMaxAffinity);
    if (!seconds) return wrap(seconds.error(), "spec.sessionAffinityConfig.clientIP");
    service.affinity_s = *seconds == 0 ? kAffinity : *seconds;
  }
  const auto health = number_at(spec, "healthCheckNodePort", kMaxPort);
  if (!health) return wrap(health.error(), "spec");
  service.health_check_port = static_cast<std::uint16_t>(*health);
  auto ports = ports_from(member(spec, "ports"));
  if (!ports) return tl::make_unexpected(ports.error());
  service.ports = *std::move(ports);
  return {};
}

Result<void> check_size(const Service& service) {
  const auto addresses = service.cluster_ips.size() + service.external_ips.size() + service.load_balancer_ips.size();
  if (addresses * service.ports.size() <= kMaxTogether) return {};
  return fail(Code::invalid,
              "spec.ports: " + std::to_string(service.ports.size()) + " ports at " + std::to_string(addresses) +
                  " addresses (spec.clusterIPs, spec.externalIPs, status.loadBalancer) are more than " +
                  std::to_string(kMaxTogether) + " together: make several Services of it, each with some of them");
}

}  // namespace

Resource services() {
  Resource resource{.version = "v1",
                    .kind = "Service",
                    .path = "/api/v1/services",
                    .namespaced = true,
                    .selector = served_selector(),
                    .fields = {"metadata.creationTimestamp", "spec.type", "spec.clusterIP", "spec.clusterIPs",
                               "spec.externalIPs", "spec.loadBalancerSourceRanges", "spec.externalTrafficPolicy",
                               "spec.internalTrafficPolicy", "spec.publishNotReadyAddresses", "spec.sessionAffinity",
                               "spec.sessionAffinityConfig.clientIP.timeoutSeconds", "spec.healthCheckNodePort",
                               "spec.ports.name", "spec.ports.protocol", "spec.ports.port", "spec.ports.nodePort",
                               "status.loadBalancer.ingress.ip", "status.loadBalancer.ingress.ipMode"}};
  resource.fields.add_keys({"metadata", "labels", kOtherProxy});
  resource.fields.add_keys({"metadata", "labels", kHeadless});
  return resource;
}

Result<std::optional<Service>> service_from(const Json& object) {
  const auto metadata = member(object, "metadata");
  const auto context = "service " + qualified_name(metadata);
  if (auto whole = check_whole(object); !whole) return wrap(whole.error(), context);
  const auto spec = member(object, "spec");
  const auto texts = cluster_ip_texts(spec);
  if (!is_served(metadata) || text_at(spec, "type") == "ExternalName" || texts.empty() || texts[0] == "None") {
    return std::nullopt;
  }
  Service service;
  service.space = text_at(metadata, "namespace");
  service.name = text_at(metadata, "name");
  service.created = text_at(metadata, "creationTimestamp");
  const auto read =
      read_addresses(object, service).and_then([&] { return read_behaviour(spec, service); }).and_then([&] {
        return check_size(service);
      });
  if (!read) return wrap(read.error(), context);
  return service;
}

}  // namespace netkite::kube
