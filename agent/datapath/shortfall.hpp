// SPDX-License-Identifier: Apache-2.0
// What full maps leave out of a change of services, and what follows for what would lead there. Pure. Room-internal.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <unordered_set>

#include "agent/service/table.hpp"
#include "common/base/result.hpp"

namespace netkite::datapath {

class Shortfall {
 public:
  // The first one counts.
  void note(const std::optional<Error>& error);
  void lack_backend(std::uint32_t id, std::uint32_t set);
  void lack_slot(const service::Slot& slot);
  // The set's entrances choose by chance.
  void lack_table(std::uint32_t set) { by_chance_.insert(set); }

  [[nodiscard]] bool is_lacking_backends() const { return !backends_.empty(); }
  [[nodiscard]] bool lacks_backend(std::uint32_t id) const { return backends_.contains(id); }
  [[nodiscard]] bool lacks_table(std::uint32_t set) const { return by_chance_.contains(set); }
  // With no more slots than there are, from the first one on.
  [[nodiscard]] service::FrontendEntry cut(service::FrontendEntry entry) const;
  [[nodiscard]] service::EntranceEntry cut(service::EntranceEntry entry) const;
  [[nodiscard]] Result<void> result() const;

 private:
  [[nodiscard]] std::uint32_t cut(std::uint32_t set, std::uint32_t count) const;

  std::optional<Error> first_;
  std::unordered_set<std::uint32_t> backends_;
  std::map<std::uint32_t, std::uint32_t> reach_;  // the slots before the first that is missing, by set
  std::set<std::uint32_t> by_chance_;
};

// The same writes, beginning with sets that want the fewest entries: where there is not enough room for all, one that
// wants much must not take it from many.
[[nodiscard]] service::Changes fewest_first(service::Changes changes);

}  // namespace netkite::datapath
