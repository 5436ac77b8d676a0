// SPDX-License-Identifier: Apache-2.0
#include "cni-plugin/port_mappings.hpp"

#include <algorithm>
#include <cstdint>

#include "cni-plugin/json_field.hpp"

namespace netkite::cni {
namespace {

constexpr std::string_view kPortRule = "it must be a whole number from 1 to 65535";

Outcome<std::uint16_t> read_port(const nlohmann::json& mapping, std::string_view key, const std::string& where) {
  const auto field = where + "." + std::string(key);
  const auto* port = find_any_case(mapping, key);
  if (port == nullptr) return refuse(ErrorCode::config, field + " is missing: " + std::string(kPortRule));
  const bool fits = port->is_number_integer() && *port >= 1 && *port <= 65535;
  if (!fits) return bad_field(field, *port, kPortRule);
  return port->get<std::uint16_t>();
}

// The text under `key`, "" when it is absent.
Outcome<std::string> read_text(const nlohmann::json& mapping, std::string_view key, const std::string& where) {
  const auto* value = find_any_case(mapping, key);
  if (value == nullptr) return std::string();
  if (!value->is_string()) return bad_field(where + "." + std::string(key), *value, "it must be a string");
  return value->get<std::string>();
}

Outcome<wire::PortMapping> read_mapping(const nlohmann::json& json, const std::string& where) {
  if (!json.is_object()) return bad_field(where, json, "it must be an object");
  wire::PortMapping mapping;
  for (auto [key, port] : {std::pair{"hostPort", &mapping.host_port}, {"containerPort", &mapping.container_port}}) {
    const auto read = read_port(json, key, where);
    if (!read) return tl::make_unexpected(read.error());
    *port = *read;
  }
  auto protocol = read_text(json, "protocol", where);
  if (!protocol) return tl::make_unexpected(protocol.error());
  if (!protocol->empty()) {
    std::ranges::transform(*protocol, protocol->begin(), lower);
    const auto parsed = wire::parse_transport(*protocol);
    if (!parsed) return bad_field(where + ".protocol", *protocol, "it must be tcp, udp or sctp");
    mapping.protocol = *parsed;
  }
  const auto address = read_text(json, "hostIP", where);
  if (!address) return tl::make_unexpected(address.error());
  if (address->empty()) return mapping;
  const auto parsed = Ip::parse(*address);
  if (!parsed) return refuse(ErrorCode::config, where + ".hostIP: " + parsed.error().message);
  mapping.host_ip = *parsed;
  return mapping;
}

}  // namespace

Outcome<std::vector<wire::PortMapping>> read_port_mappings(const nlohmann::json& list, const std::string& field) {
  if (!list.is_array()) return bad_field(field, list, "it must be an array");
  if (list.size() > wire::kMostPortMappings) {
    return refuse(ErrorCode::config, field + " has " + std::to_string(list.size()) + " elements: it may have at most " +
                                         std::to_string(wire::kMostPortMappings));
  }
  std::vector<wire::PortMapping> mappings;
  for (std::size_t i = 0; i < list.size(); ++i) {
    const auto mapping = read_mapping(list[i], field + "[" + std::to_string(i) + "]");
    if (!mapping) return tl::make_unexpected(mapping.error());
    mappings.push_back(*mapping);
  }
  return mappings;
}

}  // namespace netkite::cni
