// SPDX-License-Identifier: Apache-2.0
// Our values as the structs of bpf/abi have them, and back. Room-internal.
#pragma once

#include <netinet/in.h>

#include <array>
#include <cstring>
#include <string>

#include "agent/service/table.hpp"
#include "bpf/abi/netkite.h"
#include "bpf/abi/service.h"
#include "common/base/ip.hpp"

namespace netkite::datapath {

// The address's bytes as they stand in a packet.
[[nodiscard]] inline std::uint32_t abi_v4(const Ip& address) {
  std::uint32_t value = 0;
  std::memcpy(&value, address.bytes().data(), sizeof(value));
  return value;
}

// IPv4: the first 4 bytes, the rest zero.
[[nodiscard]] inline nk_addr6 abi_v6(const Ip& address) {
  nk_addr6 value{};
  std::memcpy(value.bytes, address.bytes().data(), address.bytes().size());
  return value;
}

[[nodiscard]] inline nk_prefix4 abi_prefix4(const Cidr& prefix) {
  return {.length = prefix.length(), .address = abi_v4(prefix.address())};
}

[[nodiscard]] inline nk_prefix6 abi_prefix6(const Cidr& prefix) {
  return {.length = prefix.length(), .address = abi_v6(prefix.address())};
}

[[nodiscard]] inline Ip ip_of(Family family, const void* bytes) {
  const auto length = family == Family::v4 ? std::size_t{4} : std::size_t{16};
  return Ip::from_bytes({static_cast<const std::byte*>(bytes), length}).value_or(Ip());
}

[[nodiscard]] inline Cidr cidr_of(const nk_prefix4& prefix) {
  return Cidr::of(ip_of(Family::v4, &prefix.address), prefix.length).value_or(Cidr());
}

[[nodiscard]] inline Cidr cidr_of(const nk_prefix6& prefix) {
  return Cidr::of(ip_of(Family::v6, &prefix.address), prefix.length).value_or(Cidr());
}

// Where one map serves both families, IPv4 addresses are ::ffff:a.b.c.d.
inline constexpr std::array<std::uint8_t, 12> kMapped = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};  // ::ffff:0:0/96

inline void write_mapped(std::uint32_t (&words)[4], const Ip& address) {
  auto* bytes = reinterpret_cast<std::byte*>(words);
  if (address.family() == Family::v4) {
    std::memcpy(bytes, kMapped.data(), kMapped.size());
    bytes += kMapped.size();
  }
  std::memcpy(bytes, address.bytes().data(), address.bytes().size());
}

[[nodiscard]] inline Ip read_mapped(const std::uint32_t (&words)[4]) {
  const bool mapped = std::memcmp(words, kMapped.data(), kMapped.size()) == 0;
  return mapped ? ip_of(Family::v4, &words[3]) : ip_of(Family::v6, words);
}

[[nodiscard]] inline service::Frontend frontend_of(const nk_service_address& key) {
  return {.address = read_mapped(key.address),
          .port = ntohs(key.port),
          .protocol = static_cast<kube::Protocol>(key.protocol),
          .led = key.led != 0};
}

// "TCP", "ICMPv6", a number; "" for 0, which is unknown.
[[nodiscard]] inline std::string protocol_name(std::uint8_t protocol) {
  switch (protocol) {
    case 0:
      return {};
    case IPPROTO_TCP:
      return "TCP";
    case IPPROTO_UDP:
      return "UDP";
    case IPPROTO_ICMP:
      return "ICMP";
    case IPPROTO_ICMPV6:
      return "ICMPv6";
    default:
      return std::to_string(protocol);
  }
}

}  // namespace netkite::datapath
