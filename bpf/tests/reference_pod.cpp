// SPDX-License-Identifier: Apache-2.0
// What a pod may not say, and where the rest goes.
#include "bpf/tests/masquerade_node.hpp"
#include "bpf/tests/reference.hpp"

namespace netkite::bpf_tests::reference {
namespace {

// A drop reason, or 0. RFC 791 options, one after the other.
std::uint32_t options_of(const Bytes& frame, std::size_t end) {
  for (std::size_t at = kEthBytes + kIpv4Bytes; at < end;) {
    if (at >= frame.size()) return NK_DROP_MALFORMED;
    const auto type = frame[at];
    if (type == 0) return 0;
    if (type == 131 || type == 137) return NK_DROP_SOURCE_ROUTE;
    if (type == 1) {
      ++at;
      continue;
    }
    if (at + 1 >= frame.size() || frame[at + 1] < 2 || at + frame[at + 1] > end) return NK_DROP_MALFORMED;
    at += frame[at + 1];
  }
  return 0;
}

std::uint32_t content4(const Bytes& frame) {
  const auto first = frame[kEthBytes];
  if (first >> 4 != 4 || (first & 0xf) < 5) return NK_DROP_MALFORMED;
  const auto end = kEthBytes + (first & 0xfU) * 4;
  if (const auto reason = options_of(frame, end); reason != 0) return reason;
  if (frame[kEthBytes + 9] != kIcmp || (get(frame, kEthBytes + 6, 2) & 0x1fff) != 0) return 0;
  if (end >= frame.size()) return NK_DROP_MALFORMED;
  return frame[end] == 5 ? NK_DROP_REDIRECT : 0;
}

std::size_t length_of(std::uint8_t next, std::uint8_t length) {
  if (next == kFragment) return 8;
  return next == kAuth ? (length + 2U) * 4 : (length + 1U) * 8;
}

std::uint32_t content6(const Bytes& frame) {
  auto next = frame[kEthBytes + 6];
  std::size_t at = kEthBytes + kIpv6Bytes;
  for (int i = 0; i < 8; ++i) {
    if (next == kIcmp6) {
      if (at >= frame.size()) return NK_DROP_MALFORMED;
      if (frame[at] == 134) return NK_DROP_ROUTER_ADVERTISEMENT;
      return frame[at] == 137 ? NK_DROP_REDIRECT : 0;
    }
    if (next != kHopByHop && next != kRouting && next != kFragment && next != kAuth && next != kDestination) return 0;
    if (at + 4 > frame.size()) return NK_DROP_MALFORMED;
    if (next == kRouting && frame[at + 2] == 0) return NK_DROP_SOURCE_ROUTE;
    if (next == kFragment && (get(frame, at + 2, 2) & 0xfff8) != 0) return 0;
    const auto bytes = length_of(next, frame[at + 1]);
    next = frame[at];
    at += bytes;
  }
  return NK_DROP_MALFORMED;
}

constexpr std::uint32_t kUplinkMtu = 1500;

// By the routes and exceptions of masquerade_node.hpp, for what is neither a pod's nor a node's.
bool leaves_masked(const Address& to) {
  if (is_v4(to)) {
    const bool one_host = to[12] != 0 && to[12] < 224 && to != parse("192.0.2.1") && to != parse("192.0.2.255");
    const bool excepted = in(to, "203.0.113.0", 15) && to[15] >= 128;
    return one_host && !excepted && !in(to, "198.18.0.0", 14) && !in(to, "198.19.0.0", 14);
  }
  const bool one_host = to[0] != 0xff && !(to[0] == 0xfe && (to[1] & 0xc0) == 0x80) && to != parse("::") &&
                        to != parse("2001:db8::1") && to != parse("2001:db8::");
  const bool excepted = in(to, "2001:db8:113::", 6) && to[6] >= 0x80;
  return one_host && !excepted && !in(to, "2001:2::", 6);
}

}  // namespace

std::uint32_t Node::mask(const Packet& packet) {
  Connection forward{.to = packet.tuple, .seen = shown(packet), .masked = true};
  forward.to.from = parse(families()[is_v4(packet.tuple.from) ? 0 : 1].node);
  const auto port = packet.tuple.from_port;
  return open(packet, forward, port < kStackFirstPort || port > kLastPort ? Source::either : Source::node,
              {.first = kFirstPort, .last = kExitLastPort});
}

std::uint32_t Node::ask(const Packet& packet) {
  const auto set = set_asked(packet.tuple, families()[is_v4(packet.tuple.to) ? 0 : 1].cluster);
  if (set == 0) return kNoEntrance;
  if (set == 6 || set == 7) return NK_DROP_NO_BACKEND;
  const auto forward = led_to(packet, set);
  return open(packet, forward, answers_by_stack(forward.to.to) ? Source::client : Source::node,
              {.first = kFirstPort, .last = kLastPort});
}

std::optional<Answer> Node::depart(const Bytes& frame, Leaving how) {
  const auto packet = parse_packet(frame);
  if (!packet) return std::nullopt;
  auto known = connections_.find(packet->tuple);
  if (packet->quoted != 0) {
    if (known == connections_.end() || !owns(packet->tuple.from)) return std::nullopt;
    return follow(frame, *packet, known->second, Hook::pod);
  }
  if (known != connections_.end() && begins_anew(*packet, known->second)) known = connections_.end();
  if (known != connections_.end() && known->second.masked) {
    if (packet->hops <= 1) return std::nullopt;
    if (ends_for(*packet, known->second)) {
      take_out(packet->tuple);
      known = connections_.end();
    }
  }
  if (known == connections_.end()) {
    const bool opens = packet->tuple.protocol == kUdp || begins(*packet);
    if (how == Leaving::stack || packet->hops <= 1 || packet->later_piece || !opens) return std::nullopt;
    auto reason = ask(*packet);
    if (reason == kNoEntrance && how == Leaving::masked) reason = mask(*packet);
    if (reason == kNoEntrance) return std::nullopt;
    if (reason == NK_DROP_NO_BACKEND) return refused(frame, *packet, Hook::pod, reason);
    if (reason != 0) return Answer{.verdict = kDrop, .frame = frame, .reason = reason};
    known = connections_.find(packet->tuple);
  }
  const auto& to = known->second.to.to;
  const bool by_uplink = !known->second.reply && to != parse(families()[is_v4(to) ? 0 : 1].node);
  if (by_uplink && frame.size() - kEthBytes > kUplinkMtu) {
    return refused(frame, *packet, Hook::pod, NK_DROP_TOO_BIG, kUplinkMtu);
  }
  return follow(frame, *packet, known->second, Hook::pod);
}

Answer Node::from_pod(const Bytes& frame) {
  const auto drop = [&](std::uint32_t reason) { return Answer{.verdict = kDrop, .frame = frame, .reason = reason}; };
  const auto type = get(frame, 12, 2);
  const bool v4 = type == kIpv4;
  if (!v4 && type != kIpv6) return drop(NK_DROP_UNSUPPORTED_L3);
  if (frame.size() < kEthBytes + (v4 ? kIpv4Bytes : kIpv6Bytes)) return drop(NK_DROP_MALFORMED);
  if (!v4 && frame[kEthBytes] >> 4 != 6) return drop(NK_DROP_MALFORMED);
  if (const auto reason = v4 ? content4(frame) : content6(frame); reason != 0) return drop(reason);

  const auto from = at(frame, kEthBytes + (v4 ? 12 : 8), v4), to = at(frame, kEthBytes + (v4 ? 16 : 24), v4);
  if (!owns(from)) {
    if (is_loopback(from) || is_loopback(to)) return drop(NK_DROP_LOOPBACK);
    return drop(from == parse(v4 ? "0.0.0.0" : "::") ? NK_DROP_UNSPECIFIED_SOURCE : NK_DROP_SPOOFED_SOURCE);
  }
  if (is_loopback(to)) return drop(NK_DROP_LOOPBACK);
  const Answer passed{.verdict = kPass, .frame = frame};
  const bool stack = takes_stack(from) || who(to) == Who::outside || (who(to) == Who::pod && takes_stack(to));
  if (stack) {
    const bool outside = !takes_stack(from) && who(to) == Who::outside;
    const bool masked = masquerades_ && outside && leaves_masked(to);
    return depart(frame, masked ? Leaving::masked : outside ? Leaving::asking : Leaving::stack).value_or(passed);
  }
  const auto hops = frame[kEthBytes + (v4 ? 8 : 7)];
  const bool fits = who(to) == Who::pod || frame.size() - kEthBytes <= 1500;
  if ((v4 && frame[kEthBytes] != 0x45) || hops <= 1 || !fits) return passed;
  const auto forwarded = one_hop_less(frame);
  return {.verdict = kRedirect, .frame = who(to) == Who::pod ? with_macs(forwarded, to) : forwarded};
}

Answer Node::to_pod(const Bytes& frame) {
  const auto drop = [&](std::uint32_t reason) { return Answer{.verdict = kDrop, .frame = frame, .reason = reason}; };
  const auto type = get(frame, 12, 2);
  const bool v4 = type == kIpv4;
  if (!v4 && type != kIpv6) return drop(NK_DROP_UNSUPPORTED_L3);
  const bool whole = frame.size() >= kEthBytes + (v4 ? kIpv4Bytes : kIpv6Bytes);
  if (!whole || frame[kEthBytes] >> 4 != (v4 ? 4 : 6)) return drop(NK_DROP_MALFORMED);
  if (who(at(frame, kEthBytes + (v4 ? 16 : 24), v4)) != Who::pod) return drop(NK_DROP_NOT_FOR_POD);
  if (is_loopback(at(frame, kEthBytes + (v4 ? 12 : 8), v4))) return drop(NK_DROP_LOOPBACK);
  return answered(frame, kPass);
}

}  // namespace netkite::bpf_tests::reference
