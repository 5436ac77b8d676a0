// SPDX-License-Identifier: Apache-2.0
// The XDP program of the uplinks, which enforces the deny-list and passes translated connections on. It is attached
// where there is something to do: while the list has entries, or where services are to be served at XDP and the driver
// can. Room-internal.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "agent/datapath/deny_map.hpp"
#include "agent/datapath/express_map.hpp"
#include "agent/datapath/programs.hpp"
#include "agent/datapath/xdp_link.hpp"

namespace netkite::datapath {

class Prefilter {
 public:
  // In mode `off` the deny-list's maps are not opened. What is referred to outlives this.
  [[nodiscard]] static Result<Prefilter> open(const config::Options& options, const Pins& pins, Programs& programs,
                                              const MapStore& maps);
  // Services at XDP. Not past users' programs on the uplinks, and not in generic mode, which is slower than tcx.
  [[nodiscard]] static bool wants_express(const config::Options& options);

  [[nodiscard]] Result<void> deny(const std::vector<Cidr>& prefixes);
  [[nodiscard]] Result<void> undeny(const std::vector<Cidr>& prefixes);
  [[nodiscard]] Result<std::vector<DeniedPrefix>> denied() const;

  // A device that cannot have the program stays without: a problem line says so.
  void add_uplink(std::uint32_t ifindex, const std::string& name);
  void remove_uplink(std::uint32_t ifindex, const std::string& name);
  [[nodiscard]] std::vector<std::string> problems() const;

  // Addresses of uplinks and abilities of their drivers may be others now.
  void refresh();
  // Forgets uplinks that are not to be kept.
  void purge(const std::function<bool(std::uint32_t ifindex)>& keep);
  [[nodiscard]] std::string services_at(std::uint32_t ifindex) const;  // as Datapath has it

 private:
  Prefilter(config::XdpMode mode, const Pins& pins, Programs& programs)
      : mode_(mode), pins_(&pins), programs_(&programs) {}
  [[nodiscard]] Result<void> off_error() const;
  void enforce(const XdpPlace& place);
  [[nodiscard]] bool serve(const XdpPlace& place);
  [[nodiscard]] Result<std::string> serve_at_xdp(const XdpPlace& place);
  void enforce_all();

  config::XdpMode mode_;
  const Pins* pins_;
  Programs* programs_;
  std::optional<DenyMap> map_;                  // none in mode `off`
  std::optional<ExpressMap> express_;           // none: not wanted
  std::string why_not_;                         // it is not wanted; empty: nobody has asked for it
  std::map<std::uint32_t, std::string> where_;  // services_at(), of uplinks, where it is wanted
  std::map<std::uint32_t, XdpPlace> uplinks_;
  std::map<std::uint32_t, std::string> problems_;  // by uplink
};

}  // namespace netkite::datapath
