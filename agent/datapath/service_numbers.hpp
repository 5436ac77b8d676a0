// SPDX-License-Identifier: Apache-2.0
// The numbers that sets and backends have had. Sockets and connections remember them, so none may be given twice; but
// who starts finds in the maps those only that are in use. Room-internal.
#pragma once

#include <cstdint>
#include <string>

#include "agent/service/table.hpp"

namespace netkite::datapath {

class ServiceNumbers {
 public:
  ServiceNumbers() = default;
  // The file need not be there yet; one that makes no sense is as good as none.
  explicit ServiceNumbers(std::string file);

  // None above it was ever given.
  [[nodiscard]] std::uint32_t highest() const { return highest_; }
  // Before they are written. The file says more than that, so that it is not written each time.
  void note(const service::Changes& changes);
  // Why a number may be given twice after a restart, if it may.
  [[nodiscard]] const std::string& problem() const { return problem_; }

 private:
  std::string file_, problem_;
  std::uint32_t highest_ = 0, in_file_ = 0;
};

}  // namespace netkite::datapath
