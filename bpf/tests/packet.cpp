// SPDX-License-Identifier: Apache-2.0
#include "bpf/tests/packet.hpp"

#include <arpa/inet.h>

#include <algorithm>
#include <cstdlib>
#include <stdexcept>

namespace netkite::bpf_tests {
namespace {

void put16(Bytes& bytes, std::size_t at, std::size_t value) {
  bytes.at(at) = static_cast<std::uint8_t>(value >> 8);
  bytes.at(at + 1) = static_cast<std::uint8_t>(value);
}

void put(Bytes& bytes, std::size_t at, const Bytes& value) {
  std::ranges::copy(value, bytes.begin() + static_cast<long>(at));
}

// RFC 1071, over the header that starts behind the Ethernet header.
void set_checksum(Bytes& frame) {
  put16(frame, kEthBytes + 10, 0);
  const std::size_t end = kEthBytes + (frame.at(kEthBytes) & 0xfU) * 4;
  std::uint32_t sum = 0;
  for (std::size_t at = kEthBytes; at < end; at += 2) sum += (std::uint32_t{frame.at(at)} << 8) | frame.at(at + 1);
  while ((sum >> 16) != 0) sum = (sum & 0xffff) + (sum >> 16);
  put16(frame, kEthBytes + 10, ~sum & 0xffff);
}

std::size_t get16(const Bytes& bytes, std::size_t at) {
  return static_cast<std::size_t>(bytes.at(at)) << 8 | bytes.at(at + 1);
}

bool is_v6(const Bytes& frame) { return frame.at(kEthBytes) >> 4 == 6; }

// Where the transport begins, without extension headers.
std::size_t transport_at(const Bytes& frame) {
  return kEthBytes + (is_v6(frame) ? kIpv6Bytes : (frame.at(kEthBytes) & 0xfU) * 4);
}

Bytes ethernet(std::uint16_t type, const MacBytes& destination) {
  Bytes bytes(kEthBytes);
  std::ranges::copy(destination, bytes.begin());
  put16(bytes, 12, type);
  return bytes;
}

}  // namespace

int random_packets(int usual) {
  const char* wanted = std::getenv("NETKITE_RANDOM_PACKETS");
  return wanted != nullptr ? std::atoi(wanted) : usual;
}

Bytes operator+(Bytes left, const Bytes& right) {
  left.insert(left.end(), right.begin(), right.end());
  return left;
}

Bytes address(const std::string& text) {
  const bool v6 = text.find(':') != std::string::npos;
  Bytes bytes(v6 ? 16 : 4);
  if (::inet_pton(v6 ? AF_INET6 : AF_INET, text.c_str(), bytes.data()) != 1) throw std::invalid_argument(text);
  return bytes;
}

Bytes tcp(std::size_t payload) {
  Bytes bytes(20 + payload);
  put16(bytes, 0, 1000);
  put16(bytes, 2, 2000);
  bytes.at(12) = 5 << 4;
  return bytes;
}

Bytes udp() {
  Bytes bytes(8);
  put16(bytes, 0, 1000);
  put16(bytes, 2, 2000);
  put16(bytes, 4, 8);
  return bytes;
}

Bytes icmp(std::uint8_t type) {
  Bytes bytes(8);
  bytes.at(0) = type;
  return bytes;
}

Bytes extension(std::uint8_t next, std::size_t length, std::uint8_t third) {
  Bytes bytes(length);
  bytes.at(0) = next;
  bytes.at(1) = static_cast<std::uint8_t>(length / 8 - 1);
  bytes.at(2) = third;
  return bytes;
}

Bytes fragment(std::uint8_t next, std::uint16_t offset_units, bool more) {
  Bytes bytes(8);
  bytes.at(0) = next;
  put16(bytes, 2, static_cast<std::size_t>(offset_units << 3) | (more ? 1 : 0));
  return bytes;
}

Bytes frame(const Ip4& ip) {
  Bytes header(kIpv4Bytes);
  header.at(0) = ip.first_byte != 0 ? ip.first_byte : static_cast<std::uint8_t>(0x45 + ip.options.size() / 4);
  put16(header, 2, kIpv4Bytes + ip.options.size() + ip.payload.size());
  put16(header, 4, ip.id);
  put16(header, 6, ip.fragment);
  header.at(8) = ip.ttl;
  header.at(9) = ip.protocol;
  put(header, 12, address(ip.from));
  put(header, 16, address(ip.to));
  auto bytes = ethernet(kIpv4, ip.destination) + header + ip.options + ip.payload;
  if (ip.first_byte == 0) set_checksum(bytes);
  return bytes;
}

Bytes frame(const Ip6& ip) {
  Bytes header(kIpv6Bytes);
  header.at(0) = ip.first_byte;
  put16(header, 4, ip.payload.size());
  header.at(6) = ip.next;
  header.at(7) = ip.hops;
  put(header, 8, address(ip.from));
  put(header, 24, address(ip.to));
  return ethernet(kIpv6, ip.destination) + header + ip.payload;
}

Bytes with_checksum(Bytes frame) {
  const bool v6 = is_v6(frame);
  const auto start = transport_at(frame);
  const auto protocol = frame.at(kEthBytes + (v6 ? 6 : 9));
  const auto place = start + (protocol == kTcp ? 16 : protocol == kUdp ? 6 : 2);
  put16(frame, place, 0);
  std::size_t sum = protocol == kIcmp ? 0 : protocol + frame.size() - start;
  const auto addresses = kEthBytes + (v6 ? 8 : 12), behind = addresses + (v6 ? 32 : 8);
  for (auto at = addresses; protocol != kIcmp && at < behind; at += 2) sum += get16(frame, at);
  for (auto at = start; at + 1 < frame.size(); at += 2) sum += get16(frame, at);
  if (frame.size() % 2 != 0) sum += static_cast<std::size_t>(frame.back()) << 8;
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  sum = ~sum & 0xffff;
  put16(frame, place, protocol == kUdp && sum == 0 ? 0xffff : sum);
  return frame;
}

Bytes frame(const Talk& talk) {
  Bytes header = talk.protocol == kTcp ? tcp() : udp();
  put16(header, 0, talk.ends.from_port);
  put16(header, 2, talk.ends.to_port);
  if (talk.protocol == kTcp) {
    header.at(13) = talk.flags;
    put16(header, 4, talk.sequence >> 16);
    put16(header, 6, talk.sequence & 0xffff);
    put16(header, 8, talk.acknowledged >> 16);
    put16(header, 10, talk.acknowledged & 0xffff);
  } else {
    put16(header, 4, header.size() + talk.payload.size());
  }
  const auto payload = header + talk.payload;
  if (talk.ends.from.find(':') == std::string::npos) {
    return with_checksum(frame(Ip4{
        .from = talk.ends.from, .to = talk.ends.to, .ttl = talk.hops, .protocol = talk.protocol, .payload = payload}));
  }
  return with_checksum(frame(
      Ip6{.from = talk.ends.from, .to = talk.ends.to, .hops = talk.hops, .next = talk.protocol, .payload = payload}));
}

Ends ends_of(const Bytes& frame) {
  const bool v6 = is_v6(frame);
  const auto text = [&](std::size_t at) {
    std::array<char, INET6_ADDRSTRLEN> buffer{};
    ::inet_ntop(v6 ? AF_INET6 : AF_INET, &frame.at(kEthBytes + at), buffer.data(), buffer.size());
    return std::string(buffer.data());
  };
  const auto start = transport_at(frame);
  return {.from = text(v6 ? 8 : 12),
          .from_port = static_cast<std::uint16_t>(get16(frame, start)),
          .to = text(v6 ? 24 : 16),
          .to_port = static_cast<std::uint16_t>(get16(frame, start + 2))};
}

Bytes frame(std::uint16_t type, const Bytes& payload) { return ethernet(type, {}) + payload; }

Bytes tagged(const Bytes& frame, std::uint16_t type, unsigned tags) {
  Bytes inserted;
  for (unsigned i = 0; i < tags; ++i) {
    Bytes tag(4);
    put16(tag, 0, i == 0 ? type : kVlan);
    put16(tag, 2, 100);
    inserted = inserted + tag;
  }
  return Bytes(frame.begin(), frame.begin() + 12) + inserted + Bytes(frame.begin() + 12, frame.end());
}

Bytes forwarded(Bytes frame, const MacBytes& destination, const MacBytes& source) {
  std::ranges::copy(destination, frame.begin());
  std::ranges::copy(source, frame.begin() + 6);
  if (frame.at(kEthBytes) >> 4 == 6) {
    --frame.at(kEthBytes + 7);
  } else {
    --frame.at(kEthBytes + 8);
    set_checksum(frame);
  }
  return frame;
}

}  // namespace netkite::bpf_tests
