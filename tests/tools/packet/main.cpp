// SPDX-License-Identifier: Apache-2.0
// Sends one kind of packet from a device, past the machine's own IP stack, so that hostile ones leave as they are.
// Usage: nk-packet DEVICE KIND SOURCE DESTINATION [COUNT [MAC]]     kinds: see build.hpp
// MAC is the next hop's on devices that want one (veth); all zero otherwise.
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

}  // namespace

int main(int argc, char** argv) {
  const std::span<char*> words(argv, static_cast<std::size_t>(argc));
  if (argc < 5 || argc > 7) return complain("usage", "nk-packet DEVICE KIND SOURCE DESTINATION [COUNT [MAC]]");
  const std::string_view kind = words[2];
  const auto source = netkite::Ip::parse(words[3]);
  const auto destination = netkite::Ip::parse(words[4]);
  if (!source || !destination) return complain("address", "not one");
  const auto packet = netkite::packet::build(kind, *source, *destination);
  if (!packet) return complain(words[2], packet.error().message.c_str());

  sockaddr_ll to{};
  to.sll_family = AF_PACKET;
  to.sll_protocol = htons(kind == "arp" ? kEthernetArp : source->is_v4() ? kEthernetIpv4 : kEthernetIpv6);
  to.sll_ifindex = static_cast<int>(if_nametoindex(words[1]));
  if (to.sll_ifindex == 0) return complain(words[1], std::strerror(errno));
  if (argc == 7) {
    const auto mac = netkite::Mac::parse(words[6]);
    if (!mac) return complain(words[6], "not a MAC address");
    to.sll_halen = 6;
    std::ranges::copy(mac->bytes, to.sll_addr);
  }
  const netkite::UniqueFd socket(::socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!socket.valid()) return complain("socket", std::strerror(errno));
  const long count = argc >= 6 ? std::strtol(words[5], nullptr, 10) : 1;
  for (long i = 0; i < count; ++i) {
    // The address is a sockaddr by the socket interface's own convention.
    const auto sent =
        ::sendto(socket.get(), packet->data(), packet->size(), 0, reinterpret_cast<const sockaddr*>(&to), sizeof to);
    // ENOBUFS is how a device says that a program on it refused the packet.
    if (sent < 0 && errno != ENOBUFS) return complain("sendto", std::strerror(errno));
  }
  return 0;
}
