// SPDX-License-Identifier: Apache-2.0
// Notes of DELs made while the agent was away: <folder of the agent's socket>/deferred-del/<host device>.json, each one
// wire::Attachment as JSON. The agent works them off when it starts, under a lock (flock) on the folder. They need not
// outlive a reboot, which ends the namespaces as well, so nothing is synced to a disk.
#pragma once

#include <string>

#include "common/base/result.hpp"
#include "common/wire/agent_api.hpp"

namespace netkite::cni {

inline constexpr std::size_t kMaxNotes = 4096;

[[nodiscard]] std::string notes_folder(const std::string& agent_socket);

// Whole or not at all; writing the same note again is fine. Creates the folder and its parent (mode 0700).
// exhausted: kMaxNotes are there; unavailable: somebody held the lock for two seconds.
[[nodiscard]] Result<void> write_note(const std::string& agent_socket, const wire::Attachment& attachment);

// The attachment is removed, or lives again. Best effort; none there is fine.
void remove_note(const std::string& agent_socket, const wire::Attachment& attachment);

}  // namespace netkite::cni
