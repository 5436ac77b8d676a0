// SPDX-License-Identifier: Apache-2.0
// A stack of undo steps: runs them in reverse order unless the work was committed.
#pragma once

#include <functional>
#include <utility>
#include <vector>

namespace netkite {

class Rollback {
 public:
  Rollback() = default;
  Rollback(const Rollback&) = delete;
  Rollback& operator=(const Rollback&) = delete;
  ~Rollback() { run(); }

  // `undo` must not throw and must tolerate that the thing it undoes is gone already.
  void add(std::function<void()> undo) { steps_.push_back(std::move(undo)); }

  // The work stands: forget the steps.
  void commit() { steps_.clear(); }

  // Undo now instead of at the end of the scope.
  void run() {
    while (!steps_.empty()) {
      auto undo = std::move(steps_.back());
      steps_.pop_back();
      undo();
    }
  }

 private:
  std::vector<std::function<void()>> steps_;
};

}  // namespace netkite
