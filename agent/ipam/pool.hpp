// SPDX-License-Identifier: Apache-2.0
// A pool of addresses from one prefix. Pure: no system calls, no clock.
#pragma once

#include <cstdint>
#include <set>

#include "common/base/ip.hpp"
#include "common/base/result.hpp"

namespace netkite::ipam {

// Hands out addresses next-fit, so that a freed address rests as long as possible before its reuse.
// Never handed out: the first address (subnet-router anycast in IPv6, network address in IPv4) and IPv4's last
// (broadcast); a /31, /32, /127 or /128 pool uses all of its addresses.
class Pool {
 public:
  explicit Pool(const Cidr& prefix);

  [[nodiscard]] const Cidr& prefix() const { return prefix_; }
  [[nodiscard]] Result<Ip> allocate();                    // Code::exhausted names the pool and its size
  [[nodiscard]] Result<void> reserve(const Ip& address);  // invalid: outside or never handed out; exists: taken
  void release(const Ip& address);                        // tolerates addresses that are free or outside
  [[nodiscard]] bool is_taken(const Ip& address) const;
  [[nodiscard]] std::uint64_t capacity() const;  // addresses that can be handed out, saturating
  [[nodiscard]] std::uint64_t taken() const { return taken_.size(); }

 private:
  Cidr prefix_;
  std::uint64_t next_;
  std::set<std::uint64_t> taken_;  // offsets
};

}  // namespace netkite::ipam
