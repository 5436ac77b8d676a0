// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/prefilter.hpp"

#include <algorithm>

namespace netkite::datapath {
namespace {

bool asks_for_express(const config::Options& options) {
  return options.services.enabled && options.services.xdp != config::ServicesXdp::off;
}

// Empty: it is wanted, or nobody has asked for it.
std::string why_no_express(const config::Options& options) {
  if (!asks_for_express(options)) return {};
  if (options.prefilter.mode == config::XdpMode::generic) return "prefilter.mode is \"generic\"";
  const bool hooks = std::ranges::any_of(options.hooks, [](const config::Hook& hook) {
    return hook.attach == config::HookPoint::uplink_ingress || hook.attach == config::HookPoint::uplink_egress;
  });
  return hooks ? "there are hooks on the uplinks, which would not see the packets" : "";
}

}  // namespace

bool Prefilter::wants_express(const config::Options& options) {
  return asks_for_express(options) && why_no_express(options).empty();
}

Result<Prefilter> Prefilter::open(const config::Options& options, const Pins& pins, Programs& programs,
                                  const MapStore& maps) {
  Prefilter prefilter(options.prefilter.mode, pins, programs);
  prefilter.why_not_ = why_no_express(options);
  if (wants_express(options)) {
    auto express = ExpressMap::open(maps);
    if (!express) return tl::make_unexpected(express.error());
    prefilter.express_ = std::move(*express);
  }
  if (options.prefilter.mode == config::XdpMode::off) return prefilter;
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

// The uplink's entry comes after the program, so that there is nobody to go by it before.
Result<std::string> Prefilter::serve_at_xdp(const XdpPlace& place) {
  if (const auto able = ExpressMap::read(place.ifindex); !able) return tl::make_unexpected(able.error());
  const auto program = programs_->get({.kind = ProgramKind::xdp_prefilter, .netkit = false, .after_hooks = false});
  if (!program) return tl::make_unexpected(program.error());
  if (auto done = attach_xdp(place, config::XdpMode::native, **program, *pins_); !done) {
    return tl::make_unexpected(done.error());
  }
  const auto uplink = express_->add(place.ifindex);
  if (!uplink) return tl::make_unexpected(uplink.error());
  const bool sends = (uplink->flags & NK_UPLINK_SENDS) != 0;
  return sends ? "xdp" : "xdp: what comes in; the driver takes nothing that is redirected to it";
}

// True: the program is there, for both purposes. An uplink that cannot have it is tcx's.
bool Prefilter::serve(const XdpPlace& place) {
  if (!express_) return false;
  const auto done = serve_at_xdp(place);
  if (!done) express_->remove(place.ifindex);
  where_[place.ifindex] = done ? *done : "tcx: " + done.error().message;
  return done.has_value();
}

void Prefilter::enforce(const XdpPlace& place) {
  problems_.erase(place.ifindex);
  if (serve(place)) return;
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
  where_.erase(ifindex);
  if (express_) express_->remove(ifindex);
  detach_xdp({.ifindex = ifindex, .ifname = name}, *pins_);
}

void Prefilter::refresh() {
  if (express_) enforce_all();
}

void Prefilter::purge(const std::function<bool(std::uint32_t ifindex)>& keep) {
  if (express_) express_->purge(keep);
}

std::string Prefilter::services_at(std::uint32_t ifindex) const {
  if (!why_not_.empty()) return "tcx: " + why_not_;
  const auto known = where_.find(ifindex);
  return known == where_.end() ? "tcx" : known->second;
}

std::vector<std::string> Prefilter::problems() const {
  std::vector<std::string> lines;
  for (const auto& [ifindex, line] : problems_) lines.push_back(line);
  return lines;
}

}  // namespace netkite::datapath
