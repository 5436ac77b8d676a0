// SPDX-License-Identifier: Apache-2.0
#include "agent/endpoint/endpoint.hpp"

#include <array>
#include <utility>

namespace netkite::endpoint {
namespace {

using Json = nlohmann::json;

constexpr std::array<std::pair<State, std::string_view>, 3> kStates = {{
    {State::preparing, "preparing"},
    {State::ready, "ready"},
    {State::removing, "removing"},
}};

Result<State> parse_state(std::string_view text) {
  for (const auto& [state, name] : kStates) {
    if (name == text) return state;
  }
  return fail(Code::invalid, "state: \"" + std::string(text) + "\" is unknown");
}

// The fields whose text form has a parser of its own.
Result<void> read_parsed(const Json& json, Endpoint& endpoint) {
  auto attachment = wire::from_json<wire::Attachment>(json.at("attachment"));
  if (!attachment) return wrap(attachment.error(), "attachment");
  endpoint.attachment = *std::move(attachment);

  const auto state = parse_state(json.at("state").get<std::string>());
  if (!state) return tl::make_unexpected(state.error());
  endpoint.state = *state;

  const auto device = wire::parse_device_mode(json.at("device").get<std::string>());
  if (!device) return wrap(device.error(), "device");
  endpoint.device = *device;

  if (!json.at("addresses").is_array()) return fail(Code::invalid, "addresses: must be an array");
  for (const auto& text : json.at("addresses")) {
    const auto address = Ip::parse(text.get<std::string>());
    if (!address) return wrap(address.error(), "addresses");
    endpoint.addresses.push_back(*address);
  }
  for (auto [key, mac] : {std::pair{"pod_mac", &endpoint.pod_mac}, std::pair{"host_mac", &endpoint.host_mac}}) {
    const auto parsed = Mac::parse(json.at(key).get<std::string>());
    if (!parsed) return wrap(parsed.error(), key);
    *mac = *parsed;
  }
  if (const auto ports = json.find("host_ports"); ports != json.end()) {
    if (!ports->is_array()) return fail(Code::invalid, "host_ports: must be an array");
    for (const auto& text : *ports) {
      const auto mapping = wire::parse_port_mapping(text.get<std::string>());
      if (!mapping) return wrap(mapping.error(), "host_ports");
      endpoint.host_ports.push_back(*mapping);
    }
  }
  return {};
}

}  // namespace

std::string_view to_string(State state) {
  for (const auto& [known, name] : kStates) {
    if (known == state) return name;
  }
  return "unknown";
}

Json to_json(const Endpoint& endpoint) {
  Json addresses = Json::array();
  for (const auto& address : endpoint.addresses) addresses.push_back(address.to_string());
  Json ports = Json::array();
  for (const auto& mapping : endpoint.host_ports) ports.push_back(to_string(mapping));
  return {
      {"attachment", wire::to_json(endpoint.attachment)},
      {"state", to_string(endpoint.state)},
      {"id", endpoint.id},
      {"device", wire::to_string(endpoint.device)},
      {"host_ifname", endpoint.host_ifname},
      {"host_ifindex", endpoint.host_ifindex},
      {"pod_ifindex", endpoint.pod_ifindex},
      {"addresses", std::move(addresses)},
      {"pod_mac", endpoint.pod_mac.to_string()},
      {"host_mac", endpoint.host_mac.to_string()},
      {"netns", {{"device", endpoint.netns.device}, {"inode", endpoint.netns.inode}, {"path", endpoint.netns_path}}},
      {"pod", {{"namespace", endpoint.pod_namespace}, {"name", endpoint.pod_name}, {"uid", endpoint.pod_uid}}},
      {"stack_path", endpoint.stack_path},
      {"bandwidth", wire::to_json(endpoint.bandwidth)},
      {"host_ports", std::move(ports)},
      {"order", endpoint.order},
  };
}

Result<Endpoint> from_json(const Json& json) {
  Endpoint endpoint;
  try {
    if (auto read = read_parsed(json, endpoint); !read) return tl::make_unexpected(read.error());
    json.at("id").get_to(endpoint.id);
    json.at("host_ifname").get_to(endpoint.host_ifname);
    json.at("host_ifindex").get_to(endpoint.host_ifindex);
    json.at("pod_ifindex").get_to(endpoint.pod_ifindex);
    const Json& netns = json.at("netns");
    netns.at("device").get_to(endpoint.netns.device);
    netns.at("inode").get_to(endpoint.netns.inode);
    netns.at("path").get_to(endpoint.netns_path);
    const Json& pod = json.at("pod");
    pod.at("namespace").get_to(endpoint.pod_namespace);
    pod.at("name").get_to(endpoint.pod_name);
    pod.at("uid").get_to(endpoint.pod_uid);
    json.at("stack_path").get_to(endpoint.stack_path);
    // Rows of former versions have none.
    const auto bandwidth = wire::from_json<wire::Bandwidth>(json.value("bandwidth", Json::object()));
    if (!bandwidth) return wrap(bandwidth.error(), "bandwidth");
    endpoint.bandwidth = *bandwidth;
    endpoint.order = json.value("order", endpoint.order);
  } catch (const Json::exception& error) {
    return fail(Code::invalid, error.what());
  }
  return endpoint;
}

datapath::EndpointDevice device_of(const Endpoint& endpoint) {
  return {
      .id = endpoint.id,
      .host_ifname = endpoint.host_ifname,
      .host_ifindex = endpoint.host_ifindex,
      .mode = endpoint.device,
      .addresses = endpoint.addresses,
      .pod_mac = endpoint.pod_mac,
      .host_mac = endpoint.host_mac,
      .stack_path = endpoint.stack_path,
      .bandwidth = endpoint.bandwidth,
  };
}

}  // namespace netkite::endpoint
