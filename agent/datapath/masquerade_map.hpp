// SPDX-License-Identifier: Apache-2.0
// What programs masquerade with. Room-internal.
#pragma once

#include "agent/datapath/datapath.hpp"
#include "agent/datapath/typed_map.hpp"
#include "bpf/abi/masquerade.h"

namespace netkite::datapath {

class MasqueradeMap {
 public:
  [[nodiscard]] static Result<MasqueradeMap> open(const MapStore& store);

  // Exceptions that come are there before the exits that they are exceptions from, and those that go, go after them.
  [[nodiscard]] Result<void> set(const Masquerade& masquerade) const;

 private:
  TypedMap<std::uint32_t, nk_exit> exits_;
  TypedMap<nk_unmasked, std::uint32_t> unmasked_;
};

}  // namespace netkite::datapath
