// SPDX-License-Identifier: Apache-2.0
#include "common/base/ip.hpp"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>
#include <cstring>

#include "common/base/hash.hpp"

namespace netkite {
namespace {

constexpr unsigned kSaturatedBits = 63;

// Input as it may stand in a message: bounded.
std::string quoted(std::string_view text) {
  constexpr std::size_t kShown = 64;
  return "\"" + std::string(text.substr(0, kShown)) + (text.size() > kShown ? "…\"" : "\"");
}

// The bits of byte `index` that a prefix of `length` bits covers.
std::uint8_t mask_byte(unsigned length, std::size_t index) {
  const unsigned covered =
      std::clamp<unsigned>(length, static_cast<unsigned>(index) * 8, (static_cast<unsigned>(index) + 1) * 8) -
      static_cast<unsigned>(index) * 8;
  return static_cast<std::uint8_t>(0xff00U >> covered);
}

Ip from_array(Family family, const std::array<std::uint8_t, 16>& bytes) {
  if (family == Family::v6) return Ip::v6(bytes);
  std::uint32_t host = 0;
  for (std::size_t i = 0; i < 4; ++i) host = host << 8U | bytes[i];
  return Ip::v4(host);
}

std::array<std::uint8_t, 16> to_array(const Ip& ip) {
  std::array<std::uint8_t, 16> bytes{};
  std::ranges::copy(ip.bytes(), bytes.begin());
  return bytes;
}

}  // namespace

Result<Ip> Ip::parse(std::string_view text) {
  std::array<char, INET6_ADDRSTRLEN> buffer{};
  if (text.size() < buffer.size() && text.find('\0') == std::string_view::npos) {
    std::ranges::copy(text, buffer.begin());
    Ip ip;
    if (::inet_pton(AF_INET, buffer.data(), ip.bytes_.data()) == 1) return ip;
    ip.family_ = Family::v6;
    if (::inet_pton(AF_INET6, buffer.data(), ip.bytes_.data()) == 1) return ip;
  }
  return fail(Code::invalid, quoted(text) + " is not an IP address");
}

Result<Ip> Ip::from_bytes(std::span<const std::byte> bytes) {
  if (bytes.size() != 4 && bytes.size() != 16) {
    return fail(Code::invalid, "an IP address has 4 or 16 bytes, not " + std::to_string(bytes.size()));
  }
  Ip ip;
  ip.family_ = bytes.size() == 4 ? Family::v4 : Family::v6;
  std::memcpy(ip.bytes_.data(), bytes.data(), bytes.size());
  return ip;
}

Ip Ip::v4(std::uint32_t host_order) {
  Ip ip;
  for (std::size_t i = 0; i < 4; ++i) ip.bytes_[i] = static_cast<std::uint8_t>(host_order >> (24 - 8 * i));
  return ip;
}

Ip Ip::v6(const std::array<std::uint8_t, 16>& bytes) {
  Ip ip;
  ip.family_ = Family::v6;
  ip.bytes_ = bytes;
  return ip;
}

int Ip::af() const { return is_v4() ? AF_INET : AF_INET6; }

bool Ip::is_loopback() const {
  if (is_v4()) return bytes_[0] == 127;
  return bytes_ == std::array<std::uint8_t, 16>{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};
}

bool Ip::is_multicast() const { return is_v4() ? (bytes_[0] & 0xf0U) == 0xe0U : bytes_[0] == 0xff; }

bool Ip::is_link_local() const {
  if (is_v4()) return bytes_[0] == 169 && bytes_[1] == 254;
  return bytes_[0] == 0xfe && (bytes_[1] & 0xc0U) == 0x80U;
}

bool Ip::is_unspecified() const { return bytes_ == std::array<std::uint8_t, 16>{}; }

std::string Ip::to_string() const {
  std::array<char, INET6_ADDRSTRLEN> buffer{};
  ::inet_ntop(af(), bytes_.data(), buffer.data(), buffer.size());
  return buffer.data();
}

Result<Cidr> Cidr::parse(std::string_view text) {
  const auto slash = text.find('/');
  auto address = Ip::parse(text.substr(0, slash));
  if (!address) return fail(Code::invalid, quoted(text) + " is not an IP prefix such as 10.0.0.0/24");
  if (slash == std::string_view::npos) {
    return fail(Code::invalid, quoted(text) + " has no prefix length: write " + host(*address).to_string());
  }
  const std::string_view digits = text.substr(slash + 1);
  unsigned length = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), length);
  const bool canonical = digits.size() == 1 || !digits.starts_with('0');
  if (error != std::errc{} || end != digits.data() + digits.size() || !canonical || length > address->width()) {
    return fail(Code::invalid,
                quoted(text) + ": the prefix length is a number from 0 to " + std::to_string(address->width()));
  }
  auto cidr = of(*address, length);
  if (cidr && cidr->address() != *address) {
    return fail(Code::invalid, quoted(text) + " has host bits set: write " + cidr->to_string());
  }
  return cidr;
}

Result<Cidr> Cidr::of(const Ip& address, unsigned length) {
  if (length > address.width()) {
    return fail(Code::invalid, "prefix length " + std::to_string(length) + " is above " +
                                   std::to_string(address.width()) + " for " + address.to_string());
  }
  auto bytes = to_array(address);
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] &= mask_byte(length, i);
  Cidr cidr;
  cidr.address_ = from_array(address.family(), bytes);
  cidr.length_ = length;
  return cidr;
}

Cidr Cidr::host(const Ip& address) {
  Cidr cidr;
  cidr.address_ = address;
  cidr.length_ = address.width();
  return cidr;
}

bool Cidr::contains(const Ip& address) const {
  if (address.family() != family()) return false;
  const auto mine = address_.bytes();
  const auto other = address.bytes();
  for (std::size_t i = 0; i < mine.size(); ++i) {
    if (((mine[i] ^ other[i]) & mask_byte(length_, i)) != 0) return false;
  }
  return true;
}

bool Cidr::contains(const Cidr& other) const { return length_ <= other.length_ && contains(other.address_); }

bool Cidr::overlaps(const Cidr& other) const { return contains(other) || other.contains(*this); }

std::uint64_t Cidr::size() const { return std::uint64_t{1} << std::min(address_.width() - length_, kSaturatedBits); }

Ip Cidr::at(std::uint64_t offset) const {
  auto bytes = to_array(address_);
  for (std::size_t i = address_.bytes().size(); i-- > 0 && offset != 0; offset >>= 8U) {
    bytes[i] = static_cast<std::uint8_t>(bytes[i] | (offset & 0xffU));
  }
  return from_array(family(), bytes);
}

std::uint64_t Cidr::offset_of(const Ip& address) const {
  const auto first = address_.bytes();
  const auto other = address.bytes();
  std::uint64_t offset = 0;
  for (std::size_t i = 0; i < first.size(); ++i) {
    offset = offset << 8U | static_cast<std::uint64_t>(first[i] ^ other[i]);
  }
  return offset;
}

std::string Cidr::to_string() const { return address_.to_string() + "/" + std::to_string(length_); }

Result<Mac> Mac::parse(std::string_view text) {
  Mac mac;
  bool good = text.size() == 17;
  for (std::size_t i = 0; good && i < mac.bytes.size(); ++i) {
    const char* digits = text.data() + 3 * i;
    const auto [end, error] = std::from_chars(digits, digits + 2, mac.bytes[i], 16);
    good = error == std::errc{} && end == digits + 2 && (i == 5 || *end == ':');
  }
  if (!good) return fail(Code::invalid, quoted(text) + " is not a MAC address such as 02:11:22:33:44:55");
  return mac;
}

Mac Mac::derived(std::string_view seed) {
  const std::uint64_t hash = hash48(seed);
  Mac mac;
  for (std::size_t i = 0; i < mac.bytes.size(); ++i) mac.bytes[i] = static_cast<std::uint8_t>(hash >> (8 * i));
  mac.bytes[0] = static_cast<std::uint8_t>((mac.bytes[0] & 0xfcU) | 0x02U);
  return mac;
}

std::string Mac::to_string() const {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text;
  for (const std::uint8_t byte : bytes) {
    if (!text.empty()) text += ':';
    text += kDigits[byte >> 4U];
    text += kDigits[byte & 0xfU];
  }
  return text;
}

}  // namespace netkite
