// SPDX-License-Identifier: Apache-2.0
// clang on this machine, with a cache of objects named by the content of everything that went into them. Room-internal.
#pragma once

#include <string>
#include <vector>

#include "agent/config/options.hpp"
#include "common/base/result.hpp"

namespace netkite::datapath {

class Compiler {
 public:
  // `clang` in PATH when it is new enough, else the newest `clang-<N>`. Code::not_found when there is none.
  [[nodiscard]] static Result<Compiler> find(const config::Datapath& options);

  // The object's path in the cache. Code::invalid with clang's own words when it refuses the source.
  [[nodiscard]] Result<std::string> compile(const std::string& source) const;
  [[nodiscard]] const std::string& version() const { return version_; }  // "19.1.7"

 private:
  Compiler() = default;
  [[nodiscard]] std::string direct_key(const std::string& source) const;
  [[nodiscard]] Result<void> run(const std::string& source, const std::string& object,
                                 const std::string& depfile) const;

  std::string path_, version_, cache_dir_;
  std::vector<std::string> flags_;
};

}  // namespace netkite::datapath
