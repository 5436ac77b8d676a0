// SPDX-License-Identifier: Apache-2.0
// One hook of one device, and the links of ours that belong there. Room-internal.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "agent/config/options.hpp"
#include "agent/datapath/hooks.hpp"
#include "agent/datapath/kernel_objects.hpp"
#include "agent/datapath/pins.hpp"
#include "agent/datapath/programs.hpp"

namespace netkite::datapath {

struct Place {
  std::uint32_t ifindex = 0;
  std::string ifname;
  Hook hook = Hook::tcx_ingress;
  std::optional<ProgramKind> ours;         // none: users' hooks only
  std::optional<config::HookPoint> point;  // none: no users' hooks here
  bool backstop = false;     // veth and overlay: a program behind ours drops what no program of ours accepted
  bool after_hooks = false;  // our program must leave forwarding to the stack, whatever stands behind it here
  [[nodiscard]] bool netkit() const { return hook == Hook::netkit_peer || hook == Hook::netkit_primary; }
};

struct Link {
  UniqueFd fd;
  std::uint32_t id = 0, program_id = 0;
};

// One program of ours (or of a user) on a place, in the order in which they are to run.
struct Slot {
  std::string pin;
  std::string program_name;        // as the kernel has it
  const UserHook* user = nullptr;  // null: our own program
  std::optional<Link> link;        // what was found in the kernel
};

// Before-hooks, our program, after-hooks.
[[nodiscard]] std::vector<Slot> slots_of(const Place& place, const Pins& pins, const Hooks& hooks);

// Fills in the links: by pin, else (the pin is lost) by the program's name among those on the device. Pins that lead to
// another device, or to none, are removed.
void find_links(std::vector<Slot>& slots, const Chain& chain);
// Pins a link that find_links() found without its pin; a pin under another name (a renamed device) is moved.
[[nodiscard]] Result<void> restore_pin(const Slot& slot, const Pins& pins);

// Takes pin and link away, at once and whoever else holds the link.
void drop_link(const std::string& pin, int link_fd);

}  // namespace netkite::datapath
