// SPDX-License-Identifier: Apache-2.0
// What the kernel's maps of services hold, as plain values.
//
// A frontend is an address that clients connect to. It leads to a set: the backends of one service port, one family and
// one scope. Slots 0 to count-1 of a set name backends. Identifiers of sets and backends are never 0, and never used
// again: sockets remember them.
#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "agent/kube/service.hpp"
#include "common/base/ip.hpp"

namespace netkite::service {

struct Frontend {
  Ip address;
  std::uint16_t port = 0;
  kube::Protocol protocol = kube::Protocol::tcp;
  bool led = false;  // an entrance only: for clients that have asked another node, which leads them here

  auto operator<=>(const Frontend&) const = default;
};

// "10.96.0.1:443/TCP", "[fd00::1]:443/TCP"
[[nodiscard]] inline std::string to_string(const Frontend& frontend) {
  const auto address = frontend.address.to_string();
  return (frontend.address.is_v6() ? "[" + address + "]" : address) + ":" + std::to_string(frontend.port) + "/" +
         std::string(kube::to_string(frontend.protocol));
}

struct FrontendEntry {
  std::uint32_t set = 0;
  std::uint32_t count = 0;       // of backends; 0: connections are refused
  std::uint32_t affinity_s = 0;  // how long a client keeps its backend, 0: each connection may get another one

  bool operator==(const FrontendEntry&) const = default;
};

// A frontend as the outside sees it: what comes in on an uplink is asking here.
struct EntranceEntry {
  std::uint32_t set = 0;
  std::uint32_t count = 0;
  std::uint32_t affinity_s = 0;  // a client is an address here
  bool keep_source = false;      // externalTrafficPolicy: Local
  bool ranges = false;           // only clients within the set's ranges are let in
  std::uint32_t table = 0;       // places in the set's Maglev table; 0: backends are chosen by chance
  bool direct = false;           // clients are led to other nodes' pods, which answer them (DSR)

  bool operator==(const EntranceEntry&) const = default;
};

struct Range {
  std::uint32_t set = 0;
  Cidr clients;

  auto operator<=>(const Range&) const = default;
};

// A piece of a set's Maglev table: the backends' identifiers, kMaglevPiece of them but for the last piece.
inline constexpr std::uint32_t kMaglevPiece = 64;
struct MaglevPiece {
  std::uint32_t set = 0, piece = 0;

  auto operator<=>(const MaglevPiece&) const = default;
};

struct Slot {
  std::uint32_t set = 0, index = 0;

  auto operator<=>(const Slot&) const = default;
};

struct Backend {
  std::uint32_t set = 0;
  Ip address;
  std::uint16_t port = 0;

  bool operator==(const Backend&) const = default;
};

// All that is in the maps, in any order.
struct Table {
  std::vector<std::pair<Frontend, FrontendEntry>> frontends;
  std::vector<std::pair<Slot, std::uint32_t>> slots;        // the backend's identifier
  std::vector<std::pair<std::uint32_t, Backend>> backends;  // by identifier
  std::vector<std::pair<Frontend, EntranceEntry>> entrances;
  std::vector<Range> ranges;
  std::vector<std::pair<MaglevPiece, std::vector<std::uint32_t>>> maglev;
  std::uint32_t highest = 0;  // no identifier above it was ever given, but for those above
};

// Writes and removals, to be carried out in the order of the members. Whoever reads a frontend at any moment finds
// backends in all of its slots: those of a count that is out of date are removed last.
struct Changes {
  std::vector<std::pair<std::uint32_t, Backend>> backends;
  std::vector<std::pair<Slot, std::uint32_t>> slots;
  std::vector<std::pair<MaglevPiece, std::vector<std::uint32_t>>> maglev;
  std::vector<Range> ranges;
  std::vector<std::pair<Frontend, FrontendEntry>> frontends;
  std::vector<std::pair<Frontend, EntranceEntry>> entrances;
  std::vector<Frontend> gone_entrances;
  std::vector<Frontend> gone_frontends;
  std::vector<Range> gone_ranges;
  std::vector<MaglevPiece> gone_maglev;
  std::vector<Slot> gone_slots;
  std::vector<std::uint32_t> gone_backends;
  bool enters_node = false;  // who comes from outside may be led to this node itself now; no change of its own

  [[nodiscard]] bool empty() const {
    return backends.empty() && slots.empty() && maglev.empty() && ranges.empty() && frontends.empty() &&
           entrances.empty() && gone_entrances.empty() && gone_frontends.empty() && gone_ranges.empty() &&
           gone_maglev.empty() && gone_slots.empty() && gone_backends.empty();
  }
};

}  // namespace netkite::service
