// SPDX-License-Identifier: Apache-2.0
#include "bpf/tests/reference.hpp"

#include <algorithm>
#include <cstring>

#include "bpf/tests/service_node.hpp"

namespace netkite::bpf_tests::reference {
namespace {

constexpr std::uint32_t kSilently = 0x100;
constexpr std::size_t kMtu = 1500, kTableEntries = 64;
constexpr std::uint64_t kGoldenRatio = 0x9e3779b97f4a7c15ULL;

bool is_pod(const Address& address) {
  for (const auto* prefix : {"10.0.0.", "fd00::"}) {
    for (const auto* last : {"1", "2", "3", "4", "5", "6", "8"}) {
      if (address == parse(std::string(prefix) + last)) return true;
    }
  }
  return false;
}

bool is_remote(const Address& address) {
  return in(address, "10.0.9.0", 15) || address == parse("192.0.2.9") || in(address, "fd00:0:0:9::", 8) ||
         address == parse("2001:db8::9");
}

// The bytes of nk_tuple as 64-bit words of a little-endian machine.
std::uint32_t hash_of(const Tuple& tuple) {
  Bytes bytes(tuple.from.begin(), tuple.from.end());
  bytes.insert(bytes.end(), tuple.to.begin(), tuple.to.end());
  for (const auto port : {tuple.from_port, tuple.to_port}) {
    bytes.push_back(static_cast<std::uint8_t>(port >> 8));
    bytes.push_back(static_cast<std::uint8_t>(port));
  }
  bytes.insert(bytes.end(), {tuple.protocol, 0, 0, 0});
  std::uint64_t hash = 0;
  for (std::size_t at = 0; at < bytes.size(); at += 8) {
    std::uint64_t word = 0;
    std::memcpy(&word, &bytes[at], 8);
    hash = (hash ^ word) * kGoldenRatio;
    hash ^= hash >> 32;
  }
  return static_cast<std::uint32_t>(hash);
}

// As the stack gets it.
int up_from(Hook hook) { return hook == Hook::netdev ? kNext : kPass; }

// The frame on its way to `to`.
Answer onward(Bytes frame, const Address& to) {
  return {.verdict = kRedirect, .frame = who(to) == Who::pod ? with_macs(std::move(frame), to) : std::move(frame)};
}

}  // namespace

std::uint32_t set_asked(const Tuple& tuple, const std::string& where) {
  const bool here = tuple.to == parse(where) && (tuple.protocol == kTcp || tuple.protocol == kUdp);
  return here && tuple.to_port > 30000 && tuple.to_port <= 30009 ? tuple.to_port - 30000U : 0;
}

Connection led_to(const Packet& packet, std::uint32_t set) {
  const auto& family = families()[is_v4(packet.tuple.to) ? 0 : 1];
  const std::array<std::string, 10> backends = {
      "", family.pod, family.remote, family.outside, family.overlay, family.pod, "", "", family.node, family.hooked};
  Connection forward{.to = packet.tuple, .seen = shown(packet)};
  forward.to.to = parse(backends.at(set));
  forward.to.to_port = kBackendPort;
  return forward;
}

bool in(const Address& address, const std::string& prefix, std::size_t bytes) {
  const auto wanted = parse(prefix);
  return std::equal(address.begin(), address.begin() + static_cast<long>(bytes), wanted.begin());
}

bool is_loopback(const Address& address) { return is_v4(address) ? address[12] == 127 : address == parse("::1"); }

Answer refused(const Bytes& frame, const Packet& packet, Hook hook, std::uint32_t reason, std::uint32_t mtu) {
  Answer answer{.verdict = kDrop, .frame = frame, .reason = reason};
  const bool v4 = is_v4(packet.tuple.from), tcp = packet.tuple.protocol == kTcp;
  if ((packet.flags & kRst) != 0 || packet.later_piece) return answer;
  const auto tell = [&](Bytes told) {
    answer = answers_by_stack(packet.tuple.from) ? Answer{.verdict = up_from(hook), .frame = std::move(told)}
                                                 : onward(std::move(told), packet.tuple.from);
    answer.reason = reason;
    return answer;
  };
  if (tcp && !packet.first_piece && (reason == NK_DROP_NO_BACKEND || reason == NK_DROP_NO_CONNECTION)) {
    return tell(reset(frame, packet));
  }
  if (reason == NK_DROP_NO_BACKEND) return tell(icmp_error(frame, packet, v4 ? 3 : 1, v4 ? 3 : 4, 0));
  if (reason == NK_DROP_TOO_BIG) return tell(icmp_error(frame, packet, v4 ? 3 : 2, v4 ? 4 : 0, mtu));
  if (reason == NK_DROP_HOP_LIMIT) return tell(icmp_error(frame, packet, v4 ? 11 : 3, 0, 0));
  return answer;
}

Who who(const Address& address) {
  if (is_pod(address)) return Who::pod;
  return is_remote(address) ? Who::remote : Who::outside;
}

bool takes_stack(const Address& pod) {
  return pod == parse("10.0.0.4") || pod == parse("fd00::4") || pod == parse("10.0.0.5") || pod == parse("fd00::5");
}

bool answers_by_stack(const Address& backend) {
  const auto& family = families()[is_v4(backend) ? 0 : 1];
  return backend == parse(family.node) || backend == parse(family.hooked);
}

bool owns(const Address& pod) {
  if (pod == parse("10.0.0.8") || pod == parse("fd00::8")) return true;
  return pod == parse("10.0.0.1") || pod == parse("fd00::1") || pod == parse("10.0.0.5") || pod == parse("fd00::5");
}

std::optional<Packet> Node::with_remembered_ports(Packet packet) const {
  const auto known = pieces_.find({packet.tuple, packet.id});
  if (known == pieces_.end()) return std::nullopt;
  packet.later_piece = true;
  packet.at = 0;
  std::tie(packet.tuple.from_port, packet.tuple.to_port) = known->second;
  return packet;
}

// ICMP echo: a request begins, a reply does not, and the identifier stands for both ports.
namespace {

std::optional<Packet> with_identifier(const Bytes& frame, Packet packet) {
  const bool v6 = packet.tuple.protocol == kIcmp6;
  if (packet.at + 8 > frame.size() || frame[packet.at + 1] != 0) return std::nullopt;
  const auto type = frame[packet.at];
  if (type != (v6 ? 128 : 8) && type != (v6 ? 129 : 0)) return std::nullopt;
  packet.flags = type == (v6 ? 128 : 8) ? kSyn : kAck;
  packet.tuple.from_port = packet.tuple.to_port = static_cast<std::uint16_t>(get(frame, packet.at + 4, 2));
  return packet;
}

}  // namespace

std::optional<Packet> Node::with_ports(const Bytes& frame, Packet packet) const {
  if (masquerades_ && is_echo(packet.tuple)) {
    auto echo = with_identifier(frame, packet);
    if (!echo || packet.quoted == 0) return echo;
    // Of what is quoted, only requests have answers.
    if (echo->flags != kSyn) return std::nullopt;
    echo->tuple = echo->tuple.reversed();
    return echo;
  }
  const bool tcp = packet.tuple.protocol == kTcp;
  if (!tcp && packet.tuple.protocol != kUdp) return std::nullopt;
  const std::size_t needed = packet.quoted != 0 ? 4 : tcp ? 20 : 8;
  if (packet.at + needed > frame.size()) return std::nullopt;
  packet.tuple.from_port = static_cast<std::uint16_t>(get(frame, packet.at, 2));
  packet.tuple.to_port = static_cast<std::uint16_t>(get(frame, packet.at + 2, 2));
  if (packet.quoted != 0) {
    packet.tuple = packet.tuple.reversed();
  } else if (tcp) {
    packet.flags = frame[packet.at + 13];
  }
  return packet;
}

namespace {

// The packet inside of an ICMP error, with its own ends.
std::optional<Packet> inside(const Bytes& frame, Packet packet, bool v4) {
  if (packet.at >= frame.size()) return std::nullopt;
  const auto type = frame[packet.at];
  if (v4 ? type != 3 && type != 4 && type != 11 && type != 12 : type == 0 || type > 4) return std::nullopt;
  packet.quoted = packet.at + 8;
  if (packet.quoted + (v4 ? kIpv4Bytes : kIpv6Bytes) > frame.size()) return std::nullopt;
  const auto first = frame[packet.quoted];
  if (v4 && (first >> 4 != 4 || (first & 0xf) < 5 || (get(frame, packet.quoted + 6, 2) & 0x1fff) != 0))
    return std::nullopt;
  packet.at = packet.quoted + (v4 ? (first & 0xfU) * 4 : kIpv6Bytes);
  packet.tuple.from = at(frame, packet.quoted + (v4 ? 12 : 8), v4);
  packet.tuple.to = at(frame, packet.quoted + (v4 ? 16 : 24), v4);
  packet.tuple.protocol = frame[packet.quoted + (v4 ? 9 : 6)];
  return packet;
}

}  // namespace

std::optional<Packet> Node::parse_packet(const Bytes& frame) {
  const bool v4 = get(frame, 12, 2) == kIpv4;
  Packet packet;
  packet.tuple.from = at(frame, kEthBytes + (v4 ? 12 : 8), v4);
  packet.tuple.to = at(frame, kEthBytes + (v4 ? 16 : 24), v4);
  packet.hops = frame[kEthBytes + (v4 ? 8 : 7)];
  packet.tuple.protocol = frame[kEthBytes + (v4 ? 9 : 6)];
  packet.at = kEthBytes + (v4 ? (frame[kEthBytes] & 0xfU) * 4 : kIpv6Bytes);
  std::uint32_t piece = 0;
  if (v4) {
    if (frame[kEthBytes] >> 4 != 4 || (frame[kEthBytes] & 0xf) < 5) return std::nullopt;
    packet.id = get(frame, kEthBytes + 4, 2);
    piece = get(frame, kEthBytes + 6, 2) & 0x3fff;
    packet.later_piece = (piece & 0x1fff) != 0;
  } else {
    if (frame[kEthBytes] >> 4 != 6) return std::nullopt;
    if (packet.tuple.protocol == kFragment) {
      if (packet.at + 8 > frame.size()) return std::nullopt;
      packet.tuple.protocol = frame[packet.at];
      packet.id = get(frame, packet.at + 4, 4);
      packet.later_piece = (get(frame, packet.at + 2, 2) & 0xfff8) != 0;
      packet.at += 8;
      piece = 1;
    }
  }
  if (packet.later_piece) return with_remembered_ports(packet);
  packet.first_piece = piece != 0;
  // An IPv6 error in a piece is none that anybody reads.
  if (packet.tuple.protocol == (v4 ? kIcmp : kIcmp6)) {
    if (masquerades_) {
      if (auto echo = with_identifier(frame, packet)) return echo;
    }
    if (!v4 && piece != 0) return std::nullopt;
    const auto quoted = inside(frame, packet, v4);
    return quoted ? with_ports(frame, *quoted) : std::nullopt;
  }
  return with_ports(frame, packet);
}

// Of a TCP connection that a SYN is for: whether it is over, so that the SYN begins another one.
bool Node::ends_for(const Packet& packet, const Connection& connection) const {
  return packet.tuple.protocol == kTcp && begins(packet) && is_over(connection);
}

// Both have closed it, or who answers has reset it; backends do not go here.
bool Node::is_over(const Connection& connection) const {
  const auto other = connections_.find(connection.to.reversed());
  if (other == connections_.end()) return true;
  const auto& answers = connection.reply ? connection : other->second;
  return (answers.seen & NK_CT_RST) != 0 || (connection.seen & other->second.seen & NK_CT_FIN) != 0;
}

void Node::take_out(const Tuple& tuple) {
  const auto known = connections_.find(tuple);
  connections_.erase(known->second.to.reversed());
  connections_.erase(tuple);
}

bool Node::begins_anew(const Packet& packet, const Connection& connection) {
  if (connection.reply || connection.masked || packet.quoted != 0 || !ends_for(packet, connection)) return false;
  take_out(packet.tuple);
  return true;
}

std::uint32_t Node::claim_port(const Packet& packet, Connection& forward, const Connection& reply, Source source,
                               const Ports& ports) {
  const auto hash = hash_of(packet.tuple);
  const std::uint32_t step = hash >> 16 | 1;
  if (source != Source::client) forward.to.from = parse(families()[is_v4(forward.to.to) ? 0 : 1].node);
  for (std::uint32_t i = 0; i < 32; ++i) {
    forward.to.from_port =
        static_cast<std::uint16_t>(ports.first + (hash + i * step) % (ports.last - ports.first + 1U));
    if (is_echo(forward.to)) forward.to.to_port = forward.to.from_port;
    if (connections_.contains(forward.to.reversed())) continue;
    if (connections_.size() >= kTableEntries) return NK_DROP_CONNECTIONS_FULL;
    connections_[forward.to.reversed()] = reply;
    return 0;
  }
  return NK_DROP_PORTS_EXHAUSTED;
}

std::uint32_t Node::open(const Packet& packet, Connection forward, Source source, const Ports& ports) {
  const Connection reply{.to = packet.tuple.reversed(), .reply = true, .masked = forward.masked};
  if (source == Source::node || connections_.contains(forward.to.reversed())) {
    if (const auto reason = claim_port(packet, forward, reply, source, ports); reason != 0) return reason;
  } else {
    if (connections_.size() >= kTableEntries) return NK_DROP_CONNECTIONS_FULL;
    connections_[forward.to.reversed()] = reply;
  }
  if (connections_.size() >= kTableEntries) {
    connections_.erase(forward.to.reversed());
    return NK_DROP_CONNECTIONS_FULL;
  }
  connections_[packet.tuple] = forward;
  return 0;
}

std::uint32_t Node::admit(const Packet& packet) {
  const auto& from = packet.tuple.from;
  const auto set = set_asked(packet.tuple, families()[is_v4(from) ? 0 : 1].node);
  if (set == 0 || packet.quoted != 0) return kNoEntrance;
  const bool v4 = is_v4(from);
  const bool nobody = v4 ? from[12] == 0 || from[12] == 127 || from[12] >= 224 : in(from, "::", 12) || from[0] == 0xff;
  if (nobody) return kNoEntrance;
  if (packet.tuple.protocol == kTcp && !begins(packet)) return NK_DROP_NO_CONNECTION;
  if (set == 6) return NK_DROP_NO_BACKEND;
  if (set == 7) return NK_DROP_NO_BACKEND | kSilently;
  const auto forward = led_to(packet, set);
  const auto& to = forward.to.to;
  const auto source = answers_by_stack(to)             ? Source::client
                      : is_pod(to) && !is_remote(from) ? Source::either
                                                       : Source::node;
  return open(packet, forward, source, {.first = kFirstPort, .last = kLastPort});
}

void Node::remember_ports(const Packet& packet) {
  if (!packet.first_piece) return;
  auto key = packet.tuple;
  key.from_port = key.to_port = 0;
  pieces_[{key, packet.id}] = {packet.tuple.from_port, packet.tuple.to_port};
}

void Node::note(const Packet& packet, Connection& connection) {
  const auto flags = shown(packet);
  const auto forgotten = (flags & NK_CT_SYN) != 0 ? NK_CT_FIN | NK_CT_RST : NK_CT_RST;
  connection.seen = static_cast<std::uint8_t>((connection.seen & ~forgotten) | flags);
}

// Up the stack there is no hop.
Answer Node::follow(const Bytes& frame, const Packet& packet, Connection& connection, Hook hook) {
  const auto& to = connection.to;
  const bool up = answers_by_stack(to.to);
  const auto sent = [&](Bytes bytes) {
    return up ? Answer{.verdict = up_from(hook), .frame = std::move(bytes)}
              : onward(one_hop_less(std::move(bytes)), to.to);
  };
  if (packet.quoted != 0) {
    if (!up && packet.hops <= 1) return {.verdict = kDrop, .frame = frame, .reason = NK_DROP_HOP_LIMIT};
    return sent(translated_error(frame, packet, to));
  }
  remember_ports(packet);
  if (!up && packet.hops <= 1) return refused(frame, packet, hook, NK_DROP_HOP_LIMIT);
  if (who(to.to) == Who::remote && frame.size() - kEthBytes > kMtu)
    return refused(frame, packet, hook, NK_DROP_TOO_BIG, kMtu);
  note(packet, connection);
  return sent(translated(frame, packet, to));
}

std::optional<Answer> Node::serve(const Bytes& frame) {
  const auto packet = parse_packet(frame);
  if (!packet) return std::nullopt;
  auto known = connections_.find(packet->tuple);
  if (known != connections_.end() && begins_anew(*packet, known->second)) known = connections_.end();
  if (known == connections_.end()) {
    const auto reason = admit(*packet);
    if (reason == kNoEntrance) return std::nullopt;
    if ((reason & kSilently) != 0) return Answer{.verdict = kDrop, .frame = frame, .reason = reason & ~kSilently};
    if (reason != 0) return refused(frame, *packet, Hook::netdev, reason);
    known = connections_.find(packet->tuple);
  }
  // What a pod got is nobody's on an uplink to tell of.
  if (known->second.masked && !known->second.reply) {
    return Answer{.verdict = kDrop, .frame = frame, .reason = NK_DROP_UPLINK_SPOOF};
  }
  return follow(frame, *packet, known->second, Hook::netdev);
}

Answer Node::from_netdev(const Bytes& frame) {
  const Answer untouched{.verdict = kNext, .frame = frame};
  const auto type = get(frame, 12, 2);
  const bool v4 = type == kIpv4;
  const bool for_this_machine = std::all_of(frame.begin(), frame.begin() + 6, [](auto byte) { return byte == 0; });
  if (!for_this_machine || (!v4 && type != kIpv6)) return untouched;
  if (frame.size() < kEthBytes + (v4 ? kIpv4Bytes : kIpv6Bytes)) return untouched;
  const auto from = at(frame, kEthBytes + (v4 ? 12 : 8), v4), to = at(frame, kEthBytes + (v4 ? 16 : 24), v4);
  if (is_pod(to) && is_loopback(from)) return {.verdict = kDrop, .frame = frame, .reason = NK_DROP_LOOPBACK};
  if (is_pod(from)) return {.verdict = kDrop, .frame = frame, .reason = NK_DROP_UPLINK_SPOOF};
  if (!is_pod(to) || !is_remote(from) || takes_stack(to)) return serve(frame).value_or(untouched);
  const auto hops = frame[kEthBytes + (v4 ? 8 : 7)];
  if ((v4 ? frame[kEthBytes] != 0x45 : frame[kEthBytes] >> 4 != 6) || hops <= 1) return untouched;
  return onward(one_hop_less(frame), to);
}

Answer Node::answered(const Bytes& frame, int verdict) {
  const Answer untouched{.verdict = verdict, .frame = frame};
  const auto packet = parse_packet(frame);
  const auto known = packet ? connections_.find(packet->tuple) : connections_.end();
  if (known == connections_.end() || !known->second.reply || known->second.masked) return untouched;
  const auto& to = known->second.to;
  // The answer to a SYN that this connection, which is over, has not seen.
  if (answers_syn(*packet) && is_over(known->second)) {
    take_out(packet->tuple);
    return untouched;
  }
  if (packet->quoted != 0) return {.verdict = verdict, .frame = translated_error(frame, *packet, to)};
  remember_ports(*packet);
  note(*packet, known->second);
  return {.verdict = verdict, .frame = translated(frame, *packet, to)};
}

Answer Node::to_netdev(const Bytes& frame) {
  const auto type = get(frame, 12, 2);
  const bool whole = frame.size() >= kEthBytes + (type == kIpv4 ? kIpv4Bytes : kIpv6Bytes);
  if ((type != kIpv4 && type != kIpv6) || !whole) return {.verdict = kNext, .frame = frame};
  return answered(frame, kNext);
}

}  // namespace netkite::bpf_tests::reference
