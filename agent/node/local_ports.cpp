// SPDX-License-Identifier: Apache-2.0
#include "agent/node/local_ports.hpp"

#include <algorithm>
#include <fstream>

namespace netkite::node {
namespace {

constexpr std::string_view kLocalRange = "/net/ipv4/ip_local_port_range";  // for IPv6, too
constexpr std::string_view kReserved = "/net/ipv4/ip_local_reserved_ports";

struct Ports {
  std::uint32_t first = 0, last = 0;
};

// "8080,61000-65535": the kernel joins neighbours when it prints its list, so one of them contains `ports`, or none.
bool are_reserved(const std::string& path, const Ports& ports) {
  std::ifstream file(path);
  Ports reserved;
  char separator = ',';
  while (separator == ',' && file >> reserved.first) {
    reserved.last = reserved.first;
    separator = ' ';
    if (file >> separator && separator == '-') file >> reserved.last >> separator;
    if (reserved.first <= ports.first && ports.last <= reserved.last) return true;
  }
  return false;
}

}  // namespace

std::string port_conflict(const std::string& sysctl_dir, const config::Services& services) {
  std::ifstream file(sysctl_dir + std::string(kLocalRange));
  Ports local;
  if (!(file >> local.first >> local.last)) return {};
  const Ports common{.first = std::max(local.first, services.first_port),
                     .last = std::min(local.last, services.last_port)};
  if (common.first > common.last || are_reserved(sysctl_dir + std::string(kReserved), common)) return {};
  const auto text = std::to_string(common.first) + "-" + std::to_string(common.last);
  return "services.first_port: the kernel hands out ports " + text +
         " by itself: change services.first_port and last_port, or add them to net.ipv4.ip_local_reserved_ports";
}

}  // namespace netkite::node
