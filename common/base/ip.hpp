// SPDX-License-Identifier: Apache-2.0
// Addresses as values. Bytes are in network order throughout; comparison is by family, then bytes.
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "common/base/result.hpp"

namespace netkite {

enum class Family : std::uint8_t { v4, v6 };

// An IPv4 or IPv6 address.
class Ip {
 public:
  Ip() = default;                                                // 0.0.0.0
  [[nodiscard]] static Result<Ip> parse(std::string_view text);  // no prefix, no zone, no surrounding space
  // 4 or 16 bytes in network order; any other length is Code::invalid.
  [[nodiscard]] static Result<Ip> from_bytes(std::span<const std::byte> bytes);
  [[nodiscard]] static Ip v4(std::uint32_t host_order);
  [[nodiscard]] static Ip v6(const std::array<std::uint8_t, 16>& bytes);

  [[nodiscard]] Family family() const { return family_; }
  [[nodiscard]] bool is_v4() const { return family_ == Family::v4; }
  [[nodiscard]] bool is_v6() const { return family_ == Family::v6; }
  [[nodiscard]] int af() const;                                        // AF_INET or AF_INET6
  [[nodiscard]] unsigned width() const { return is_v4() ? 32 : 128; }  // bits
  [[nodiscard]] std::span<const std::uint8_t> bytes() const { return {bytes_.data(), is_v4() ? 4U : 16U}; }
  [[nodiscard]] bool is_loopback() const;
  [[nodiscard]] bool is_multicast() const;
  [[nodiscard]] bool is_link_local() const;
  [[nodiscard]] bool is_unspecified() const;
  [[nodiscard]] std::string to_string() const;

  auto operator<=>(const Ip&) const = default;

 private:
  Family family_ = Family::v4;
  std::array<std::uint8_t, 16> bytes_{};
};

// A prefix. Host bits are zero (parse_strict refuses set ones, parse_host keeps the address beside it).
class Cidr {
 public:
  Cidr() = default;
  // "10.0.0.0/24". A missing "/len" or set host bits is Code::invalid with the corrected form in the message.
  [[nodiscard]] static Result<Cidr> parse(std::string_view text);
  // The prefix of `length` bits that contains `address`; length beyond the width is Code::invalid.
  [[nodiscard]] static Result<Cidr> of(const Ip& address, unsigned length);
  [[nodiscard]] static Cidr host(const Ip& address);  // /32 or /128

  [[nodiscard]] const Ip& address() const { return address_; }
  [[nodiscard]] unsigned length() const { return length_; }
  [[nodiscard]] Family family() const { return address_.family(); }
  [[nodiscard]] bool contains(const Ip& address) const;
  [[nodiscard]] bool contains(const Cidr& other) const;
  [[nodiscard]] bool overlaps(const Cidr& other) const;
  // The number of addresses, saturating at 2^63.
  [[nodiscard]] std::uint64_t size() const;
  // The address at `offset` from the first; offset < size().
  [[nodiscard]] Ip at(std::uint64_t offset) const;
  // The inverse of at(): only for contained addresses whose offset fits.
  [[nodiscard]] std::uint64_t offset_of(const Ip& address) const;
  [[nodiscard]] std::string to_string() const;

  auto operator<=>(const Cidr&) const = default;

 private:
  Ip address_;
  unsigned length_ = 0;
};

// An Ethernet address.
struct Mac {
  std::array<std::uint8_t, 6> bytes{};

  [[nodiscard]] static Result<Mac> parse(std::string_view text);  // "02:11:22:33:44:55", either case
  // A locally administered unicast address derived from `seed` alone.
  [[nodiscard]] static Mac derived(std::string_view seed);
  [[nodiscard]] bool is_zero() const { return bytes == std::array<std::uint8_t, 6>{}; }
  [[nodiscard]] bool is_multicast() const { return (bytes[0] & 1U) != 0; }
  [[nodiscard]] std::string to_string() const;

  auto operator<=>(const Mac&) const = default;
};

}  // namespace netkite
