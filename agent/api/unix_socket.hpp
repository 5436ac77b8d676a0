// SPDX-License-Identifier: Apache-2.0
// Unix SOCK_SEQPACKET sockets with descriptors in their messages, as system calls without waiting. Room-internal.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.hpp"
#include "common/base/unique_fd.hpp"

namespace netkite::api {

// Binds and listens, mode 0600, non-blocking. A socket file that nobody answers on is replaced; unavailable when
// somebody does; exists when the path is something else than a socket.
[[nodiscard]] Result<UniqueFd> listen_unix(const std::string& path);

// The next connection, non-blocking. unavailable: none waits; exhausted: out of descriptors.
[[nodiscard]] Result<UniqueFd> accept_unix(int listener);
// denied unless the process at the other end is root's (SO_PEERCRED, as of its connect()).
[[nodiscard]] Result<void> require_root_peer(int socket);

struct Received {
  std::size_t bytes = 0;  // 0: the other end has closed
  std::vector<UniqueFd> descriptors;
  bool truncated = false;  // longer than the buffer, or with more descriptors than anybody may send
};
// unavailable: nothing there yet.
[[nodiscard]] Result<Received> receive_message(int socket, std::span<char> buffer);
// unavailable: the other end does not read, nothing was sent.
[[nodiscard]] Result<void> send_message(int socket, std::string_view message);

}  // namespace netkite::api
