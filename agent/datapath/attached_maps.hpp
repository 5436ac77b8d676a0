// SPDX-License-Identifier: Apache-2.0
// Maps whose pins are lost live on behind the programs that use them. Room-internal.
#pragma once

#include <map>
#include <string>

#include "common/base/unique_fd.hpp"

namespace netkite::datapath {

// The maps, by name, of our programs that run on devices of the calling thread's network namespace. Walking the devices
// rather than the kernel's list of programs keeps other agents' maps apart: theirs are on devices of other namespaces.
[[nodiscard]] std::map<std::string, UniqueFd> attached_maps();

}  // namespace netkite::datapath
