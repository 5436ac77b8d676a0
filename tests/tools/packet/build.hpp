// SPDX-License-Identifier: Apache-2.0
// Builds single packets, well-formed or hostile, from a kind and two addresses.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "common/base/ip.hpp"
#include "common/base/result.hpp"

namespace netkite::packet {

struct Ports {
  std::uint16_t from = 9999, to = 9999;
};

// Kinds: udp, syn, ack and rst (segments of TCP with that flag), echo, ra, redirect, source-route (IPv4 option or IPv6
// routing header type 0), fragment (the second half of a UDP datagram), truncated (a header that promises more than
// there is), arp, forged and forged-port (udp; whoever sends it has the device write a checksum into the source, or
// into its port).
// Network byte order, from the IP header on; both addresses of one family. arp: IPv4 addresses, an ARP request of
// `source` for `destination`. Ports are of UDP and TCP.
[[nodiscard]] Result<std::vector<std::uint8_t>> build(std::string_view kind, const Ip& source, const Ip& destination,
                                                      Ports ports = {});

}  // namespace netkite::packet
