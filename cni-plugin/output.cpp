// SPDX-License-Identifier: Apache-2.0
#include "cni-plugin/output.hpp"

#include <unistd.h>

#include <cerrno>
#include <string>
#include <string_view>
#include <utility>

namespace netkite::cni {

bool Output::write(const nlohmann::json& object) {
  if (std::exchange(used_, true)) return false;
  // Input that is not UTF-8 may stand in a message.
  const std::string text = object.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
  std::string_view rest = text;
  while (!rest.empty()) {
    const ssize_t count = ::write(fd_, rest.data(), rest.size());
    if (count < 0 && errno != EINTR) return false;
    if (count > 0) rest.remove_prefix(static_cast<std::size_t>(count));
  }
  return true;
}

nlohmann::json to_json(const CniError& error, SpecVersion version) {
  nlohmann::json json = {
      {"cniVersion", to_string(version)}, {"code", static_cast<int>(error.code)}, {"msg", error.message}};
  if (!error.details.empty()) json["details"] = error.details;
  return json;
}

}  // namespace netkite::cni
