// SPDX-License-Identifier: Apache-2.0
// Sends one kind of packet from a device, past the machine's own IP stack, so that hostile ones leave as they are.
// Usage: nk-packet DEVICE KIND[:TO[:FROM]] SOURCE DESTINATION [COUNT [MAC]]     kinds: see build.hpp
// TO and FROM are ports. With the first one alone it is a flood: each packet has another source, by address and port.
// MAC is the next hop's on devices that want one (veth); all zero otherwise.
// DEVICE may be vxlan:VNI@NODE: then the packet goes to that node's overlay inside UDP, as another node would send it.
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <span>
#include <string>
#include <vector>

#include "common/base/unique_fd.hpp"
#include "tests/tools/packet/build.hpp"

namespace {

constexpr std::uint16_t kEthernetIpv4 = 0x0800;
constexpr std::uint16_t kEthernetArp = 0x0806;
constexpr std::uint16_t kEthernetIpv6 = 0x86dd;

int complain(const char* what, const char* why) {
  std::fprintf(stderr, "nk-packet: %s: %s\n", what, why);
  return 1;
}

// Either kind of socket address. The socket interface's own convention makes both a sockaddr.
struct Target {
  sockaddr_storage address{};
  socklen_t length = 0;

  template <typename Address>
  explicit Target(const Address& from) : length(sizeof(from)) {
    std::memcpy(&address, &from, sizeof(from));
  }
};

int send_all(int socket, std::span<const std::uint8_t> packet, const Target& to, long count) {
  for (long i = 0; i < count; ++i) {
    const auto sent =
        ::sendto(socket, packet.data(), packet.size(), 0, reinterpret_cast<const sockaddr*>(&to.address), to.length);
    // ENOBUFS is how a device says that a program on it refused the packet.
    if (sent < 0 && errno != ENOBUFS) return complain("sendto", std::strerror(errno));
  }
  return 0;
}

// A checksum of what follows is to be written over the last two bytes of the source, or over the source's port: whoever
// chooses the rest can choose it.
int send_forged(const sockaddr_ll& to, std::span<const std::uint8_t> packet, bool port, long count) {
  constexpr std::uint16_t kSourceEnd4 = ETH_HLEN + 14, kSourceEnd6 = ETH_HLEN + 22;
  constexpr std::uint16_t kPort4 = ETH_HLEN + 20, kPort6 = ETH_HLEN + 40;
  const bool v4 = to.sll_protocol == htons(kEthernetIpv4);
  const std::uint16_t from = !port ? 20 : v4 ? kPort4 : kPort6;
  const std::uint16_t where = port ? from : v4 ? kSourceEnd4 : kSourceEnd6;
  // linux/virtio_net.h, which is no C++.
  struct {
    std::uint8_t flags = 1, gso_type = 0;  // VIRTIO_NET_HDR_F_NEEDS_CSUM
    std::uint16_t header_length = 0, gso_size = 0, checksum_start = 0, checksum_offset = 0;
  } header;
  header.checksum_start = from;
  header.checksum_offset = static_cast<std::uint16_t>(where - from);
  ethhdr ethernet{};
  std::copy_n(to.sll_addr, ETH_ALEN, ethernet.h_dest);
  ethernet.h_proto = to.sll_protocol;
  std::vector<std::uint8_t> frame(sizeof(header) + sizeof(ethernet));
  std::memcpy(frame.data(), &header, sizeof(header));
  std::memcpy(frame.data() + sizeof(header), &ethernet, sizeof(ethernet));
  frame.insert(frame.end(), packet.begin(), packet.end());

  const netkite::UniqueFd socket(::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0));
  constexpr int kOn = 1;
  if (!socket.valid() || ::setsockopt(socket.get(), SOL_PACKET, PACKET_VNET_HDR, &kOn, sizeof(kOn)) != 0) {
    return complain("socket", std::strerror(errno));
  }
  return send_all(socket.get(), frame, Target(to), count);
}

// KIND[:TO[:FROM]]
struct Kind {
  std::string name;
  netkite::packet::Ports ports;
  bool is_flood = false;

  explicit Kind(std::string_view text) : name(text.substr(0, text.find(':'))) {
    if (name.size() == text.size()) return;
    char* rest = nullptr;
    ports.to = static_cast<std::uint16_t>(std::strtoul(text.data() + name.size() + 1, &rest, 10));
    is_flood = *rest != ':';
    if (!is_flood) ports.from = static_cast<std::uint16_t>(std::strtoul(rest + 1, nullptr, 10));
  }
};

// Of `source` and the 255 addresses that differ from it in the last byte, each from all ports in turn.
int send_flood(int socket, Kind kind, const netkite::Ip& source, const netkite::Ip& destination, const Target& to,
               long count) {
  constexpr long kPorts = 60'000;
  std::vector<std::uint8_t> bytes(source.bytes().begin(), source.bytes().end());
  for (long i = 0; i < count; ++i) {
    kind.ports.from = static_cast<std::uint16_t>(1024 + i % kPorts);
    bytes.back() = static_cast<std::uint8_t>(source.bytes().back() + i);
    const auto from = netkite::Ip::from_bytes(std::as_bytes(std::span(bytes)));
    const auto packet = netkite::packet::build(kind.name, *from, destination, kind.ports);
    if (send_all(socket, *packet, to, 1) != 0) return 1;
  }
  return 0;
}

constexpr std::uint16_t kOverlayPort = 8472;
constexpr std::uint8_t kOurNetwork = 8;  // RFC 7348: the flag I, the network's number is there

// `where`: VNI@NODE
int send_wrapped(const std::string& where, const netkite::Mac& mac, std::uint16_t protocol,
                 const std::vector<std::uint8_t>& packet, long count) {
  const auto at = where.find('@');
  const auto node = netkite::Ip::parse(at == std::string::npos ? "" : where.substr(at + 1));
  if (!node || !node->is_v4()) return complain(where.c_str(), "not VNI@NODE with an IPv4 address");
  const auto vni = static_cast<std::uint32_t>(std::strtoul(where.c_str(), nullptr, 10));
  const auto byte = [](std::uint32_t value, unsigned shift) { return static_cast<std::uint8_t>(value >> shift); };
  std::vector<std::uint8_t> wrapped{kOurNetwork, 0, 0, 0, byte(vni, 16), byte(vni, 8), byte(vni, 0), 0};
  wrapped.insert(wrapped.end(), mac.bytes.begin(), mac.bytes.end());
  constexpr netkite::Mac kSender{.bytes = {0x02, 0x6e, 0x6b, 0x00, 0x00, 0x00}};
  wrapped.insert(wrapped.end(), kSender.bytes.begin(), kSender.bytes.end());
  wrapped.push_back(byte(protocol, 8));
  wrapped.push_back(byte(protocol, 0));
  wrapped.insert(wrapped.end(), packet.begin(), packet.end());

  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(kOverlayPort);
  std::memcpy(&to.sin_addr, node->bytes().data(), sizeof(to.sin_addr));
  const netkite::UniqueFd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!socket.valid()) return complain("socket", std::strerror(errno));
  return send_all(socket.get(), wrapped, Target(to), count);
}

}  // namespace

int main(int argc, char** argv) {
  const std::span<char*> words(argv, static_cast<std::size_t>(argc));
  if (argc < 5 || argc > 7) {
    return complain("usage", "nk-packet DEVICE KIND[:TO[:FROM]] SOURCE DESTINATION [COUNT [MAC]]");
  }
  const Kind kind(words[2]);
  const auto source = netkite::Ip::parse(words[3]);
  const auto destination = netkite::Ip::parse(words[4]);
  if (!source || !destination) return complain("address", "not one");
  const auto packet = netkite::packet::build(kind.name, *source, *destination, kind.ports);
  if (!packet) return complain(words[2], packet.error().message.c_str());

  const auto protocol = kind.name == "arp" ? kEthernetArp : source->is_v4() ? kEthernetIpv4 : kEthernetIpv6;
  const auto mac = netkite::Mac::parse(argc == 7 ? words[6] : "00:00:00:00:00:00");
  if (!mac) return complain(words[6], "not a MAC address");
  const long count = argc >= 6 ? std::strtol(words[5], nullptr, 10) : 1;
  const std::string device(words[1]);
  constexpr std::string_view kWrapped = "vxlan:";
  if (device.starts_with(kWrapped)) {
    return send_wrapped(device.substr(kWrapped.size()), *mac, protocol, *packet, count);
  }

  sockaddr_ll to{};
  to.sll_family = AF_PACKET;
  to.sll_protocol = htons(protocol);
  to.sll_ifindex = static_cast<int>(if_nametoindex(words[1]));
  if (to.sll_ifindex == 0) return complain(words[1], std::strerror(errno));
  if (argc == 7) {
    to.sll_halen = 6;
    std::ranges::copy(mac->bytes, to.sll_addr);
  }
  if (kind.name.starts_with("forged")) return send_forged(to, *packet, kind.name == "forged-port", count);
  const netkite::UniqueFd socket(::socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!socket.valid()) return complain("socket", std::strerror(errno));
  if (kind.is_flood) return send_flood(socket.get(), kind, *source, *destination, Target(to), count);
  return send_all(socket.get(), *packet, Target(to), count);
}
