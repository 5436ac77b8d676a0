// SPDX-License-Identifier: Apache-2.0
// How long programs may go on with decisions that they remember (bpf/lib/flow.h). Room-internal.
#pragma once

#include <string>

#include "agent/datapath/typed_map.hpp"

namespace netkite::datapath {

class Epoch {
 public:
  [[nodiscard]] static Result<Epoch> open(const MapStore& store);

  // Stands around a change of what programs decide from: endpoints, remotes, the programs themselves. While it lives
  // nothing is remembered, and an agent that dies meanwhile leaves it so: slower, never wrong. Not nested.
  class Change {
   public:
    explicit Change(Epoch& epoch) : epoch_(epoch), begun_(epoch.map_.update(0, 0)) {}
    ~Change() { epoch_.renew(); }
    Change(const Change&) = delete;
    Change& operator=(const Change&) = delete;
    // An error: programs go on with old decisions, so nothing may be given to a pod.
    [[nodiscard]] const Result<void>& begun() const { return begun_; }

   private:
    Epoch& epoch_;
    Result<void> begun_;
  };

  // Why nothing is remembered since the last change; empty when all is well.
  [[nodiscard]] const std::string& problem() const { return problem_; }

 private:
  void renew();

  TypedMap<std::uint32_t, std::uint64_t> map_;
  std::string problem_;
};

}  // namespace netkite::datapath
