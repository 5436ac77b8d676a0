// SPDX-License-Identifier: Apache-2.0
// Network namespaces as descriptors.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "common/base/result.hpp"
#include "common/base/unique_fd.hpp"

namespace netkite::netlink {

struct NetnsId {
  std::uint64_t device = 0, inode = 0;  // of the nsfs file
  auto operator<=>(const NetnsId&) const = default;
};

// Opens with O_RDONLY|O_CLOEXEC; not_found when the path is gone; invalid when it is no network namespace.
[[nodiscard]] Result<UniqueFd> open_netns(const std::string& path);
[[nodiscard]] Result<NetnsId> identify_netns(int netns_fd);  // invalid when the descriptor is no network namespace
// The namespace of the calling thread ("the host's" for the plugin and the agent).
[[nodiscard]] Result<NetnsId> current_netns();
// Runs `work` on a short-lived thread inside the namespace; the caller's thread never changes namespace.
[[nodiscard]] Result<void> in_netns(int netns_fd, const std::function<Result<void>()>& work);

}  // namespace netkite::netlink
