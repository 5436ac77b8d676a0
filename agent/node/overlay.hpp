// SPDX-License-Identifier: Apache-2.0
// The overlay's device: one VXLAN device for all other nodes, which learns, floods and resolves nothing.
#pragma once

#include <cstdint>

#include "agent/config/options.hpp"
#include "common/base/ip.hpp"
#include "common/base/result.hpp"

namespace netkite::node {

// Bytes that go around an IP packet: the outer IP header, UDP, VXLAN, the inner Ethernet header.
inline constexpr std::uint32_t kOverhead4 = 50, kOverhead6 = 70;

// The device's index. Made, still down, where it is not there or of another kind, port or MAC.
[[nodiscard]] Result<std::uint32_t> ensure_overlay(const config::Options& options, const Mac& mac);
// Its settings, and up: programs must be on it by now. `mtu` in bytes, 0: as it is. invalid: the port is taken.
[[nodiscard]] Result<void> raise_overlay(const config::Options& options, std::uint32_t ifindex, std::uint32_t mtu);
[[nodiscard]] Result<void> remove_overlay();

}  // namespace netkite::node
