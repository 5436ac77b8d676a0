// SPDX-License-Identifier: Apache-2.0
// Refusals as they happen: the ring buffer and the switch that makes programs write to it. Room-internal.
#pragma once

#include <functional>
#include <memory>

#include "agent/datapath/datapath.hpp"
#include "agent/datapath/typed_map.hpp"
#include "bpf/abi/netkite.h"

struct ring_buffer;

namespace netkite::datapath {

class Events {
 public:
  // Turns the switch off: who read before is gone.
  [[nodiscard]] static Result<Events> open(const MapStore& maps);

  [[nodiscard]] int fd() const;  // for epoll
  [[nodiscard]] Result<void> drain(const std::function<void(const DropEvent&)>& each);
  [[nodiscard]] Result<void> set_monitor(bool on);

 private:
  struct Free {
    void operator()(ring_buffer* buffer) const;
  };
  using Each = std::function<void(const DropEvent&)>;

  TypedMap<std::uint32_t, nk_control> control_;
  std::unique_ptr<const Each*> each_;  // the callback of the drain() that runs; at a fixed address for libbpf
  std::unique_ptr<ring_buffer, Free> buffer_;
};

[[nodiscard]] DropEvent to_event(const nk_event& raw);

}  // namespace netkite::datapath
