// SPDX-License-Identifier: Apache-2.0
// Services as the programs see them. Room-internal.
#pragma once

#include <cstdint>
#include <unordered_set>

#include "agent/datapath/shortfall.hpp"
#include "agent/datapath/typed_map.hpp"
#include "agent/service/table.hpp"
#include "bpf/abi/service.h"

namespace netkite::datapath {

class ServiceMap {
 public:
  [[nodiscard]] static Result<ServiceMap> open(const MapStore& store);

  [[nodiscard]] Result<service::Table> read() const;
  // In the order of the members of Changes. Where a map is full, all is written that fits and all is erased; nothing
  // that is written leads to what did not fit. The first error is returned, and read() says what there is.
  [[nodiscard]] Result<void> apply(const service::Changes& changes) const;

 private:
  [[nodiscard]] Result<void> read_outside(service::Table& table) const;
  [[nodiscard]] Result<void> write(const service::Changes& changes) const;
  void write_slots(const service::Changes& changes, Shortfall& shortfall) const;
  void write_maglev(const service::Changes& changes, Shortfall& shortfall) const;
  // False: there is no such slot yet, or nobody for it.
  [[nodiscard]] bool fill(const service::Slot& slot, std::uint32_t backend) const;
  // A backend of the set that stays, 0: none.
  [[nodiscard]] std::uint32_t substitute(std::uint32_t set, const std::unordered_set<std::uint32_t>& gone) const;
  [[nodiscard]] Result<void> erase(const service::Changes& changes) const;

  TypedMap<nk_service_address, nk_frontend> frontends_;
  TypedMap<nk_slot_key, std::uint32_t> slots_;
  TypedMap<std::uint32_t, nk_backend> backends_;
  TypedMap<nk_service_address, nk_entrance> entrances_;
  TypedMap<nk_range, std::uint32_t> ranges_;
  TypedMap<nk_maglev_key, nk_maglev> maglev_;
};

}  // namespace netkite::datapath
