// SPDX-License-Identifier: Apache-2.0
// How every fallible call in Netkite reports: a value, or an Error that gathers context on its way up.
#pragma once

#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <utility>

namespace netkite {

// What kind of failure it is: the callers' decisions hang on this, people read the message.
enum class Code {
  invalid,      // the caller's input is wrong: the message names the field and the fix
  not_found,    // the object asked for does not exist
  exists,       // an object of that name is there already
  exhausted,    // a pool, map or bound is full
  unavailable,  // a partner is down or busy: trying again may help
  unsupported,  // the kernel or the build lacks a feature: the message names it
  denied,       // permissions
  io,           // a system call failed
};

struct Error {
  Code code = Code::io;
  int os_error = 0;  // errno (positive) where a system call failed, else 0
  std::string message;
};

template <typename T>
using Result = tl::expected<T, Error>;

[[nodiscard]] inline tl::unexpected<Error> fail(Code code, std::string message) {
  return tl::make_unexpected(Error{.code = code, .os_error = 0, .message = std::move(message)});
}

// A failed system call: `what` names the call and its object. ENOENT, EEXIST, EPERM … choose the Code.
[[nodiscard]] tl::unexpected<Error> fail_errno(int os_error, std::string_view what);

// The same error with the caller's context in front: "create pair nk1: open /run/netns/a: No such file".
[[nodiscard]] tl::unexpected<Error> wrap(Error error, std::string_view context);

[[nodiscard]] std::string_view to_string(Code code);

}  // namespace netkite
