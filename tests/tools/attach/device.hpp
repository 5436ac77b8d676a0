// SPDX-License-Identifier: Apache-2.0
// Netkit pairs and programs to put on them, in the calling thread's network namespace. What fails ends the program.
#pragma once

#include <bpf/bpf.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "common/base/result.hpp"
#include "common/base/unique_fd.hpp"
#include "common/netlink/socket.hpp"

namespace netkite::tools {

[[noreturn]] void end_with_error(std::string_view message);
[[noreturn]] void end_with_errno(std::string_view what);

template <typename T>
T must(Result<T> result) {
  if (!result) end_with_error(result.error().message);
  if constexpr (!std::is_void_v<T>) return std::move(*result);
}

[[nodiscard]] UniqueFd new_netns();  // the calling thread stays in its own
void enter_netns(const UniqueFd& netns);

// A pair that is closed until it has programs, with the peer in `netns` (-1: here). Gives the primary's index.
[[nodiscard]] std::uint32_t make_pair(netlink::Socket& socket, const std::string& primary, const std::string& peer,
                                      int netns = -1);

// A classifier that counts its runs in `key` of the array `map` (-1: nowhere) and returns `verdict`.
[[nodiscard]] UniqueFd load_program(std::int32_t verdict, int map = -1, std::uint32_t key = 0);
[[nodiscard]] UniqueFd attach(const UniqueFd& program, std::uint32_t ifindex, bpf_attach_type hook, bool first = false);

}  // namespace netkite::tools
