// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/map_store.hpp"

#include <bpf/bpf.h>
#include <bpf/btf.h>

#include <cerrno>
#include <memory>
#include <utility>

#include "agent/datapath/attached_maps.hpp"
#include "agent/datapath/map_copy.hpp"
#include "agent/datapath/map_names.hpp"
#include "agent/datapath/typed_map.hpp"

namespace netkite::datapath {
namespace {

constexpr std::string_view kTemporary = "_new";
constexpr std::uint32_t kMostExceptions = 1024;

// A map that hangs on the kernel's own objects has to have types: of the right sizes is enough.
Result<UniqueFd> describe(const MapInfo& wanted, bpf_map_create_opts& options) {
  const std::unique_ptr<btf, decltype(&btf__free)> types(btf__new_empty(), &btf__free);
  if (!types) return fail_errno(errno, "describe map " + wanted.name);
  const int key = btf__add_int(types.get(), "int", wanted.key_size, BTF_INT_SIGNED);
  const int byte = btf__add_int(types.get(), "byte", 1, 0);
  const int value = btf__add_array(types.get(), key, byte, wanted.value_size);
  if (key < 0 || byte < 0 || value < 0) return fail(Code::exhausted, "describe map " + wanted.name);
  __u32 size = 0;
  const void* data = btf__raw_data(types.get(), &size);
  UniqueFd fd(data == nullptr ? -1 : bpf_btf_load(data, size, nullptr));
  if (!fd.valid()) return fail_errno(errno, "describe map " + wanted.name);
  options.btf_fd = static_cast<__u32>(fd.get());
  options.btf_key_type_id = static_cast<__u32>(key);
  options.btf_value_type_id = static_cast<__u32>(value);
  return fd;
}

Result<UniqueFd> create(const MapInfo& wanted) {
  LIBBPF_OPTS(bpf_map_create_opts, options, .map_flags = wanted.flags);
  UniqueFd types;
  if (wanted.type == BPF_MAP_TYPE_SK_STORAGE) {
    auto described = describe(wanted, options);
    if (!described) return described;
    types = std::move(*described);
  }
  UniqueFd fd(bpf_map_create(static_cast<bpf_map_type>(wanted.type), wanted.name.c_str(), wanted.key_size,
                             wanted.value_size, wanted.max_entries, &options));
  if (!fd.valid()) {
    return fail_errno(errno, "create map " + wanted.name + " of " + std::to_string(wanted.max_entries) + " entries");
  }
  return fd;
}

}  // namespace

MapStore::MapStore(Pins pins, const config::Options& options) : pins_(std::move(pins)) {
  const Limit endpoints{.entries = options.datapath.max_endpoints, .option = "datapath.max_endpoints"};
  const Limit remotes{.entries = options.datapath.max_remotes, .option = "datapath.max_remotes"};
  // Each pod has two links, and the guard some of its own, for a moment twice.
  const Limit links{.entries = 2 * endpoints.entries + 8, .option = endpoints.option};
  const Limit frontends{.entries = options.services.max_frontends, .option = "services.max_frontends"};
  const Limit backends{.entries = options.services.max_backends, .option = "services.max_backends"};
  const Limit prefixes{.entries = options.prefilter.max_prefixes, .option = "prefilter.max_prefixes"};
  for (const auto name : {kEndpoints4, kEndpoints6, kDevices, kPaces}) limits_.emplace(name, endpoints);
  for (const auto name : {kRemotes4, kRemotes6, kTunnels4, kTunnels6}) limits_.emplace(name, remotes);
  for (const auto name : {kDeny4, kDeny6}) limits_.emplace(name, prefixes);
  // Each connection has an entry for either direction.
  const Limit connections{.entries = 2 * options.services.max_connections, .option = "services.max_connections"};
  // Tables of some hundred places for each backend.
  const Limit maglev{.entries = options.services.maglev ? 2 * backends.entries : 1,
                     .option = backends.option,
                     .shrinks_when_empty = true};
  for (const auto name : {kFrontends, kRanges}) limits_.emplace(name, frontends);
  // With an overlay each has a second entrance, for whom another node leads here.
  limits_.emplace(kEntrances, Limit{.entries = (config::has_overlay(options) ? 2 : 1) * frontends.entries,
                                    .option = frontends.option});
  limits_.emplace(kMaglev, maglev);
  // Both families of what is reached by routes and tunnels, and the configuration's own exceptions.
  limits_.emplace(kUnmasked, Limit{.entries = 4 * remotes.entries + kMostExceptions, .option = remotes.option});
  limits_.emplace(kConnections, connections);
  for (const auto name : {kSlots, kBackends}) limits_.emplace(name, backends);
  limits_.emplace(kGuard, links);
  limits_.emplace(kEvents, Limit{.entries = options.datapath.event_buffer, .option = "datapath.event_buffer"});
}

std::string MapStore::option_of(const std::string& name) const {
  const auto limit = limits_.find(name);
  return limit == limits_.end() ? std::string() : limit->second.option;
}

MapHandle MapStore::handle(const Entry& entry) const {
  return {.fd = entry.fd.get(), .info = entry.info, .option = option_of(entry.info.name)};
}

Result<UniqueFd> MapStore::existing(const std::string& name, bool& pinned) {
  auto fd = open_pin(pins_.map(name));
  pinned = fd.has_value();
  if (fd || fd.error().code != Code::not_found) return fd;
  if (!attached_) attached_ = attached_maps();
  if (const auto found = attached_->find(name); found != attached_->end()) return std::move(found->second);
  return UniqueFd();
}

bool MapStore::keeps_size(const MapInfo& present, int fd) const {
  const auto limit = limits_.find(present.name);
  if (limit == limits_.end() || !limit->second.shrinks_when_empty) return false;
  const RawMap map({.fd = fd, .info = present, .option = limit->second.option});
  return present.max_entries > limit->second.entries && !map.empty();
}

Result<MapStore::Entry> MapStore::make(const MapInfo& wanted) {
  Entry entry{.fd = {}, .info = wanted, .pinned = false};
  auto old = existing(wanted.name, entry.pinned);
  if (!old) return tl::make_unexpected(old.error());
  if (old->valid()) {
    auto info = map_info(old->get());
    if (!info) return tl::make_unexpected(info.error());
    if (!info->same_layout(wanted)) {
      return fail(Code::invalid,
                  "map " + wanted.name + " exists with another layout: remove " + pins_.map(wanted.name));
    }
    if (info->max_entries == wanted.max_entries || keeps_size(*info, old->get())) {
      entry.fd = std::move(*old);
      entry.info.max_entries = info->max_entries;
      return entry;
    }
  }
  auto fresh = create(wanted);
  if (!fresh) return tl::make_unexpected(fresh.error());
  if (old->valid()) {
    if (auto copied = copy_entries(old->get(), fresh->get()); !copied) {
      return wrap(copied.error(), "resize map " + wanted.name + " to " + std::to_string(wanted.max_entries) +
                                      " entries (" + option_of(wanted.name) + ")");
    }
  }
  entry.fd = std::move(*fresh);
  entry.pinned = false;
  return entry;
}

Result<MapHandle> MapStore::open(const MapInfo& declared) {
  MapInfo wanted = declared;
  wanted.name = kernel_name(declared.name);
  if (const auto limit = limits_.find(wanted.name); limit != limits_.end()) wanted.max_entries = limit->second.entries;

  auto known = entries_.find(wanted.name);
  if (known == entries_.end()) {
    auto entry = make(wanted);
    if (!entry) return tl::make_unexpected(entry.error());
    known = entries_.emplace(wanted.name, std::move(*entry)).first;
  } else if (!known->second.info.same_layout(wanted)) {
    return fail(Code::invalid, "map " + wanted.name + " is declared with two layouts");
  }
  return handle(known->second);
}

std::optional<MapHandle> MapStore::find(std::string_view name) const {
  const auto known = entries_.find(kernel_name(name));
  if (known == entries_.end()) return std::nullopt;
  return handle(known->second);
}

std::vector<MapHandle> MapStore::all() const {
  std::vector<MapHandle> handles;
  for (const auto& [name, entry] : entries_) handles.push_back(handle(entry));
  return handles;
}

// First every pin under a temporary name, where a failure harms nobody, then the renames, which replace old maps' pins.
Result<void> MapStore::commit() {
  attached_.reset();
  for (const auto& [name, entry] : entries_) {
    if (entry.pinned) continue;
    const auto temporary = pins_.map(name + std::string(kTemporary));
    unpin(temporary);
    if (auto done = pin(entry.fd.get(), temporary); !done) return done;
  }
  for (auto& [name, entry] : entries_) {
    if (entry.pinned) continue;
    if (auto done = rename_pin(pins_.map(name + std::string(kTemporary)), pins_.map(name)); !done) return done;
    entry.pinned = true;
  }
  // Programs that still use them hold them.
  for (const auto name : kFormerMaps) unpin(pins_.map(name));
  return {};
}

}  // namespace netkite::datapath
