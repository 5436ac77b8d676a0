// SPDX-License-Identifier: Apache-2.0
// Whether pods may be entered past their devices: while bpf/guard.bpf.c watches their links go. Room-internal.
#pragma once

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <string>
#include <vector>

#include "agent/datapath/pins.hpp"
#include "agent/datapath/programs.hpp"
#include "agent/datapath/typed_map.hpp"

namespace netkite::datapath {

class LinkGuard {
 public:
  LinkGuard() = default;
  // Loads; nothing is attached yet. Needs tracing programs, which a kernel may lack or refuse: then there is no guard,
  // missing() says so, and pods are entered through their devices.
  LinkGuard(Programs& programs, bool netkit);

  // New links in the place of a former run's, without a gap.
  void attach(const Pins& pins, const MapStore& maps);

  // These links are the pod's on that device. False: there is no guard.
  [[nodiscard]] Result<bool> watch(std::uint32_t host_ifindex, std::initializer_list<std::uint32_t> link_ids) const;
  // Forgets links that `lives` does not know, and those of former guards.
  [[nodiscard]] Result<void> purge(const std::function<bool(std::uint32_t link_id)>& lives) const;

  [[nodiscard]] const std::string& missing() const { return missing_; }  // empty when all is well

 private:
  struct Post {
    const char* function = nullptr;  // of the kernel
    const LoadedProgram* program = nullptr;
  };
  [[nodiscard]] Result<void> attach_one(const Post& post, const Pins& pins);
  void give_up(const Error& error);

  std::vector<Post> posts_;
  std::vector<std::uint32_t> own_links_;  // numbers
  TypedMap<std::uint32_t, std::uint32_t> map_;
  bool stands_ = false;
  std::string missing_;
};

}  // namespace netkite::datapath
