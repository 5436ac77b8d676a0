// SPDX-License-Identifier: Apache-2.0
// What from_netdev, from_pod, to_netdev and to_pod should do on the nodes of service_node.hpp and masquerade_node.hpp,
// said once more in plain C++: from the documents, without a look at speed, and without the kernel. The same packets in
// the same order give the same verdicts and bytes.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "bpf/tests/packet.hpp"

namespace netkite::bpf_tests::reference {

// An address in 16 bytes, IPv4 as ::ffff:a.b.c.d.
using Address = std::array<std::uint8_t, 16>;
[[nodiscard]] Address parse(const std::string& text);
[[nodiscard]] bool is_v4(const Address& address);

struct Tuple {
  Address from{}, to{};
  std::uint16_t from_port = 0, to_port = 0;
  std::uint8_t protocol = 0;
  auto operator<=>(const Tuple&) const = default;
  [[nodiscard]] Tuple reversed() const { return {to, from, to_port, from_port, protocol}; }
};

struct Answer {
  int verdict = 0;
  Bytes frame;
  std::uint32_t reason = 0;  // counted, 0: nothing
};

struct Connection {
  Tuple to;
  bool reply = false;
  std::uint8_t seen = 0;
  bool masked = false;  // a pod's to the outside, else to a service
};

// What of a packet the tables are asked by.
struct Packet {
  Tuple tuple;
  std::size_t at = 0;      // the transport's header; 0: none
  std::size_t quoted = 0;  // ICMP errors: the IP header inside
  std::uint32_t id = 0;
  std::uint8_t flags = 0, hops = 0;
  bool first_piece = false, later_piece = false;
};

enum class Hook : std::uint8_t { netdev, pod };

class Node {
 public:
  explicit Node(bool masquerades = false) : masquerades_(masquerades) {}
  [[nodiscard]] Answer from_netdev(const Bytes& frame);
  [[nodiscard]] Answer from_pod(const Bytes& frame);
  [[nodiscard]] Answer to_netdev(const Bytes& frame);
  [[nodiscard]] Answer to_pod(const Bytes& frame);
  void forget() { connections_.clear(), pieces_.clear(); }
  [[nodiscard]] const std::map<Tuple, Connection>& connections() const { return connections_; }

 private:
  struct Ports {
    std::uint16_t first = 0, last = 0;
  };
  [[nodiscard]] std::optional<Packet> parse_packet(const Bytes& frame);
  [[nodiscard]] std::optional<Packet> with_ports(const Bytes& frame, Packet packet) const;
  [[nodiscard]] std::optional<Packet> with_remembered_ports(Packet packet) const;
  // Nothing: untouched.
  [[nodiscard]] std::optional<Answer> serve(const Bytes& frame);
  [[nodiscard]] std::uint32_t admit(const Packet& packet);  // a drop reason, 0, or kNoEntrance
  // Whose address and port are seen: the node's; the client's or, if answers to those are somebody else's, the node's;
  // the client's, with another port in that case.
  enum class Source : std::uint8_t { node, either, client };
  [[nodiscard]] std::uint32_t open(const Packet& packet, Connection forward, Source source, const Ports& ports);
  [[nodiscard]] std::uint32_t claim_port(const Packet& packet, Connection& forward, const Connection& reply,
                                         Source source, const Ports& ports);
  [[nodiscard]] bool begins_anew(const Packet& packet, const Connection& connection);
  [[nodiscard]] Answer follow(const Bytes& frame, const Packet& packet, Connection& connection, Hook hook);
  void note(const Packet& packet, Connection& connection);
  void remember_ports(const Packet& packet);
  [[nodiscard]] Answer answered(const Bytes& frame, int verdict);  // by the stack, if it is an answer
  // What a pod sends to where the stack would be next, and whether it may ask for a service or else be masqueraded:
  // reference_pod.cpp.
  enum class Leaving : std::uint8_t { stack, asking, masked };
  [[nodiscard]] std::optional<Answer> depart(const Bytes& frame, Leaving how);
  [[nodiscard]] std::uint32_t ask(const Packet& packet);   // a drop reason, 0, or kNoEntrance
  [[nodiscard]] std::uint32_t mask(const Packet& packet);  // a drop reason, or 0
  [[nodiscard]] bool is_over(const Connection& connection) const;
  [[nodiscard]] bool ends_for(const Packet& packet, const Connection& connection) const;
  void take_out(const Tuple& tuple);

  bool masquerades_;
  std::map<Tuple, Connection> connections_;
  std::map<std::pair<Tuple, std::uint32_t>, std::pair<std::uint16_t, std::uint16_t>> pieces_;  // tuples without ports
};

// Packets, without a state: reference_packet.cpp.
[[nodiscard]] bool begins(const Packet& packet);
[[nodiscard]] bool answers_syn(const Packet& packet);
[[nodiscard]] std::uint8_t shown(const Packet& packet);
[[nodiscard]] bool is_echo(const Tuple& tuple);
[[nodiscard]] Address at(const Bytes& frame, std::size_t place, bool v4);
[[nodiscard]] std::uint32_t get(const Bytes& bytes, std::size_t at, std::size_t count);
[[nodiscard]] Bytes translated(Bytes frame, const Packet& packet, const Tuple& to);
[[nodiscard]] Bytes translated_error(Bytes frame, const Packet& packet, const Tuple& to);
[[nodiscard]] Bytes reset(Bytes frame, const Packet& packet);
[[nodiscard]] Bytes icmp_error(const Bytes& frame, const Packet& packet, std::uint8_t type, std::uint8_t code,
                               std::uint32_t more);
[[nodiscard]] Bytes one_hop_less(Bytes frame);
[[nodiscard]] Bytes with_macs(Bytes frame, const Address& pod);  // those that a pod's device wants

// In place of a drop reason: nobody is asked for a service.
inline constexpr std::uint32_t kNoEntrance = ~0U;
// The set that service_node.hpp lets be asked for at `where`, 0: none.
[[nodiscard]] std::uint32_t set_asked(const Tuple& tuple, const std::string& where);
[[nodiscard]] Connection led_to(const Packet& packet, std::uint32_t set);  // the first direction, source as it is
[[nodiscard]] bool is_loopback(const Address& address);

// Who is who on that node.
enum class Who : std::uint8_t { pod, remote, outside };
[[nodiscard]] Who who(const Address& address);
[[nodiscard]] bool takes_stack(const Address& pod);
[[nodiscard]] bool answers_by_stack(const Address& backend);
[[nodiscard]] bool owns(const Address& pod);  // the device that a test run's packet is seen on
[[nodiscard]] bool in(const Address& address, const std::string& prefix, std::size_t bytes);

[[nodiscard]] Answer refused(const Bytes& frame, const Packet& packet, Hook hook, std::uint32_t reason,
                             std::uint32_t mtu = 0);

}  // namespace netkite::bpf_tests::reference
