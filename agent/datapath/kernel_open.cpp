// SPDX-License-Identifier: Apache-2.0
// Opening the datapath: everything is loaded before anything that runs is changed.
#include <malloc.h>
#include <unistd.h>

#include <cerrno>

#include "agent/datapath/kernel_datapath.hpp"
#include "agent/datapath/libbpf_log.hpp"
#include "agent/datapath/map_names.hpp"
#include "agent/datapath/socket_links.hpp"

namespace netkite::datapath {
namespace {

// A kernel with netkit says "no such device" of the loopback, one without says "invalid".
bool kernel_has_netkit() {
  const auto answer = query_chain(1, Hook::netkit_primary);
  return !answer && answer.error().os_error == ENXIO;
}

// What this node is going to need. Others load on first use.
std::vector<Variant> first_variants(const config::Options& options) {
  const bool netkit = options.device != config::Device::veth && kernel_has_netkit();
  std::vector<Variant> variants = {{.kind = ProgramKind::from_pod, .netkit = netkit, .after_hooks = false},
                                   {.kind = ProgramKind::to_pod, .netkit = netkit, .after_hooks = false},
                                   {.kind = ProgramKind::from_netdev, .netkit = false, .after_hooks = false}};
  if (config::has_overlay(options)) {
    for (const auto kind : {ProgramKind::from_overlay, ProgramKind::to_overlay}) {
      variants.push_back({.kind = kind, .netkit = false, .after_hooks = false});
    }
  }
  if (!netkit) variants.push_back({.kind = ProgramKind::backstop, .netkit = false, .after_hooks = false});
  if (options.prefilter.mode != config::XdpMode::off || Prefilter::wants_express(options)) {
    variants.push_back({.kind = ProgramKind::xdp_prefilter, .netkit = false, .after_hooks = false});
  }
  if (options.services.enabled) {
    variants.push_back({.kind = ProgramKind::to_netdev, .netkit = false, .after_hooks = false});
    for (const auto kind : kSocketPrograms) variants.push_back({.kind = kind, .netkit = false, .after_hooks = false});
  }
  return variants;
}

// What a former run with services has left.
void remove_services(const Pins& pins) {
  detach_sockets(pins);
  for (const auto name : kServiceMaps) unpin(pins.map(name));
}

}  // namespace

Result<std::unique_ptr<KernelDatapath::Core>> KernelDatapath::load(const config::Options& options,
                                                                   const Features& features, ProgramSource source) {
  auto pins = Pins::open(options.bpffs);
  if (!pins) return tl::make_unexpected(pins.error());
  auto core = std::make_unique<Core>(*pins, options, std::move(source), features.peer_redirect);
  for (const auto& variant : first_variants(options)) {
    auto loaded = core->programs.get(variant);
    if (!loaded) return tl::make_unexpected(loaded.error());
  }
  auto hooks = Hooks::load(options, core->pins, core->maps);
  if (!hooks) return tl::make_unexpected(hooks.error());
  core->hooks = std::move(*hooks);
  return core;
}

Result<std::unique_ptr<KernelDatapath::Core>> KernelDatapath::load_best(const config::Options& options,
                                                                        const Features& features) {
  if (::access("/sys/kernel/btf/vmlinux", R_OK) != 0) {
    return fail(Code::unsupported,
                "this kernel has no BTF, by which programs see where a pod asks its device to write a "
                "checksum: it needs CONFIG_DEBUG_INFO_BTF=y");
  }
  auto source = choose_source(options.datapath);
  if (!source) return tl::make_unexpected(source.error());
  const bool may_fall_back = options.datapath.compile == config::Compile::automatic && source->origin != "embedded";
  auto core = load(options, features, std::move(*source));
  if (core || !may_fall_back) return core;
  const auto refused = core.error();
  auto other = options.datapath;
  other.compile = config::Compile::embedded;
  source = choose_source(other);
  if (!source) return tl::make_unexpected(source.error());
  source->problems.push_back("compile: using the embedded programs: " + refused.message);
  return load(options, features, std::move(*source));
}

void KernelDatapath::remove_old_hooks() const {
  const auto configured = [this](std::string_view name) { return core_->hooks.configured(name); };
  for (const auto& path : core_->pins.link_paths()) {
    const auto name = Pins::user_hook_name(path);
    if (name.empty() || configured(name)) continue;
    if (const auto fd = open_pin(path)) drop_link(path, fd->get());
  }
  core_->pins.remove_user_maps(configured);
}

Result<void> KernelDatapath::open_services(const config::Options& options) {
  cgroup_ = options.services.cgroup;
  if (!options.services.enabled) {
    remove_services(core_->pins);
    return {};
  }
  auto services = ServiceMap::open(core_->maps);
  if (!services) return tl::make_unexpected(services.error());
  services_ = std::move(*services);
  numbers_ = ServiceNumbers(options.run_dir + "/service_numbers");
  return {};
}

Result<void> KernelDatapath::open_connections(const config::Options& options) {
  const auto leave = [this](const auto& names) {
    for (const auto name : names) unpin(core_->pins.map(name));
  };
  if (!config::masks_in_bpf(options)) {
    leave(kMasqueradeMaps);
  } else {
    auto masquerade = MasqueradeMap::open(core_->maps);
    if (!masquerade) return tl::make_unexpected(masquerade.error());
    masquerade_ = std::move(*masquerade);
  }
  if (!config::translates(options)) {
    leave(kConnectionMaps);
    return {};
  }
  auto connections = ConnectionMap::open(core_->maps, options.run_dir + "/departed");
  if (!connections) return tl::make_unexpected(connections.error());
  connections_ = std::move(*connections);
  return {};
}

Result<void> KernelDatapath::open_paces(const config::Bandwidth& options) {
  if (!options.enabled) {
    for (const auto name : kBandwidthMaps) unpin(core_->pins.map(name));
    return {};
  }
  auto paces = PaceMap::open(core_->maps);
  if (!paces) return tl::make_unexpected(paces.error());
  paces_ = std::move(*paces);
  return {};
}

Result<std::unique_ptr<KernelDatapath>> KernelDatapath::open(const config::Options& options, const Features& features) {
  capture_libbpf_log();
  auto socket = netlink::Socket::open();
  if (!socket) return tl::make_unexpected(socket.error());
  auto core = load_best(options, features);
  if (!core) return tl::make_unexpected(core.error());
  auto& parts = **core;

  auto endpoints = EndpointMap::open(parts.maps);
  if (!endpoints) return tl::make_unexpected(endpoints.error());
  auto remotes = RemoteMap::open(parts.maps);
  if (!remotes) return tl::make_unexpected(remotes.error());
  auto epoch = Epoch::open(parts.maps);
  if (!epoch) return tl::make_unexpected(epoch.error());
  auto prefilter = Prefilter::open(options, parts.pins, parts.programs, parts.maps);
  if (!prefilter) return tl::make_unexpected(prefilter.error());
  auto events = Events::open(parts.maps);
  if (!events) return tl::make_unexpected(events.error());
  LinkGuard guard(parts.programs, kernel_has_netkit());
  if (auto done = parts.maps.commit(); !done) return tl::make_unexpected(done.error());

  Attacher attacher(
      {.pins = parts.pins, .programs = parts.programs, .hooks = parts.hooks, .position = options.datapath.position},
      std::move(*socket));
  std::unique_ptr<KernelDatapath> datapath(
      new KernelDatapath(std::move(*core), std::move(attacher), std::move(*prefilter)));
  datapath->endpoints_ = std::move(*endpoints);
  datapath->remotes_ = std::move(*remotes);
  const auto chosen =
      datapath->open_services(options).and_then([&] { return datapath->open_connections(options); }).and_then([&] {
        return datapath->open_paces(options.bandwidth);
      });
  if (!chosen) return tl::make_unexpected(chosen.error());
  datapath->epoch_ = std::move(*epoch);
  datapath->events_ = std::move(*events);
  guard.attach(parts.pins, parts.maps);
  datapath->guard_ = std::move(guard);
  datapath->remove_old_hooks();
  if (!options.prefilter.deny.empty() && options.prefilter.mode != config::XdpMode::off) {
    if (auto done = datapath->deny(options.prefilter.deny); !done) return wrap(done.error(), "prefilter.deny");
  }
  ::malloc_trim(0);  // the objects' memory goes back to the system, not to our resident size
  return datapath;
}

Result<std::unique_ptr<Datapath>> Datapath::open(const config::Options& options, const Features& features) {
  auto datapath = KernelDatapath::open(options, features);
  if (!datapath) return tl::make_unexpected(datapath.error());
  return std::unique_ptr<Datapath>(std::move(*datapath));
}

}  // namespace netkite::datapath
