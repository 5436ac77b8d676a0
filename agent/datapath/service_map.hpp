// SPDX-License-Identifier: Apache-2.0
// Services as the programs see them. Room-internal.
#pragma once

#include "agent/datapath/typed_map.hpp"
#include "agent/service/table.hpp"
#include "bpf/abi/service.h"

namespace netkite::datapath {

class ServiceMap {
 public:
  [[nodiscard]] static Result<ServiceMap> open(const MapStore& store);

  [[nodiscard]] Result<service::Table> read() const;
  // In the order of the members of Changes. After a failure the maps hold a part of it, and read() says which.
  [[nodiscard]] Result<void> apply(const service::Changes& changes) const;

 private:
  [[nodiscard]] Result<void> read_outside(service::Table& table) const;
  [[nodiscard]] Result<void> write(const service::Changes& changes) const;
  [[nodiscard]] Result<void> erase(const service::Changes& changes) const;

  TypedMap<nk_service_address, nk_frontend> frontends_;
  TypedMap<nk_slot_key, std::uint32_t> slots_;
  TypedMap<std::uint32_t, nk_backend> backends_;
  TypedMap<nk_service_address, nk_entrance> entrances_;
  TypedMap<nk_range, std::uint32_t> ranges_;
  TypedMap<nk_maglev_key, nk_maglev> maglev_;
};

}  // namespace netkite::datapath
