// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/prefilter.hpp"

namespace netkite::datapath {

Result<Prefilter> Prefilter::open(const config::Prefilter& options, const Pins& pins, Programs& programs,
                                  const MapStore& maps) {
  Prefilter prefilter(options.mode, pins, programs);
  if (options.mode == config::XdpMode::off) return prefilter;
  auto map = DenyMap::open(maps);
  if (!map) return tl::make_unexpected(map.error());
  prefilter.map_ = std::move(*map);
  return prefilter;
}

Result<void> Prefilter::off_error() const {
  if (map_) return {};
  return fail(Code::unsupported, "the prefilter is off: set prefilter.mode to auto, native or generic");
}

Result<void> Prefilter::deny(const std::vector<Cidr>& prefixes) {
  if (auto off = off_error(); !off) return off;
  auto added = map_->add(prefixes);
  if (!added) return tl::make_unexpected(added.error());
  enforce_all();
  return {};
}

Result<void> Prefilter::undeny(const std::vector<Cidr>& prefixes) {
  if (auto off = off_error(); !off) return off;
  if (auto done = map_->remove(prefixes); !done) return done;
  enforce_all();
  return {};
}

Result<std::vector<DeniedPrefix>> Prefilter::denied() const {
  if (!map_) return std::vector<DeniedPrefix>();
  return map_->list();
}

void Prefilter::enforce(const XdpPlace& place) {
  problems_.erase(place.ifindex);
  if (!map_ || map_->empty()) return detach_xdp(place, *pins_);
  auto program = programs_->get({.kind = ProgramKind::xdp_prefilter, .netkit = false, .after_hooks = false});
  const auto done = program ? attach_xdp(place, mode_, **program, *pins_) : tl::make_unexpected(program.error());
  if (!done)
    problems_[place.ifindex] = "the deny-list is not enforced on " + place.ifname + ": " + done.error().message;
}

void Prefilter::enforce_all() {
  for (const auto& [ifindex, place] : uplinks_) enforce(place);
}

void Prefilter::add_uplink(std::uint32_t ifindex, const std::string& name) {
  const XdpPlace place{.ifindex = ifindex, .ifname = name};
  uplinks_.insert_or_assign(ifindex, place);
  enforce(place);
}

void Prefilter::remove_uplink(std::uint32_t ifindex, const std::string& name) {
  uplinks_.erase(ifindex);
  problems_.erase(ifindex);
  detach_xdp({.ifindex = ifindex, .ifname = name}, *pins_);
}

std::vector<std::string> Prefilter::problems() const {
  std::vector<std::string> lines;
  for (const auto& [ifindex, line] : problems_) lines.push_back(line);
  return lines;
}

}  // namespace netkite::datapath
