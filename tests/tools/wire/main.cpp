// SPDX-License-Identifier: Apache-2.0
// Makes an end of a veth pair behave as a network card does towards the other end's XDP program: what it sends has its
// checksums and comes segment by segment, and it takes what is redirected to it, for which the kernel wants its
// interrupt-like polling (NAPI), which GRO turns on.
//
//   nk-wire DEVICE [checksums]      checksums: these are left to the other end, as by a veth
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string>

#include "common/base/unique_fd.hpp"

namespace {

struct Setting {
  const char* name;
  std::uint32_t command, value;
};

// The kernel leaves no segmentation to a device that it leaves no checksums to.
std::array<Setting, 2> settings(bool checksums) {
  return {Setting{"checksums", ETHTOOL_STXCSUM, checksums ? 1U : 0U}, Setting{"GRO", ETHTOOL_SGRO, 1}};
}

}  // namespace

int main(int argc, char** argv) {
  const bool checksums = argc == 3 && std::strcmp(argv[2], "checksums") == 0;
  if ((argc != 2 && !checksums) || std::strlen(argv[1]) >= IFNAMSIZ) {
    std::fprintf(stderr, "usage: nk-wire DEVICE [checksums]\n");
    return 2;
  }
  const netkite::UniqueFd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  for (const auto& setting : settings(checksums)) {
    ethtool_value value{.cmd = setting.command, .data = setting.value};
    ifreq request{};
    std::strncpy(request.ifr_name, argv[1], IFNAMSIZ - 1);
    request.ifr_data = reinterpret_cast<char*>(&value);
    if (::ioctl(socket.get(), SIOCETHTOOL, &request) != 0) {
      std::fprintf(stderr, "nk-wire: %s of %s: %s\n", setting.name, argv[1], std::strerror(errno));
      return 1;
    }
  }
  return 0;
}
