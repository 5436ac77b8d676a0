// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/kernel_datapath.hpp"

#include <algorithm>
#include <cerrno>
#include <set>
#include <tuple>

#include "agent/datapath/map_names.hpp"
#include "agent/datapath/reports.hpp"
#include "agent/datapath/socket_links.hpp"
#include "agent/datapath/stale_sockets.hpp"

namespace netkite::datapath {
namespace {

// The links on devices, by what the devices say: a link to a netkit peer knows the pod's interface number only.
Result<std::set<std::uint32_t>> links_on(const std::vector<std::uint32_t>& ifindexes) {
  std::set<std::uint32_t> links;
  for (const auto ifindex : ifindexes) {
    for (const Hook hook : {Hook::netkit_peer, Hook::netkit_primary, Hook::tcx_ingress, Hook::tcx_egress}) {
      const auto chain = query_chain(ifindex, hook);
      // No such device, no such hook on it (ENXIO), or not in this kernel (EINVAL); anything else is no answer.
      if (!chain && chain.error().code != Code::not_found && chain.error().os_error != ENXIO &&
          chain.error().os_error != EINVAL) {
        return tl::make_unexpected(chain.error());
      }
      if (!chain) continue;
      for (const auto& entry : chain->entries) links.insert(entry.link_id);
    }
  }
  return links;
}

}  // namespace

Mac overlay_mac() { return {.bytes = NK_OVERLAY_MAC}; }

KernelDatapath::PodPlaces KernelDatapath::places_of(const EndpointDevice& device) {
  const bool veth = device.mode == wire::DeviceMode::veth;
  const auto place = [&](Hook hook, ProgramKind kind, config::HookPoint point) {
    return Place{.ifindex = device.host_ifindex,
                 .ifname = device.host_ifname,
                 .hook = hook,
                 .ours = kind,
                 .point = point,
                 .backstop = veth,
                 // PASS would skip the filters of queueing disciplines.
                 .after_hooks = veth && device.stack_path};
  };
  return {
      .from = place(veth ? Hook::tcx_ingress : Hook::netkit_peer, ProgramKind::from_pod, config::HookPoint::pod_egress),
      .to = place(veth ? Hook::tcx_egress : Hook::netkit_primary, ProgramKind::to_pod, config::HookPoint::pod_ingress)};
}

std::vector<Place> KernelDatapath::places_of_uplink(std::uint32_t ifindex, const std::string& name) const {
  const auto place = [&](Hook hook, std::optional<ProgramKind> kind, config::HookPoint point) {
    return Place{.ifindex = ifindex,
                 .ifname = name,
                 .hook = hook,
                 .ours = kind,
                 .point = point,
                 .backstop = false,
                 .after_hooks = false};
  };
  std::vector<Place> places;
  // Who translates answers is there before anybody can ask.
  if (has_answers(name)) {
    places.push_back(place(Hook::tcx_egress, ProgramKind::to_netdev, config::HookPoint::uplink_egress));
  } else if (core_->hooks.any(config::HookPoint::uplink_egress)) {
    places.push_back(place(Hook::tcx_egress, std::nullopt, config::HookPoint::uplink_egress));
  }
  places.push_back(place(Hook::tcx_ingress, ProgramKind::from_netdev, config::HookPoint::uplink_ingress));
  return places;
}

bool KernelDatapath::has_answers(const std::string& name) const {
  return services_ && (answers_ || open_pin(core_->pins.link(name, Hook::tcx_egress)));
}

// What a former run with services has left.
void KernelDatapath::detach_answers(std::uint32_t ifindex, const std::string& name) {
  attacher_.detach({.ifindex = ifindex,
                    .ifname = name,
                    .hook = Hook::tcx_egress,
                    .ours = ProgramKind::to_netdev,
                    .point = std::nullopt,
                    .backstop = false,
                    .after_hooks = false});
}

// As on a pod's device nobody else decides here, and a program that is missing leaves it closed.
std::vector<Place> KernelDatapath::places_of_overlay() const {
  if (overlay_ifindex_ == 0) return {};
  const auto place = [this](Hook hook, ProgramKind kind) {
    return Place{.ifindex = overlay_ifindex_,
                 .ifname = overlay_name_,
                 .hook = hook,
                 .ours = kind,
                 .point = std::nullopt,
                 .backstop = true,
                 .after_hooks = false};
  };
  return {place(Hook::tcx_ingress, ProgramKind::from_overlay), place(Hook::tcx_egress, ProgramKind::to_overlay)};
}

Result<void> KernelDatapath::attach_endpoint(const EndpointDevice& device) {
  if (connections_) {
    if (auto fresh = connections_->arrive(device.addresses); !fresh) return wrap(fresh.error(), device.host_ifname);
  }
  const ExpediteRcu expedite;
  const Epoch::Change change(epoch_);
  if (!change.begun()) return change.begun();
  const auto places = places_of(device);
  Rollback undo;
  auto sent = attacher_.attach(places.from, undo);
  if (!sent) return tl::make_unexpected(sent.error());
  auto received = attacher_.attach(places.to, undo);
  if (!received) return tl::make_unexpected(received.error());

  const auto guarded = guard_.watch(device.host_ifindex, {sent->link_id, received->link_id});
  if (!guarded) return wrap(guarded.error(), device.host_ifname);
  const auto answered = sent->after_hooks && services_ ? attach_answers() : Result<void>();
  if (!answered) return wrap(answered.error(), device.host_ifname);
  // Others' programs on the way in would not see what goes past the device, and no queue would hold it.
  const bool direct = *guarded && !received->others && device.bandwidth.ingress_rate == 0;
  // Before the addresses: nothing goes out without its limit.
  const Result<void> paced = paces_ ? paces_->set(device) : Result<void>();
  if (!paced) return wrap(paced.error(), device.host_ifname);
  const EndpointMap::Passage passage{.direct = direct, .hooked = sent->after_hooks};
  if (auto done = endpoints_.add(device, passage); !done) return wrap(done.error(), device.host_ifname);
  undo.commit();
  pods_.insert_or_assign(device.host_ifindex, device);
  return {};
}

Result<void> KernelDatapath::detach_endpoint(const EndpointDevice& device) {
  const ExpediteRcu expedite;
  const Epoch::Change change(epoch_);
  auto removed = endpoints_.remove(device);
  const auto places = places_of(device);
  attacher_.detach(places.from);
  attacher_.detach(places.to);
  if (paces_) paces_->remove(device.host_ifindex);
  pods_.erase(device.host_ifindex);
  // The next pod with one of these addresses must not get what was meant for this one. No DEL waits for room in the
  // file: it is for the next agent, and the sweep says what is wrong with it until it is written.
  if (removed && connections_) std::ignore = connections_->depart(device.addresses);
  return removed;
}

Result<void> KernelDatapath::verify_endpoint(const EndpointDevice& device) {
  const auto places = places_of(device);
  if (auto good = attacher_.verify(places.from); !good) return good;
  if (auto good = attacher_.verify(places.to); !good) return good;
  if (auto good = endpoints_.verify(device); !good || !paces_) return good;
  return paces_->verify(device);
}

Result<void> KernelDatapath::attach_places(const std::vector<Place>& places) {
  Rollback undo;
  for (const auto& place : places) {
    if (auto done = attacher_.attach(place, undo); !done) return tl::make_unexpected(done.error());
  }
  undo.commit();
  return {};
}

Result<void> KernelDatapath::attach_uplink(std::uint32_t ifindex, const std::string& name) {
  const ExpediteRcu expedite;
  const Epoch::Change change(epoch_);
  if (!change.begun()) return change.begun();
  if (auto done = attach_places(places_of_uplink(ifindex, name)); !done) return done;
  if (!services_) detach_answers(ifindex, name);
  uplinks_.insert_or_assign(ifindex, name);
  prefilter_.add_uplink(ifindex, name);
  return {};
}

Result<void> KernelDatapath::detach_uplink(std::uint32_t ifindex, const std::string& name) {
  const ExpediteRcu expedite;
  const Epoch::Change change(epoch_);
  uplinks_.erase(ifindex);
  prefilter_.remove_uplink(ifindex, name);
  for (const auto& place : places_of_uplink(ifindex, name)) attacher_.detach(place);
  return {};
}

void KernelDatapath::refresh_uplinks() { prefilter_.refresh(); }

std::string KernelDatapath::services_at(std::uint32_t ifindex) const {
  return services_ ? prefilter_.services_at(ifindex) : "off";
}

Result<void> KernelDatapath::attach_overlay(std::uint32_t ifindex, const std::string& name) {
  const ExpediteRcu expedite;
  const Epoch::Change change(epoch_);
  if (!change.begun()) return change.begun();
  overlay_ifindex_ = ifindex;
  overlay_name_ = name;
  return attach_places(places_of_overlay());
}

// By the devices' chains, not by what a link says of its device: a netkit peer's link gives the index in the pod's
// namespace.
Result<void> KernelDatapath::remove_stale(const std::vector<std::uint32_t>& ifindexes) {
  const ExpediteRcu expedite;
  const auto keep = [&](std::uint32_t ifindex) { return std::ranges::count(ifindexes, ifindex) != 0; };
  const auto live = links_on(ifindexes);
  if (!live) return tl::make_unexpected(live.error());
  const Epoch::Change change(epoch_);
  if (!change.begun()) return change.begun();
  if (auto done = endpoints_.purge(keep); !done) return done;
  if (paces_) paces_->purge(keep);
  prefilter_.purge(keep);
  const auto lives = [&](std::uint32_t link_id) { return live->contains(link_id); };
  if (auto done = guard_.purge(lives); !done) return done;
  auto paths = core_->pins.link_paths();
  // Users' hooks before our programs, as in a detach.
  std::ranges::stable_partition(paths, [](const auto& path) { return !Pins::user_hook_name(path).empty(); });
  for (const auto& path : paths) {
    const auto fd = open_pin(path);
    const auto info = fd ? link_info(fd->get()) : tl::make_unexpected(fd.error());
    if (!info) continue;
    const bool stays = info->type == BPF_LINK_TYPE_XDP ? keep(info->ifindex) : live->contains(info->id);
    if (!stays) drop_link(path, fd->get());
  }
  return {};
}

Result<void> KernelDatapath::set_remotes(const std::vector<Remote>& remotes) {
  const Epoch::Change change(epoch_);
  if (!change.begun()) return change.begun();
  return remotes_.set(remotes);
}

Result<void> KernelDatapath::set_masquerade(const Masquerade& masquerade) {
  if (!masquerade_) return fail(Code::not_found, "masquerade.mode is not \"bpf\"");
  const Epoch::Change change(epoch_);
  if (!change.begun()) return change.begun();
  return masquerade_->set(masquerade);
}

Result<void> KernelDatapath::attach_sockets() {
  if (!services_) return fail(Code::not_found, "services.enabled is false");
  const auto cgroup = find_cgroup(cgroup_);
  return cgroup ? datapath::attach_sockets(*cgroup, core_->pins, core_->programs) : tl::make_unexpected(cgroup.error());
}

Result<void> KernelDatapath::attach_answers() {
  if (std::exchange(answers_, true)) return {};
  const ExpediteRcu expedite;
  for (const auto& [ifindex, name] : uplinks_) {
    auto done = attach_places(places_of_uplink(ifindex, name));
    if (!done) return answers_ = false, done;
  }
  return {};
}

Result<service::Table> KernelDatapath::services() {
  if (!services_) return fail(Code::not_found, "services.enabled is false");
  auto table = services_->read();
  if (table) table->highest = numbers_.highest();
  return table;
}

Result<void> KernelDatapath::change_services(const service::Changes& changes) {
  if (!services_) return fail(Code::not_found, "services.enabled is false");
  if (changes.enters_node) {
    if (auto attached = attach_answers(); !attached) return attached;
  }
  numbers_.note(changes);
  return services_->apply(changes);
}

Result<std::vector<StaleSocket>> KernelDatapath::stale_sockets() {
  if (!services_) return fail(Code::not_found, "services.enabled is false");
  return list_stale_sockets(core_->programs, core_->maps);
}

Result<void> KernelDatapath::deny(const std::vector<Cidr>& prefixes) { return prefilter_.deny(prefixes); }

Result<void> KernelDatapath::undeny(const std::vector<Cidr>& prefixes) { return prefilter_.undeny(prefixes); }

Result<std::vector<DeniedPrefix>> KernelDatapath::denied() { return prefilter_.denied(); }

Result<std::vector<DropCount>> KernelDatapath::drops() { return report_drops(core_->maps); }

Result<std::vector<MapReport>> KernelDatapath::maps() {
  std::map<std::string, std::uint64_t> counted;
  if (connections_) counted.emplace(kConnections, connections_->counts().entries);
  return report_maps(core_->maps, counted);
}

Result<std::vector<ProgramReport>> KernelDatapath::programs() {
  std::vector<ProgramReport> reports;
  const auto ours = [this](std::uint32_t id) { return core_->programs.has(id) || core_->hooks.has(id); };
  const auto add = [&](std::uint32_t ifindex, const std::string& name, Hook hook) {
    report_programs({.ifindex = ifindex, .ifname = name, .hook = hook}, ours, reports);
  };
  for (const auto& [ifindex, name] : uplinks_) {
    for (const Hook hook : {Hook::xdp, Hook::tcx_ingress, Hook::tcx_egress}) add(ifindex, name, hook);
  }
  for (const auto& place : places_of_overlay()) add(place.ifindex, place.ifname, place.hook);
  for (const auto& [ifindex, device] : pods_) {
    const auto places = places_of(device);
    for (const auto& place : {places.from, places.to}) add(ifindex, place.ifname, place.hook);
  }
  return reports;
}

int KernelDatapath::event_fd() const { return events_.fd(); }

Result<bool> KernelDatapath::drain_events(const std::function<void(const DropEvent&)>& each) {
  return events_.drain(each);
}

Result<void> KernelDatapath::set_monitor(bool on) { return events_.set_monitor(on); }

std::string KernelDatapath::program_origin() const { return core_->programs.origin(); }

std::vector<std::string> KernelDatapath::problems() const {
  auto lines = core_->problems;
  for (auto& line : prefilter_.problems()) lines.push_back(std::move(line));
  for (const auto& problem : {epoch_.problem(), numbers_.problem()}) {
    if (!problem.empty()) lines.push_back(problem);
  }
  return lines;
}

std::vector<std::string> KernelDatapath::missing() const {
  return guard_.missing().empty() ? std::vector<std::string>() : std::vector{guard_.missing()};
}

}  // namespace netkite::datapath
