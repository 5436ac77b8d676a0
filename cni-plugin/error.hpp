// SPDX-License-Identifier: Apache-2.0
// What the plugin tells a runtime when it fails. Codes below 100 are the CNI specification's (1.1, section 5), the
// others ours; docs/cni-flow.md lists them all.
#pragma once

#include <string>
#include <tl/expected.hpp>

#include "common/base/result.hpp"

namespace netkite::cni {

enum class ErrorCode : int {
  version = 1,            // cniVersion is not supported, or the verb is not part of it
  unsupported_field = 2,  // the message has the key and its value
  unknown_container = 3,  // nothing to clean up
  environment = 4,        // the message names the CNI_* variable
  io = 5,                 // standard input could not be read, or a file not written
  decode = 6,             // standard input is not JSON
  config = 7,             // the message names the field of the network configuration
  try_again = 11,         // the agent is away or busy
  not_available = 50,     // STATUS: an ADD would fail
  limited = 51,           // STATUS: as 50, for want of addresses
  internal = 100,         // the kernel or the agent refused a step that should work
  exhausted = 101,        // pool, map or bound is full
  unsupported = 102,      // the kernel lacks a feature
  check_failed = 103,     // CHECK: the pod's network differs from what ADD made
  denied = 104,           // permissions
};

struct CniError {
  ErrorCode code = ErrorCode::internal;
  std::string message;  // one line that names the offending field or object, and the fix
  std::string details;  // may be empty
};

template <typename T>
using Outcome = tl::expected<T, CniError>;

[[nodiscard]] tl::unexpected<CniError> refuse(ErrorCode code, std::string message, std::string details = {});

// An error that the agent answered, or that talking to it met.
[[nodiscard]] CniError from_agent(const Error& error);
// A step on the kernel's side that failed.
[[nodiscard]] CniError from_kernel(const Error& error);

}  // namespace netkite::cni
