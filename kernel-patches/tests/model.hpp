// SPDX-License-Identifier: Apache-2.0
// What a multi-program hook should do, written down a second time: plain values, no kernel. The tests ask both.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace netkite::kernel_tests {

// A program by its letter; `link`: it stands there through a link.
struct Entry {
  char program = 0;
  bool link = false;
  auto operator<=>(const Entry&) const = default;
};
using Chain = std::vector<Entry>;
[[nodiscard]] std::string to_string(const Chain& chain);  // "A[B]C": B has a link

// How a request names the entry that it wants to stand beside.
enum class By : std::uint8_t {
  nothing,
  program_fd,
  program_id,
  link_fd,
  link_id,
  unknown_id,
  unknown_link_id,
  no_link,
  wrong_kind
};
enum class Revision : std::uint8_t { any, right, wrong };

struct Request {
  Entry entry;  // to attach, or (program 0: unnamed) to detach
  bool before = false, after = false;
  By by = By::nothing;
  char relative = 0;  // for By::…_fd and …_id
  std::optional<char> replaced{};
  Revision revision = Revision::any;
};
[[nodiscard]] std::string to_string(const Request& request);

constexpr std::size_t kMaximum = 63;  // entries; the kernel keeps a place for the end mark

// 0 and the chain changed, or errno and the chain as it was.
[[nodiscard]] int attach(Chain& chain, const Request& request);
[[nodiscard]] int detach(Chain& chain, const Request& request);

}  // namespace netkite::kernel_tests
