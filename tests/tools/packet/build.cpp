// SPDX-License-Identifier: Apache-2.0
#include "tests/tools/packet/build.hpp"

#include <arpa/inet.h>

#include <array>
#include <cstddef>
#include <optional>
#include <span>
#include <utility>

namespace netkite::packet {
namespace {

using Bytes = std::vector<std::uint8_t>;

constexpr std::uint8_t kIcmp = 1;
constexpr std::uint8_t kTcp = 6;
constexpr std::uint8_t kUdp = 17;
constexpr std::uint8_t kRouting = 43;
constexpr std::uint8_t kIcmp6 = 58;

void put16(Bytes& out, std::size_t value) {
  out.push_back(static_cast<std::uint8_t>(value >> 8U));
  out.push_back(static_cast<std::uint8_t>(value));
}

void put(Bytes& out, std::span<const std::uint8_t> bytes) { out.insert(out.end(), bytes.begin(), bytes.end()); }

void set16(Bytes& out, std::size_t at, std::uint16_t value) {
  out[at] = static_cast<std::uint8_t>(value >> 8U);
  out[at + 1] = static_cast<std::uint8_t>(value);
}

// RFC 1071
std::uint16_t checksum(std::span<const std::uint8_t> bytes) {
  std::uint32_t sum = 0;
  for (std::size_t i = 0; i < bytes.size(); ++i) sum += static_cast<std::uint32_t>(bytes[i]) << (i % 2 == 0 ? 8U : 0U);
  while ((sum >> 16U) != 0) sum = (sum & 0xffffU) + (sum >> 16U);
  return static_cast<std::uint16_t>(~sum);
}

struct Payload {
  std::uint8_t protocol = 0;
  Bytes bytes;
  std::size_t checksum_at = 0;
  bool pseudo_header = true;  // ICMP for IPv4 has none
};

Payload udp(Ports ports) {
  Bytes bytes;
  put16(bytes, ports.from);
  put16(bytes, ports.to);
  put16(bytes, 12);
  put16(bytes, 0);
  put(bytes, std::array<std::uint8_t, 4>{'n', 'k', 'n', 'k'});
  return {.protocol = kUdp, .bytes = std::move(bytes), .checksum_at = 6};
}

// RFC 9293 3.1: sequence numbers that nobody has agreed on, no options, no data.
Payload tcp(Ports ports, std::uint8_t flags) {
  Bytes bytes;
  put16(bytes, ports.from);
  put16(bytes, ports.to);
  put(bytes, std::array<std::uint8_t, 8>{'n', 'k', 'n', 'k', 0, 0, 0, 0});
  put(bytes, std::array<std::uint8_t, 8>{0x50, flags, 0x20, 0, 0, 0, 0, 0});
  return {.protocol = kTcp, .bytes = std::move(bytes), .checksum_at = 16};
}

// A type, its code, and the rest of the message after the checksum.
Payload icmp(bool v4, std::uint8_t type, std::uint8_t code, std::span<const std::uint8_t> rest) {
  Bytes bytes{type, code, 0, 0};
  put(bytes, rest);
  return {.protocol = v4 ? kIcmp : kIcmp6, .bytes = std::move(bytes), .checksum_at = 2, .pseudo_header = !v4};
}

// RFC 4861 4.2: hop limit 64, a router lifetime of 1800 s, no options.
Payload advertisement() { return icmp(false, 134, 0, std::array<std::uint8_t, 12>{64, 0, 0x07, 0x08}); }

// RFC 792 and RFC 4861 4.5: "for `destination` use `source`", with some bytes of a packet.
Payload redirect(const Ip& source, const Ip& destination) {
  Bytes rest;
  if (!source.is_v4()) rest.resize(4);
  put(rest, source.bytes());
  if (!source.is_v4()) put(rest, destination.bytes());
  if (source.is_v4()) rest.resize(rest.size() + 28, 0x45);
  return icmp(source.is_v4(), source.is_v4() ? 5 : 137, source.is_v4() ? 1 : 0, rest);
}

void fill_checksum(Payload& payload, const Ip& source, const Ip& destination) {
  Bytes covered;
  if (payload.pseudo_header) {
    put(covered, source.bytes());
    put(covered, destination.bytes());
    put16(covered, payload.protocol);
    put16(covered, payload.bytes.size());
  }
  put(covered, payload.bytes);
  set16(payload.bytes, payload.checksum_at, checksum(covered));
}

struct Shape {
  Bytes options;                // IPv4 options, a multiple of four bytes
  std::uint16_t fragment = 0;   // IPv4 flags and offset
  bool routing_header = false;  // IPv6, type 0
  bool truncated = false;
};

Bytes build4(const Payload& payload, const Ip& source, const Ip& destination, const Shape& shape) {
  const std::size_t header = 20 + shape.options.size();
  Bytes out{static_cast<std::uint8_t>(0x40U | (header / 4)), 0};
  put16(out, header + payload.bytes.size());
  put16(out, 0x1234);
  put16(out, shape.fragment);
  out.push_back(64);
  out.push_back(payload.protocol);
  put16(out, 0);
  put(out, source.bytes());
  put(out, destination.bytes());
  put(out, shape.options);
  set16(out, 10, checksum(out));
  put(out, payload.bytes);
  return out;
}

Bytes build6(const Payload& payload, const Ip& source, const Ip& destination, const Shape& shape) {
  Bytes routing;
  if (shape.routing_header) {
    routing = {payload.protocol, 2, 0, 1, 0, 0, 0, 0};
    put(routing, destination.bytes());
  }
  Bytes out{0x60, 0, 0, 0};
  put16(out, routing.size() + payload.bytes.size());
  out.push_back(shape.routing_header ? kRouting : payload.protocol);
  out.push_back(255);  // neighbour discovery asks for it (RFC 4861 6.1.2)
  put(out, source.bytes());
  put(out, destination.bytes());
  put(out, routing);
  put(out, payload.bytes);
  return out;
}

// RFC 826, Ethernet: a request.
Bytes arp(const Ip& source, const Ip& destination) {
  Bytes out{0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 1};
  put(out, source.bytes());
  out.resize(out.size() + 6);
  put(out, destination.bytes());
  return out;
}

std::optional<Payload> payload_of(std::string_view kind, const Ip& source, const Ip& destination, Ports ports) {
  if (kind == "udp" || kind.starts_with("forged") || kind == "source-route" || kind == "fragment" ||
      kind == "truncated")
    return udp(ports);
  if (kind == "syn") return tcp(ports, 0x02);
  if (kind == "rst") return tcp(ports, 0x04);
  if (kind == "ack") return tcp(ports, 0x10);
  if (kind == "echo") return icmp(source.is_v4(), source.is_v4() ? 8 : 128, 0, std::array<std::uint8_t, 8>{0, 1, 0, 1});
  if (kind == "ra" && source.is_v6()) return advertisement();
  if (kind == "redirect") return redirect(source, destination);
  return std::nullopt;
}

}  // namespace

Result<Bytes> build(std::string_view kind, const Ip& source, const Ip& destination, Ports ports) {
  if (source.family() != destination.family()) return fail(Code::invalid, "two families");
  if (kind == "arp" && source.is_v4()) return arp(source, destination);
  auto payload = payload_of(kind, source, destination, ports);
  if (!payload) return fail(Code::invalid, "no packet of this kind in this family");
  fill_checksum(*payload, source, destination);
  Shape shape;
  if (kind == "source-route") {
    // RFC 791 3.1: loose source route, one hop, padded.
    shape.options = {131, 7, 4, 192, 0, 2, 1, 0};
    shape.routing_header = true;
  }
  if (kind == "fragment") shape.fragment = 0x00b9;
  Bytes out =
      source.is_v4() ? build4(*payload, source, destination, shape) : build6(*payload, source, destination, shape);
  if (kind == "truncated") out.resize(source.is_v4() ? 12 : 24);
  return out;
}

}  // namespace netkite::packet
