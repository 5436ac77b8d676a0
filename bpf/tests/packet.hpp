// SPDX-License-Identifier: Apache-2.0
// Frames for the programs' tests: every field has a sensible value, a test names the ones it is about.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace netkite::bpf_tests {

using Bytes = std::vector<std::uint8_t>;
using MacBytes = std::array<std::uint8_t, 6>;

inline constexpr std::uint16_t kIpv4 = 0x0800, kIpv6 = 0x86dd, kArp = 0x0806, kVlan = 0x8100, kQinq = 0x88a8;
inline constexpr std::uint8_t kIcmp = 1, kTcp = 6, kUdp = 17, kIcmp6 = 58;
inline constexpr std::uint8_t kHopByHop = 0, kRouting = 43, kFragment = 44, kAuth = 51, kDestination = 60;
inline constexpr std::size_t kEthBytes = 14, kIpv4Bytes = 20, kIpv6Bytes = 40;

// How many packets a test makes by chance: $NETKITE_RANDOM_PACKETS, else `usual`.
[[nodiscard]] int random_packets(int usual);

[[nodiscard]] Bytes operator+(Bytes left, const Bytes& right);

[[nodiscard]] Bytes address(const std::string& text);  // 4 or 16 bytes
[[nodiscard]] Bytes tcp(std::size_t payload = 0);      // 20 bytes of header, ports 1000 -> 2000
[[nodiscard]] Bytes udp();                             // ports 1000 -> 2000
[[nodiscard]] Bytes icmp(std::uint8_t type);           // also ICMPv6; 8 bytes
[[nodiscard]] Bytes extension(std::uint8_t next, std::size_t bytes = 8, std::uint8_t third = 1);
[[nodiscard]] Bytes fragment(std::uint8_t next, std::uint16_t offset_units, bool more);

struct Ip4 {
  std::string from = "10.0.0.1", to = "10.0.0.2";
  std::uint8_t ttl = 64, protocol = kTcp;
  Bytes options = {};          // a multiple of 4 bytes
  std::uint16_t fragment = 0;  // the whole field
  Bytes payload = tcp();
  std::uint8_t first_byte = 0;  // 0: version 4 and the length of the header
  MacBytes destination = {};    // zero: PACKET_HOST on the loopback device of a test run
  std::uint16_t id = 0;
};
[[nodiscard]] Bytes frame(const Ip4& ip);

struct Ip6 {
  std::string from = "fd00::1", to = "fd00::2";
  std::uint8_t hops = 64, next = kTcp;
  Bytes payload = tcp();
  std::uint8_t first_byte = 0x60;
  MacBytes destination = {};
};
[[nodiscard]] Bytes frame(const Ip6& ip);

inline constexpr std::uint8_t kFin = 1, kSyn = 2, kRst = 4, kAck = 16;

// A whole packet of a connection, with all checksums, of the family that the addresses have.
struct Ends {
  std::string from;
  std::uint16_t from_port = 0;
  std::string to;
  std::uint16_t to_port = 0;
  bool operator==(const Ends&) const = default;
};
struct Talk {
  Ends ends;
  std::uint8_t protocol = kTcp, flags = kSyn, hops = 64;
  Bytes payload = {};
  std::uint32_t sequence = 0, acknowledged = 0;
};
[[nodiscard]] Bytes frame(const Talk& talk);
// RFC 1071, of the transport of a frame without extension headers.
[[nodiscard]] Bytes with_checksum(Bytes frame);
[[nodiscard]] Ends ends_of(const Bytes& frame);

[[nodiscard]] Bytes frame(std::uint16_t type, const Bytes& payload);
[[nodiscard]] Bytes tagged(const Bytes& frame, std::uint16_t type, unsigned tags = 1);  // outermost tag of `type`

// What forwarding makes of a frame: MACs, one hop less, for IPv4 a checksum computed anew.
[[nodiscard]] Bytes forwarded(Bytes frame, const MacBytes& destination, const MacBytes& source);

}  // namespace netkite::bpf_tests
