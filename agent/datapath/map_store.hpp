// SPDX-License-Identifier: Apache-2.0
// Our maps: opened from their pins, found again behind running programs when the pins are lost, resized when the
// configuration says so, else created. Room-internal.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>

#include "agent/config/options.hpp"
#include "agent/datapath/kernel_objects.hpp"
#include "agent/datapath/pins.hpp"

namespace netkite::datapath {

// One of our maps, borrowed from the store.
struct MapHandle {
  int fd = -1;
  MapInfo info;
  std::string option;  // the configuration key that sets max_entries, empty when none does
};

class MapStore {
 public:
  MapStore(Pins pins, const config::Options& options);

  // The map that a program declares as `declared`; a size set by configuration goes before the declared one.
  [[nodiscard]] Result<MapHandle> open(const MapInfo& declared);
  [[nodiscard]] std::optional<MapHandle> find(std::string_view name) const;
  [[nodiscard]] std::vector<MapHandle> all() const;

  // Pins what open() made, and unpins what only former releases have. Until then nothing that others see has changed.
  [[nodiscard]] Result<void> commit();

 private:
  struct Entry {
    UniqueFd fd;
    MapInfo info;
    bool pinned = false;
  };
  struct Limit {
    std::uint32_t entries = 0;
    std::string option;
    bool shrinks_when_empty = false;  // until then it keeps its size: what it holds is still in use
  };

  [[nodiscard]] Result<UniqueFd> existing(const std::string& name, bool& pinned);
  [[nodiscard]] Result<Entry> make(const MapInfo& wanted);
  [[nodiscard]] bool keeps_size(const MapInfo& present, int fd) const;
  [[nodiscard]] MapHandle handle(const Entry& entry) const;
  [[nodiscard]] std::string option_of(const std::string& name) const;

  Pins pins_;
  std::map<std::string, Limit> limits_;
  std::map<std::string, Entry> entries_;
  std::optional<std::map<std::string, UniqueFd>> attached_;  // maps of running programs, filled when a pin is missing
};

}  // namespace netkite::datapath
