// SPDX-License-Identifier: Apache-2.0
// The deny-list's maps. The kernel's copy is the only one: 100,000 prefixes cost this process nothing. Room-internal.
#pragma once

#include <vector>

#include "agent/datapath/datapath.hpp"
#include "agent/datapath/typed_map.hpp"
#include "bpf/abi/netkite.h"

namespace netkite::datapath {

class DenyMap {
 public:
  [[nodiscard]] static Result<DenyMap> open(const MapStore& store);

  // All or nothing. Prefixes that are there keep their counters. Gives the ones that are new.
  [[nodiscard]] Result<std::vector<Cidr>> add(const std::vector<Cidr>& prefixes) const;
  // All or nothing: not_found names the first that is not there.
  [[nodiscard]] Result<void> remove(const std::vector<Cidr>& prefixes) const;
  [[nodiscard]] Result<std::vector<DeniedPrefix>> list() const;
  [[nodiscard]] bool empty() const { return v4_.empty() && v6_.empty(); }

 private:
  TypedMap<nk_prefix4, nk_deny> v4_;
  TypedMap<nk_prefix6, nk_deny> v6_;
};

}  // namespace netkite::datapath
