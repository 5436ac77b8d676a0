// SPDX-License-Identifier: Apache-2.0
// Brings a device's hook to what it should hold, whatever is there: creates, adopts and updates pinned links, keeps the
// order among foreign programs, and never touches those. Room-internal.
#pragma once

#include <string>

#include "agent/datapath/place.hpp"
#include "common/base/rollback.hpp"
#include "common/netlink/socket.hpp"

namespace netkite::datapath {

class Attacher {
 public:
  struct Context {
    const Pins& pins;
    Programs& programs;
    const Hooks& hooks;
    config::Position position = config::Position::first;
  };
  // What is referred to outlives this. `socket` is of the namespace that the devices are in.
  Attacher(Context context, netlink::Socket socket) : context_(context), socket_(std::move(socket)) {}

  struct Outcome {
    bool others = false;        // users' or foreign programs stand on this place besides ours
    bool after_hooks = false;   // ours leaves forwarding to the stack
    std::uint32_t link_id = 0;  // of our program, 0: it does not belong here
  };
  // `undo` gets the removal of what was created; what was there already stays.
  [[nodiscard]] Result<Outcome> attach(const Place& place, Rollback& undo);
  // Users' hooks first, so that no packet passes without our program. Tolerates what is gone.
  void detach(const Place& place);
  [[nodiscard]] Result<void> verify(const Place& place);

 private:
  struct Plan;
  [[nodiscard]] Result<Plan> plan(const Place& place);
  [[nodiscard]] Result<void> apply(Plan& plan, Rollback& undo);
  [[nodiscard]] Result<void> put(Plan& plan, std::size_t index, Rollback& undo);
  [[nodiscard]] Result<void> put_backstop(Plan& plan);

  Context context_;
  netlink::Socket socket_;
};

}  // namespace netkite::datapath
