// SPDX-License-Identifier: Apache-2.0
// The deny-list and the XDP program that enforces it on the uplinks. The program is attached only while the list has
// entries: an empty list costs nothing. Room-internal.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "agent/datapath/deny_map.hpp"
#include "agent/datapath/programs.hpp"
#include "agent/datapath/xdp_link.hpp"

namespace netkite::datapath {

class Prefilter {
 public:
  // In mode `off` the maps are not opened. What is referred to outlives this.
  [[nodiscard]] static Result<Prefilter> open(const config::Prefilter& options, const Pins& pins, Programs& programs,
                                              const MapStore& maps);

  [[nodiscard]] Result<void> deny(const std::vector<Cidr>& prefixes);
  [[nodiscard]] Result<void> undeny(const std::vector<Cidr>& prefixes);
  [[nodiscard]] Result<std::vector<DeniedPrefix>> denied() const;

  // A device that cannot have the program stays without: a problem line says so.
  void add_uplink(std::uint32_t ifindex, const std::string& name);
  void remove_uplink(std::uint32_t ifindex, const std::string& name);
  [[nodiscard]] std::vector<std::string> problems() const;

 private:
  Prefilter(config::XdpMode mode, const Pins& pins, Programs& programs)
      : mode_(mode), pins_(&pins), programs_(&programs) {}
  [[nodiscard]] Result<void> off_error() const;
  void enforce(const XdpPlace& place);
  void enforce_all();

  config::XdpMode mode_;
  const Pins* pins_;
  Programs* programs_;
  std::optional<DenyMap> map_;  // none in mode `off`
  std::map<std::uint32_t, XdpPlace> uplinks_;
  std::map<std::uint32_t, std::string> problems_;  // by uplink
};

}  // namespace netkite::datapath
