// SPDX-License-Identifier: Apache-2.0
#include "common/wire/port_mapping.hpp"

#include <algorithm>
#include <array>
#include <charconv>

namespace netkite::wire {
namespace {

constexpr std::array kTransports{Transport::tcp, Transport::udp, Transport::sctp};

std::optional<std::uint16_t> parse_port(std::string_view text) {
  std::uint16_t port = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), port);
  const bool whole = parsed.ec == std::errc() && parsed.ptr == text.data() + text.size();
  return whole && port != 0 ? std::optional(port) : std::nullopt;
}

// Cuts off what stands behind the last `separator`, which has to be there.
std::optional<std::string_view> take_last(std::string_view& text, char separator) {
  const auto at = text.rfind(separator);
  if (at == std::string_view::npos) return std::nullopt;
  const auto last = text.substr(at + 1);
  text = text.substr(0, at);
  return last;
}

Result<Ip> parse_host(std::string_view text) {
  const bool bracketed = text.size() > 2 && text.front() == '[' && text.back() == ']';
  auto address = Ip::parse(bracketed ? text.substr(1, text.size() - 2) : text);
  if (address && address->is_v6() != bracketed) return fail(Code::invalid, "IPv6 addresses stand in brackets");
  return address;
}

}  // namespace

std::string_view to_string(Transport protocol) {
  switch (protocol) {
    case Transport::tcp:
      return "tcp";
    case Transport::udp:
      return "udp";
    case Transport::sctp:
      return "sctp";
  }
  return "tcp";
}

Result<Transport> parse_transport(std::string_view text) {
  const auto* const found = std::ranges::find(kTransports, text, [](Transport each) { return to_string(each); });
  if (found != kTransports.end()) return *found;
  return fail(Code::invalid, "not a protocol: tcp, udp or sctp");
}

std::string to_string(const PortMapping& mapping) {
  std::string text;
  if (mapping.host_ip) {
    const auto address = mapping.host_ip->to_string();
    text = (mapping.host_ip->is_v6() ? "[" + address + "]" : address) + ":";
  }
  text += std::to_string(mapping.host_port) + ":" + std::to_string(mapping.container_port) + "/";
  return text.append(to_string(mapping.protocol));
}

Result<PortMapping> parse_port_mapping(std::string_view text) {
  const auto malformed = [] { return fail(Code::invalid, R"(not a port mapping, such as "192.0.2.1:8080:80/tcp")"); };
  const auto protocol = take_last(text, '/');
  const auto container_port = take_last(text, ':');
  if (!protocol || !container_port) return malformed();
  const auto transport = parse_transport(*protocol);
  if (!transport) return tl::make_unexpected(transport.error());

  PortMapping mapping{.protocol = *transport};
  if (text.find(':') != std::string_view::npos) {
    const auto host_port = take_last(text, ':');
    const auto address = parse_host(text);
    if (!address) return tl::make_unexpected(address.error());
    mapping.host_ip = *address;
    text = *host_port;
  }
  const auto host = parse_port(text);
  const auto container = parse_port(*container_port);
  if (!host || !container) return malformed();
  mapping.host_port = *host;
  mapping.container_port = *container;
  return mapping;
}

}  // namespace netkite::wire
