// SPDX-License-Identifier: Apache-2.0
#include "common/base/result.hpp"

#include <cerrno>
#include <system_error>

namespace netkite {
namespace {

Code code_of(int os_error) {
  switch (os_error) {
    case EINVAL:
    case ENAMETOOLONG:
      return Code::invalid;
    case ENOENT:
    case ENODEV:
    case ENXIO:
    case ESRCH:
      return Code::not_found;
    case EEXIST:
      return Code::exists;
    case ENOSPC:
    case E2BIG:
    case EMFILE:
      return Code::exhausted;
    case ECONNREFUSED:
    case EAGAIN:
    case ETIMEDOUT:
    case EBUSY:
      return Code::unavailable;
    case EOPNOTSUPP:
    case ENOSYS:
    case EAFNOSUPPORT:
      return Code::unsupported;
    case EPERM:
    case EACCES:
      return Code::denied;
    default:
      return Code::io;
  }
}

}  // namespace

tl::unexpected<Error> fail_errno(int os_error, std::string_view what) {
  return tl::make_unexpected(Error{
      .code = code_of(os_error),
      .os_error = os_error,
      .message = std::string(what) + ": " + std::generic_category().message(os_error),
  });
}

tl::unexpected<Error> wrap(Error error, std::string_view context) {
  error.message.insert(0, std::string(context) + ": ");
  return tl::make_unexpected(std::move(error));
}

std::string_view to_string(Code code) {
  switch (code) {
    case Code::invalid:
      return "invalid";
    case Code::not_found:
      return "not_found";
    case Code::exists:
      return "exists";
    case Code::exhausted:
      return "exhausted";
    case Code::unavailable:
      return "unavailable";
    case Code::unsupported:
      return "unsupported";
    case Code::denied:
      return "denied";
    case Code::io:
      return "io";
  }
  return "io";
}

}  // namespace netkite
