// SPDX-License-Identifier: Apache-2.0
// Lists of kernel objects by RTM_GET* dumps.
#pragma once

#include <cerrno>
#include <string_view>
#include <vector>

#include "common/netlink/socket.hpp"

namespace netkite::netlink {

// Every answer handed to collect(message, list). A list that changed while it was read is read again: a read takes
// about a millisecond, so the attempts outlast any burst of pods without holding the caller for long.
template <typename T, typename Collect>
[[nodiscard]] Result<std::vector<T>> dump(Socket& socket, const Message& message, std::string_view what,
                                          const Collect& collect) {
  constexpr int kAttempts = 50;
  for (int attempt = 1;; ++attempt) {
    std::vector<T> list;
    auto done = socket.query(message, what, [&](const nlmsghdr& answer) { collect(answer, list); });
    if (done) return list;
    if (done.error().os_error != EINTR || attempt == kAttempts) return tl::make_unexpected(std::move(done.error()));
  }
}

}  // namespace netkite::netlink
