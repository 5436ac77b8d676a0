// SPDX-License-Identifier: Apache-2.0
#include "cni-plugin/error.hpp"

#include <utility>

namespace netkite::cni {
namespace {

ErrorCode agent_code(Code code) {
  switch (code) {
    case Code::invalid:
      return ErrorCode::config;
    case Code::not_found:
      return ErrorCode::unknown_container;
    case Code::exists:
      return ErrorCode::environment;
    case Code::exhausted:
      return ErrorCode::exhausted;
    case Code::unavailable:
      return ErrorCode::try_again;
    case Code::unsupported:
      return ErrorCode::unsupported;
    case Code::denied:
      return ErrorCode::denied;
    case Code::io:
      return ErrorCode::internal;
  }
  return ErrorCode::internal;
}

}  // namespace

tl::unexpected<CniError> refuse(ErrorCode code, std::string message, std::string details) {
  return tl::make_unexpected(CniError{.code = code, .message = std::move(message), .details = std::move(details)});
}

CniError from_agent(const Error& error) {
  return {.code = agent_code(error.code), .message = error.message, .details = {}};
}

CniError from_kernel(const Error& error) {
  // The kernel's EINVAL, ENOENT and EEXIST are about our requests, not about the user's input.
  const bool ours = error.code == Code::invalid || error.code == Code::not_found || error.code == Code::exists;
  return {.code = ours ? ErrorCode::internal : agent_code(error.code), .message = error.message, .details = {}};
}

}  // namespace netkite::cni
