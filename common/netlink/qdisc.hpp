// SPDX-License-Identifier: Apache-2.0
// Queueing disciplines: what stands on devices, and the few kinds that we make.
#pragma once

#include "common/netlink/link.hpp"

namespace netkite::netlink {

// Our own number in tcm_handle: clean-up touches no other. The kernel's default disciplines have 0, those that `tc`
// makes have what their maker asked for, else 0x80010000 and up.
inline constexpr std::uint32_t kQdiscHandle = 0x6e6b0000;

struct Qdisc {
  std::uint32_t ifindex = 0;
  std::string kind{};        // TCA_KIND: "fq", "mq", "tbf", "noqueue", …
  std::uint32_t handle = 0;  // major number in the upper half
  std::uint32_t parent = 0;  // kQdiscRoot, or the class that it hangs on
  // tbf only
  std::uint64_t rate = 0;   // bytes per second
  std::uint32_t limit = 0;  // bytes
};
inline constexpr std::uint32_t kQdiscRoot = 0xffffffff;

[[nodiscard]] Result<std::vector<Qdisc>> list_qdiscs(Socket& socket);  // of all devices
// not_found: the kernel's own that does not show.
[[nodiscard]] Result<Qdisc> get_root_qdisc(Socket& socket, std::uint32_t ifindex);

// unsupported: the kernel has no fq. Changes nothing on the device.
[[nodiscard]] Result<void> probe_fq(Socket& socket, std::uint32_t ifindex);
// fq, which sends packets when their time has come. In place of what hangs on `parent`.
[[nodiscard]] Result<void> set_fq(Socket& socket, std::uint32_t ifindex, std::uint32_t parent);
// mq under our number, with the kernel's default on each queue.
[[nodiscard]] Result<void> set_mq(Socket& socket, std::uint32_t ifindex);

// At the root, under our number: no more than `rate` bytes per second, but for `burst` bytes after idle time; what
// would make the queue longer than `limit` bytes is dropped.
struct Tbf {
  std::uint64_t rate = 0;
  std::uint32_t burst = 0, limit = 0;
};
[[nodiscard]] Result<void> set_tbf(Socket& socket, std::uint32_t ifindex, const Tbf& tbf);

// The root one with our number; the kernel's default takes its place. Gone already: success.
[[nodiscard]] Result<void> delete_our_qdisc(Socket& socket, std::uint32_t ifindex);

}  // namespace netkite::netlink
