// SPDX-License-Identifier: Apache-2.0
// Below the stack: send frames as they are, count frames as a device sees them.
#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cstring>
#include <map>
#include <span>
#include <vector>

#include "tests/tools/probe/probe.hpp"
#include "tests/tools/probe/socket.hpp"

namespace netkite::probe {
namespace {

UniqueFd packet_socket(const std::string& device, std::uint16_t protocol) {
  UniqueFd fd(socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(protocol)));
  if (!fd.valid()) die_errno("packet socket");
  sockaddr_ll address{};
  address.sll_family = AF_PACKET;
  address.sll_protocol = htons(protocol);
  address.sll_ifindex = static_cast<int>(if_nametoindex(device.c_str()));
  if (address.sll_ifindex == 0) die_errno("device " + device);
  if (bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) die_errno("bind to " + device);
  return fd;
}

// "4500 0054 …": white space is allowed.
std::vector<std::uint8_t> parse_hex(const std::string& text) {
  std::string digits;
  for (const char c : text) {
    if (std::isxdigit(static_cast<unsigned char>(c)) != 0) {
      digits += c;
    } else if (std::isspace(static_cast<unsigned char>(c)) == 0) {
      tools::die("not a hexadecimal digit: " + std::string(1, c), 2);
    }
  }
  if (digits.size() % 2 != 0) tools::die("an odd number of hexadecimal digits", 2);
  std::vector<std::uint8_t> bytes;
  for (std::size_t i = 0; i < digits.size(); i += 2) {
    bytes.push_back(static_cast<std::uint8_t>(std::stoul(digits.substr(i, 2), nullptr, 16)));
  }
  return bytes;
}

// Whether an IP address stands at `offset` behind the Ethernet header of a frame of its family.
bool has_address(std::span<const std::uint8_t> frame, std::size_t offset, const Ip& address) {
  const std::size_t at = sizeof(ether_header) + offset;
  const auto bytes = address.bytes();
  const std::uint16_t type = address.is_v4() ? ETHERTYPE_IP : ETHERTYPE_IPV6;
  return frame.size() >= at + bytes.size() && frame[12] * 256U + frame[13] == type &&
         std::equal(bytes.begin(), bytes.end(), frame.begin() + static_cast<std::ptrdiff_t>(at));
}

struct Filter {
  std::optional<Ip> from, to;

  [[nodiscard]] bool matches(std::span<const std::uint8_t> frame) const {
    return (!from || has_address(frame, from->is_v4() ? 12 : 8, *from)) &&
           (!to || has_address(frame, to->is_v4() ? 16 : 24, *to));
  }
};

std::string_view type_name(std::uint16_t protocol) {
  switch (protocol) {
    case ETHERTYPE_IP:
      return "ipv4";
    case ETHERTYPE_IPV6:
      return "ipv6";
    case ETHERTYPE_ARP:
      return "arp";
    default:
      return "other";
  }
}

}  // namespace

// raw-send --dev DEVICE --hex FRAME [--count N]: frames as they are, Ethernet header first.
void raw_send(const Arguments& args) {
  const UniqueFd fd = packet_socket(args.get("--dev"), 0);
  const std::vector<std::uint8_t> frame = parse_hex(args.get("--hex"));
  unsigned long sent = 0;
  const unsigned long wanted = args.number("--count", 1);
  for (unsigned long i = 0; i < wanted; ++i) {
    if (send(fd.get(), frame.data(), frame.size(), 0) == static_cast<ssize_t>(frame.size())) ++sent;
  }
  std::printf("{\"sent\":%lu,\"errors\":%lu,\"bytes\":%zu}\n", sent, wanted - sent, frame.size());
}

// count --dev DEVICE --seconds S [--from IP] [--to IP]: frames received and sent by the device, all or the matching
// ones.
void count(const Arguments& args) {
  const UniqueFd fd = packet_socket(args.get("--dev"), ETH_P_ALL);
  Filter filter;
  if (const auto from = args.find("--from")) filter.from = parse_ip(*from);
  if (const auto to = args.find("--to")) filter.to = parse_ip(*to);
  const auto limit = static_cast<double>(args.number("--seconds"));
  const int room = 8 * 1024 * 1024;
  setsockopt(fd.get(), SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room);
  unsigned long received = 0;
  unsigned long sent = 0;
  std::map<std::string_view, unsigned long> types{{"ipv4", 0}, {"ipv6", 0}, {"arp", 0}, {"other", 0}};
  std::array<std::uint8_t, 65536> buffer{};
  say_ready();
  const auto start = Clock::now();
  while (seconds_since(start) < limit && !stop_requested) {
    pollfd poller{.fd = fd.get(), .events = POLLIN, .revents = 0};
    if (poll(&poller, 1, 50) <= 0) continue;
    sockaddr_ll from{};
    socklen_t length = sizeof from;
    const ssize_t got =
        recvfrom(fd.get(), buffer.data(), buffer.size(), 0, reinterpret_cast<sockaddr*>(&from), &length);
    if (got < 0 || !filter.matches({buffer.data(), static_cast<std::size_t>(got)})) continue;
    if (from.sll_pkttype == PACKET_OUTGOING) {
      ++sent;
    } else {
      ++received;
      ++types[type_name(ntohs(from.sll_protocol))];
    }
  }
  std::printf("{\"received\":%lu,\"sent\":%lu,\"ipv4\":%lu,\"ipv6\":%lu,\"arp\":%lu,\"other\":%lu}\n", received, sent,
              types["ipv4"], types["ipv6"], types["arp"], types["other"]);
}

}  // namespace netkite::probe
