// SPDX-License-Identifier: Apache-2.0
// Standard output: one JSON object or nothing, never a result and an error together.
#pragma once

#include <nlohmann/json.hpp>

#include "cni-plugin/error.hpp"
#include "cni-plugin/spec_version.hpp"

namespace netkite::cni {

class Output {
 public:
  explicit Output(int fd) : fd_(fd) {}  // borrowed

  // False when it could not be written whole, or when something was written (or tried) before.
  [[nodiscard]] bool write(const nlohmann::json& object);

 private:
  int fd_;
  bool used_ = false;
};

[[nodiscard]] nlohmann::json to_json(const CniError& error, SpecVersion version);

}  // namespace netkite::cni
