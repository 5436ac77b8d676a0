// SPDX-License-Identifier: Apache-2.0
// The programs of sockets, attached to a control group. Room-internal.
#pragma once

#include <string>

#include "agent/datapath/pins.hpp"
#include "agent/datapath/programs.hpp"
#include "common/base/result.hpp"

namespace netkite::datapath {

// `configured`, or the root of the version 2 hierarchy wherever it is mounted. not_found: there is none.
[[nodiscard]] Result<std::string> find_cgroup(const std::string& configured);

// Each program once, adopting what a former run has left there; a failure undoes what is new.
[[nodiscard]] Result<void> attach_sockets(const std::string& cgroup, const Pins& pins, Programs& programs);
// Tolerates anything that is gone already.
void detach_sockets(const Pins& pins);

}  // namespace netkite::datapath
