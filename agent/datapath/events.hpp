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
  // At most `at_most` events. True: there are more.
  [[nodiscard]] Result<bool> drain(const std::function<void(const DropEvent&)>& each, std::size_t at_most = 1024);
  [[nodiscard]] Result<void> set_monitor(bool on);

 private:
  struct Free {
    void operator()(ring_buffer* buffer) const;
  };
  using Each = std::function<void(const DropEvent&)>;

  TypedMap<std::uint32_t, nk_control> control_;
  // What the drain() that runs wants; at a fixed address for libbpf.
  struct Reader {
    const Each* each = nullptr;
    std::size_t left = 0;
  };
  static int on_sample(void* context, void* data, std::size_t size);

  std::unique_ptr<Reader> reader_;
  std::unique_ptr<ring_buffer, Free> buffer_;
};

[[nodiscard]] DropEvent to_event(const nk_event& raw);

}  // namespace netkite::datapath
