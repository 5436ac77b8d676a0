// SPDX-License-Identifier: Apache-2.0

#include <algorithm>

#include "bpf/abi/connection.h"
#include "bpf/tests/node.hpp"
#include "bpf/tests/reference.hpp"

namespace netkite::bpf_tests::reference {
namespace {

void put(Bytes& bytes, std::size_t at, std::size_t count, std::uint32_t value) {
  for (std::size_t i = 0; i < count; ++i) bytes.at(at + i) = static_cast<std::uint8_t>(value >> 8 * (count - 1 - i));
}

void put(Bytes& bytes, std::size_t at, const Address& address, bool v4) {
  std::copy(address.begin() + (v4 ? 12 : 0), address.end(), bytes.begin() + static_cast<long>(at));
}

std::uint64_t sum(const Bytes& bytes, std::size_t at, std::size_t count) {
  std::uint64_t total = 0;
  for (std::size_t i = 0; i + 1 < count; i += 2) total += get(bytes, at + i, 2);
  return total;
}

std::uint64_t sum(const Address& address) {
  return sum(Bytes(address.begin(), address.end()), is_v4(address) ? 12 : 0, is_v4(address) ? 4 : 16);
}

// One's complement: 0 only of nothing but zeros.
std::uint32_t folded(std::uint64_t total) {
  while (total >> 16 != 0) total = (total & 0xffff) + (total >> 16);
  return static_cast<std::uint32_t>(total);
}

// A checksum's field after `removed` became `added`, RFC 1624.
std::uint32_t mended(std::uint32_t check, std::uint64_t removed, std::uint64_t added) {
  return 0xffff - folded((0xffff - check) + (0xffff - folded(removed)) + added);
}

bool is_v6_frame(const Bytes& frame) { return frame.at(kEthBytes) >> 4 == 6; }

std::uint64_t ports(const Tuple& tuple) { return std::uint64_t{tuple.from_port} + tuple.to_port; }
std::uint64_t addresses(const Tuple& tuple) { return sum(tuple.from) + sum(tuple.to); }

// The identifier of an echo at `at`, and the checksum, which ICMPv6 has of addresses, too.
void change_echo(Bytes& frame, std::size_t at, const Tuple& was, const Tuple& is) {
  auto check = get(frame, at + 2, 2);
  if (was.protocol == kIcmp6) check = mended(check, addresses(was), addresses(is));
  put(frame, at + 2, 2, mended(check, was.from_port, is.from_port));
  put(frame, at + 4, 2, is.from_port);
}

// The field of TCP or UDP at `at`, unless it says that there is none.
void mend_transport(Bytes& frame, std::size_t at, const Tuple& was, const Tuple& is) {
  const bool tcp = was.protocol == kTcp;
  const auto place = at + (tcp ? 16 : 6);
  auto check = get(frame, place, 2);
  if (!tcp && check == 0) return;
  check = mended(mended(check, addresses(was), addresses(is)), ports(was), ports(is));
  put(frame, place, 2, !tcp && check == 0 ? 0xffff : check);
}

void set_ends(Bytes& frame, const Address& from, const Address& to) {
  const bool v6 = is_v6_frame(frame);
  const auto at = kEthBytes + (v6 ? 8 : 12);
  const std::size_t size = v6 ? 16 : 4;
  if (!v6) put(frame, kEthBytes + 10, 2, mended(get(frame, kEthBytes + 10, 2), sum(frame, at, 8), sum(from) + sum(to)));
  put(frame, at, from, !v6);
  put(frame, at + size, to, !v6);
}

}  // namespace

Address at(const Bytes& frame, std::size_t place, bool v4) {
  Address address = parse(v4 ? "0.0.0.0" : "::");
  std::copy_n(frame.begin() + static_cast<long>(place), v4 ? 4 : 16, address.begin() + (v4 ? 12 : 0));
  return address;
}

Address parse(const std::string& text) {
  auto bytes = address(text);
  if (bytes.size() == 4) bytes = Bytes{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff} + bytes;
  Address result{};
  std::ranges::copy(bytes, result.begin());
  return result;
}

bool begins(const Packet& packet) { return (packet.flags & (kSyn | kAck | kRst)) == kSyn; }

bool answers_syn(const Packet& packet) {
  return packet.quoted == 0 && packet.tuple.protocol == kTcp && (packet.flags & (kSyn | kAck)) == (kSyn | kAck);
}

std::uint8_t shown(const Packet& packet) {
  if (packet.tuple.protocol != kTcp) return NK_CT_SYN;
  const auto bit = [&](std::uint8_t flag, unsigned value) { return (packet.flags & flag) != 0 ? value : 0U; };
  return static_cast<std::uint8_t>(bit(kSyn, NK_CT_SYN) | bit(kAck, NK_CT_ACK) | bit(kFin, NK_CT_FIN) |
                                   bit(kRst, NK_CT_RST));
}

bool is_echo(const Tuple& tuple) { return tuple.protocol == kIcmp || tuple.protocol == kIcmp6; }

bool is_v4(const Address& address) {
  return std::all_of(address.begin(), address.begin() + 10, [](auto byte) { return byte == 0; }) &&
         address[10] == 0xff && address[11] == 0xff;
}

std::uint32_t get(const Bytes& bytes, std::size_t at, std::size_t count) {
  std::uint32_t value = 0;
  for (std::size_t i = 0; i < count; ++i) value = value << 8 | bytes.at(at + i);
  return value;
}

Bytes one_hop_less(Bytes frame) {
  if (is_v6_frame(frame)) {
    --frame.at(kEthBytes + 7);
    return frame;
  }
  const auto hops = frame.at(kEthBytes + 8)--;
  put(frame, kEthBytes + 10, 2, mended(get(frame, kEthBytes + 10, 2), std::uint64_t{hops} << 8, (hops - 1ULL) << 8));
  return frame;
}

Bytes with_macs(Bytes frame, const Address& pod) {
  const bool l2 = pod == parse("10.0.0.2") || pod == parse("fd00::2");
  std::ranges::copy(l2 ? kPodMac : kNoMac, frame.begin());
  std::ranges::copy(l2 ? kHostMac : kNoMac, frame.begin() + 6);
  return frame;
}

Bytes translated(Bytes frame, const Packet& packet, const Tuple& to) {
  if (packet.at != 0 && is_echo(to)) {
    change_echo(frame, packet.at, packet.tuple, to);
  } else if (packet.at != 0) {
    mend_transport(frame, packet.at, packet.tuple, to);
    put(frame, packet.at, 2, to.from_port);
    put(frame, packet.at + 2, 2, to.to_port);
  }
  set_ends(frame, to.from, to.to);
  return frame;
}

Bytes translated_error(Bytes frame, const Packet& packet, const Tuple& to) {
  const bool v6 = is_v6_frame(frame), tcp = packet.tuple.protocol == kTcp;
  const auto icmp_check = packet.quoted - 8 + 2, at = packet.quoted + (v6 ? 8 : 12), size = std::size_t{v6 ? 16U : 4U};
  // What is quoted went the other way.
  const auto check = packet.at + (tcp ? 16 : 6);
  const bool has_check = check + 2 <= frame.size() && (tcp || get(frame, check, 2) != 0);
  auto total = mended(get(frame, icmp_check, 2), ports(packet.tuple), ports(to));
  if (is_echo(to)) {
    // All of it balances itself.
    change_echo(frame, packet.at, packet.tuple, to);
    total = get(frame, icmp_check, 2);
  } else if (has_check) {
    const auto mended_check =
        mended(get(frame, check, 2), addresses(packet.tuple) + ports(packet.tuple), addresses(to) + ports(to));
    put(frame, check, 2, !tcp && mended_check == 0 ? 0xffff : mended_check);
    // It takes away what the ports and addresses bring; IPv4's addresses have been taken by the header's own.
    total = v6 ? get(frame, icmp_check, 2) : mended(get(frame, icmp_check, 2), addresses(to), addresses(packet.tuple));
  } else if (v6) {
    total = mended(get(frame, icmp_check, 2), addresses(packet.tuple) + ports(packet.tuple), addresses(to) + ports(to));
  }
  if (!is_echo(to)) {
    put(frame, packet.at, 2, to.to_port);
    put(frame, packet.at + 2, 2, to.from_port);
  }
  put(frame, at, to.to, !v6);
  put(frame, at + size, to.from, !v6);
  if (!v6) {
    put(frame, packet.quoted + 10, 2,
        mended(get(frame, packet.quoted + 10, 2), addresses(packet.tuple), addresses(to)));
  }
  const auto outer = kEthBytes + (v6 ? 8 : 12);
  Address from{};
  if (packet.tuple.from != to.from) {
    from = to.from;
  } else if (v6) {
    std::copy_n(frame.begin() + static_cast<long>(outer), 16, from.begin());
  } else {
    from = parse("0.0.0.0");
    std::copy_n(frame.begin() + static_cast<long>(outer), 4, from.begin() + 12);
  }
  if (v6) total = mended(total, sum(frame, outer, 32), sum(from) + sum(to.to));
  put(frame, icmp_check, 2, total);
  set_ends(frame, from, to.to);
  return frame;
}

Bytes reset(Bytes frame, const Packet& packet) {
  const bool v6 = is_v6_frame(frame);
  const auto length = kEthBytes + (v6 ? 4 : 2), hops = kEthBytes + (v6 ? 7 : 8);
  std::uint32_t bytes = get(frame, length, 2) - (v6 ? 0 : static_cast<std::uint32_t>(packet.at - kEthBytes));
  const auto at = packet.at;
  const bool acknowledges = (packet.flags & kAck) != 0;
  bytes -= (frame.at(at + 12) >> 4U) * 4U;
  bytes += ((packet.flags & kSyn) != 0 ? 1U : 0U) + ((packet.flags & kFin) != 0 ? 1U : 0U);
  const auto sequence = acknowledges ? get(frame, at + 8, 4) : 0;
  const auto acknowledged = acknowledges ? 0 : get(frame, at + 4, 4) + bytes;
  frame.resize(at + 20);
  put(frame, at, 2, packet.tuple.to_port);
  put(frame, at + 2, 2, packet.tuple.from_port);
  put(frame, at + 4, 4, sequence);
  put(frame, at + 8, 4, acknowledged);
  put(frame, at + 12, 4, 5U << 28 | static_cast<std::uint32_t>(acknowledges ? kRst : kRst | kAck) << 16);
  put(frame, at + 16, 4, 0);
  put(frame, at + 16, 2, 0xffff - folded(sum(frame, at, 20) + addresses(packet.tuple) + kTcp + 20));
  const auto now = static_cast<std::uint32_t>(v6 ? 20 : at - kEthBytes + 20);
  if (!v6) {
    const std::uint64_t was = get(frame, length, 2) + (std::uint64_t{frame.at(hops)} << 8);
    put(frame, kEthBytes + 10, 2, mended(get(frame, kEthBytes + 10, 2), was, now + (64ULL << 8)));
  }
  put(frame, length, 2, now);
  frame.at(hops) = 64;
  const auto ends = kEthBytes + (v6 ? 8 : 12);
  put(frame, ends, packet.tuple.to, !v6);
  put(frame, ends + (v6 ? 16 : 4), packet.tuple.from, !v6);
  return frame;
}

Bytes icmp_error(const Bytes& frame, const Packet& packet, std::uint8_t type, std::uint8_t code, std::uint32_t more) {
  const bool v6 = is_v6_frame(frame);
  const std::size_t quoted = packet.tuple.protocol == kTcp ? 20 : 8, header = v6 ? kIpv6Bytes : kIpv4Bytes;
  const Bytes about(frame.begin() + kEthBytes, frame.begin() + static_cast<long>(packet.at + quoted));
  Bytes ip(header), message(8);
  message.at(0) = type;
  message.at(1) = code;
  put(message, 4, 4, more);
  const auto total = static_cast<std::uint32_t>(message.size() + about.size());
  // A quoted IPv4 header counts as one whose checksum is right.
  auto all = sum(message, 0, 8) + sum(about, v6 ? 0 : packet.at - kEthBytes, v6 ? about.size() : quoted);
  if (v6) {
    all += addresses(packet.tuple) + total + kIcmp6;
    put(ip, 0, 4, 0x60000000);
    put(ip, 4, 4, total << 16 | kIcmp6 << 8 | 64);
  } else {
    put(ip, 0, 4, 0x45000000 | (20 + total));
    put(ip, 4, 4, 0x4000);
    put(ip, 8, 4, 64U << 24 | kIcmp << 16);
  }
  put(ip, v6 ? 8 : 12, packet.tuple.to, !v6);
  put(ip, v6 ? 24 : 16, packet.tuple.from, !v6);
  if (!v6) put(ip, 10, 2, 0xffff - folded(sum(ip, 0, 20)));
  put(message, 2, 2, 0xffff - folded(all));
  return Bytes(frame.begin(), frame.begin() + kEthBytes) + ip + message + about;
}

}  // namespace netkite::bpf_tests::reference
