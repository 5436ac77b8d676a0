// SPDX-License-Identifier: Apache-2.0
// A port of the node that leads to one of a pod's: `portMappings` of the CNI conventions, hostPort of Kubernetes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "common/base/ip.hpp"
#include "common/base/result.hpp"

namespace netkite::wire {

enum class Transport : std::uint8_t { tcp = 6, udp = 17, sctp = 132 };  // IANA's numbers

struct PortMapping {
  std::optional<Ip> host_ip{};  // none: each address of the node; unspecified: each of its family
  std::uint16_t host_port = 0, container_port = 0;
  Transport protocol = Transport::tcp;

  bool operator==(const PortMapping&) const = default;
};

inline constexpr std::size_t kMostPortMappings = 1024;  // of a pod, so that a message has room for them

[[nodiscard]] std::string_view to_string(Transport protocol);  // "tcp"
// In lower case.
[[nodiscard]] Result<Transport> parse_transport(std::string_view text);

// "8080:80/tcp", "192.0.2.1:8080:80/udp", "[2001:db8::1]:8080:80/tcp"
[[nodiscard]] std::string to_string(const PortMapping& mapping);
[[nodiscard]] Result<PortMapping> parse_port_mapping(std::string_view text);

}  // namespace netkite::wire
