// SPDX-License-Identifier: Apache-2.0
// An EndpointSlice object, as far as the network needs it. Small: a cluster may have 100,000 endpoints.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "agent/kube/service.hpp"
#include "common/base/ip.hpp"
#include "common/base/result.hpp"

namespace netkite::kube {

struct Endpoint {
  Ip address;  // the first one: all that an endpoint lists stand for the same thing
  // The conditions, with what their absence means.
  bool ready = true, serving = true, terminating = false;
  bool local = false;                      // on our own node
  bool for_nodes = false, for_us = false;  // hints.forNodes: there are some; our own node is among them
  std::uint32_t zones = 0;                 // hints.forZones: bit i stands for EndpointSlice::zones[i]

  bool operator==(const Endpoint&) const = default;
};
static_assert(sizeof(Endpoint) <= 28);

struct EndpointPort {
  std::string name;
  Protocol protocol = Protocol::tcp;
  std::uint16_t port = 0;

  bool operator==(const EndpointPort&) const = default;
};

struct EndpointSlice {
  static constexpr std::size_t kMaxZones = 32;  // a slice that names more has no hints

  std::string service;  // whose endpoints they are: "namespace/name"
  Family family = Family::v4;
  std::vector<EndpointPort> ports;  // of each endpoint
  std::vector<Endpoint> endpoints;
  std::vector<std::string> zones;  // those that hints name, each once

  bool operator==(const EndpointSlice&) const = default;
};

// Those that a service proxy is meant to serve.
[[nodiscard]] Resource endpoint_slices();
// Nothing for one that belongs to no service, holds names instead of addresses, or is another proxy's. invalid: names
// the field; among the rest an address that leads into the node itself, which would let its author past every check.
[[nodiscard]] Result<std::optional<EndpointSlice>> endpoint_slice_from(const Json& object, const std::string& own_node);

}  // namespace netkite::kube
