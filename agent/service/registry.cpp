// SPDX-License-Identifier: Apache-2.0
#include "agent/service/registry.hpp"

#include <algorithm>
#include <iterator>
#include <string_view>
#include <tuple>
#include <utility>

#include "agent/service/maglev.hpp"

namespace netkite::service {
namespace {

// Of several kinds that want one frontend the one with the smallest rank has it.
int rank_of(Kind kind) {
  if (kind == Kind::cluster_ip || kind == Kind::node_port) return 0;
  return kind == Kind::host_port ? 1 : 2;
}

// No service's key has a space.
constexpr std::string_view kHostPort = "port ";
std::string record_key(const std::string& host_port) { return std::string(kHostPort) + host_port; }

std::vector<SetKey> keys_of(const std::vector<PlannedFrontend>& frontends) {
  std::vector<SetKey> keys;
  for (const auto& each : frontends) {
    keys.push_back(each.set);
    if (each.entrance) keys.push_back(each.entrance->set);
  }
  std::ranges::sort(keys);
  const auto [first, last] = std::ranges::unique(keys);
  keys.erase(first, last);
  return keys;
}

}  // namespace

void Registry::adopt(const Table& in_kernel) {
  leftovers_.emplace(in_kernel);
  const auto note_set = [this](std::uint32_t set) { next_set_ = std::max(next_set_, set + 1); };
  const auto note_backend = [this](std::uint32_t id) { next_backend_ = std::max(next_backend_, id + 1); };
  for (auto& [frontend, holding] : frontends_) {
    holding.written.reset();
    holding.written_entrance.reset();
  }
  for (const auto& [frontend, entry] : in_kernel.frontends) {
    frontends_[frontend].written = entry;
    note_set(entry.set);
  }
  for (const auto& [frontend, entry] : in_kernel.entrances) {
    frontends_[frontend].written_entrance = entry;
    note_set(entry.set);
  }
  note_set(in_kernel.highest);
  note_backend(in_kernel.highest);
  for (const auto& range : in_kernel.ranges) note_set(range.set);
  for (const auto& [piece, backends] : in_kernel.maglev) {
    note_set(piece.set);
    std::ranges::for_each(backends, note_backend);
  }
  for (const auto& [slot, id] : in_kernel.slots) {
    note_set(slot.set);
    note_backend(id);
  }
  for (const auto& [id, backend] : in_kernel.backends) {
    note_set(backend.set);
    note_backend(id);
  }
  for (auto& entry : records_) {
    entry.second.sets.clear();
    mark(entry);
  }
}

void Registry::set_facts(Facts facts) {
  if (facts == facts_) return;
  facts_ = std::move(facts);
  for (auto& entry : records_) mark(entry);
}

void Registry::set_service(const std::string& key, kube::Service service) {
  auto& entry = *records_.try_emplace(key).first;
  if (entry.second.service == service) return;
  entry.second.service = std::move(service);
  mark(entry);
}

void Registry::remove_service(const std::string& key) {
  const auto found = records_.find(key);
  if (found == records_.end()) return;
  found->second.service.reset();
  mark(*found);
}

void Registry::set_slice(const std::string& key, kube::EndpointSlice slice) {
  auto& owner = *records_.try_emplace(slice.service).first;
  std::string().swap(slice.service);  // with its memory
  auto& known = slices_.try_emplace(key, Slice{.owner = nullptr, .value = {}}).first->second;
  if (known.owner == &owner && known.value == slice) return;
  if (known.owner != nullptr) detach(known);
  known = {.owner = &owner, .value = std::move(slice)};
  owner.second.slices.push_back(&known.value);
  mark(owner);
}

void Registry::remove_slice(const std::string& key) {
  const auto found = slices_.find(key);
  if (found == slices_.end()) return;
  detach(found->second);
  slices_.erase(found);
}

void Registry::set_host_port(const std::string& key, HostPort host_port) {
  auto& entry = *records_.try_emplace(record_key(key)).first;
  if (entry.second.host_port == host_port) return;
  entry.second.host_port = std::move(host_port);
  mark(entry);
}

void Registry::remove_host_port(const std::string& key) {
  const auto found = records_.find(record_key(key));
  if (found == records_.end()) return;
  found->second.host_port.reset();
  mark(*found);
}

void Registry::detach(const Slice& slice) {
  std::erase(slice.owner->second.slices, &slice.value);
  mark(*slice.owner);
}

void Registry::mark(Entry& entry) {
  if (!std::exchange(entry.second.dirty, true)) dirty_.push_back(&entry);
}

Changes Registry::flush() {
  Changes changes;
  std::vector<Frontend> touched;
  for (auto* entry : dirty_) claim(*entry, touched);
  admit(touched);
  if (leftovers_) {
    for (const auto& [frontend, holding] : frontends_) touched.push_back(frontend);
  }
  // Who holds what is known now, which it takes to recognise sets.
  for (auto* entry : dirty_) refresh(*entry, changes);
  settle(std::move(touched), changes);
  if (leftovers_) leftovers_->retire_all(changes);
  leftovers_.reset();
  clean(std::exchange(dirty_, {}));
  return changes;
}

Changes Registry::flush_host_ports() {
  Changes changes;
  std::vector<Frontend> touched;
  std::vector<Entry*> due;
  const auto is_due = [](const Entry* entry) { return entry->first.starts_with(kHostPort); };
  std::ranges::copy_if(dirty_, std::back_inserter(due), is_due);
  std::erase_if(dirty_, is_due);
  for (auto* entry : due) claim(*entry, touched);
  for (auto* entry : due) refresh(*entry, changes);
  std::erase_if(touched, [this](const Frontend& frontend) {
    const auto& [claims, written, written_entrance] = frontends_[frontend];
    return leftovers_ &&
           ((written && leftovers_->has(written->set)) || (written_entrance && leftovers_->has(written_entrance->set)));
  });
  settle(std::move(touched), changes);
  clean(due);
  return changes;
}

void Registry::clean(const std::vector<Entry*>& flushed) {
  for (auto* entry : flushed) {
    auto& record = entry->second;
    record.dirty = false;
    note_health_check(*entry);
    if (!record.service && !record.host_port && record.slices.empty()) records_.erase(records_.find(entry->first));
  }
}

void Registry::note_health_check(const Entry& entry) {
  const auto& [key, record] = entry;
  if (record.service && record.service->external_local && record.service->health_check_port != 0) {
    checked_.insert_or_assign(key, &record);
  } else {
    checked_.erase(key);
  }
}

void Registry::claim(Entry& entry, std::vector<PlannedFrontend> planned, std::vector<Frontend>& touched) {
  auto& record = entry.second;
  for (const auto& each : record.frontends) touched.push_back(each.frontend);
  if (planned == record.frontends) return;
  for (const auto& each : record.frontends) {
    std::erase_if(frontends_[each.frontend].claims, [&entry](const Claim& claim) { return claim.owner == &entry; });
  }
  for (const auto& each : planned) {
    frontends_[each.frontend].claims.push_back(
        {.owner = &entry, .kind = each.kind, .set = each.set, .entrance = each.entrance});
    touched.push_back(each.frontend);
  }
  record.frontends = std::move(planned);
}

void Registry::refresh(Entry& entry, Changes& changes) {
  auto& record = entry.second;
  const auto keys = keys_of(record.frontends);
  std::vector<Set> sets;
  sets.reserve(keys.size());
  for (const auto& key : keys) {
    auto& set = sets.emplace_back(Set{.key = key, .id = 0, .members = {}, .ranges = {}, .places = 0});
    const auto old = std::ranges::find(record.sets, key, &Set::key);
    const bool is_known = old != record.sets.end();
    Former former;
    if (is_known) {
      set.id = std::exchange(old->id, 0);
      former = former_of(old->members);
      former.ranges = old->ranges;
    } else {
      former = recognise(entry, set);
    }
    const auto ranges = std::exchange(former.ranges, {});
    auto pieces = std::exchange(former.pieces, {});
    const auto targets = targets_of(record, key);
    set.members = arrange(set.id, std::move(former), targets, next_backend_, changes);
    furnish(record, set);
    change_ranges(set.id, ranges, set.ranges, changes);
    // Tables are made anew for a comparison rather than kept: they are large.
    if (is_known && old->members == set.members && old->places == set.places) continue;
    if (is_known) pieces = pieces_of(old->members, old->places);
    change_pieces(set.id, pieces, pieces_of(set.members, set.places), changes);
  }
  for (const auto& old : record.sets) {
    if (old.id == 0) continue;
    auto former = former_of(old.members);
    former.ranges = old.ranges;
    former.pieces = pieces_of(old.members, old.places);
    retire(old.id, former, changes);
  }
  record.sets = std::move(sets);
}

// What the entrances want of a set besides its slots.
void Registry::furnish(const Record& record, Set& set) const {
  bool is_entered = false;
  bool has_ranges = false;
  for (const auto& each : record.frontends) {
    if (!each.entrance || each.entrance->set != set.key) continue;
    is_entered = is_entered || !each.frontend.led;
    has_ranges = has_ranges || each.entrance->ranges;
  }
  if (has_ranges) set.ranges = ranges_of(*record.service, set.key);
  // One backend needs no table to choose by.
  if (is_entered && facts_.maglev && record.service) set.places = places_for(set.members.size());
}

// Gives a set of ours its identifier: one that the kernel has, with what it has of it, or a new one.
Former Registry::recognise(const Entry& entry, Set& set) {
  // A pod's port may come first, and must not take a service's set for its own.
  const auto& record = entry.second;
  const auto is_foreign = [&](std::uint32_t id) {
    return record.host_port && !leftovers_->leads_to(id, targets_of(record, set.key));
  };
  const auto take = [&](std::uint32_t id) -> std::optional<Former> {
    if (is_foreign(id)) return std::nullopt;
    auto former = leftovers_->take(id);
    if (former) set.id = id;
    return former;
  };
  for (const auto& each : record.frontends) {
    if (!leftovers_ || !holds(entry, each.frontend)) continue;
    const auto& holding = frontends_.at(each.frontend);
    if (each.set == set.key && holding.written) {
      if (auto former = take(holding.written->set)) return *std::move(former);
    }
    if (each.entrance && each.entrance->set == set.key && holding.written_entrance) {
      if (auto former = take(holding.written_entrance->set)) return *std::move(former);
    }
  }
  set.id = next_set_++;
  return {};
}

const Registry::Claim* Registry::holder_of(const Holding& holding) {
  const auto precedence = [](const Claim& claim) {
    // Who has just been removed keeps its claims until the next flush.
    const auto& [key, record] = *claim.owner;
    return std::tuple<int, std::uint64_t, std::string_view, std::string_view>(
        rank_of(claim.kind), record.host_port ? ~record.host_port->order : 0,
        record.service ? std::string_view(record.service->created) : "", key);
  };
  const auto first = std::ranges::min_element(holding.claims, {}, precedence);
  return first == holding.claims.end() ? nullptr : &*first;
}

bool Registry::holds(const Entry& entry, const Frontend& frontend) const {
  const auto* holder = holder_of(frontends_.at(frontend));
  return holder != nullptr && holder->owner == &entry;
}

void Registry::settle(std::vector<Frontend> touched, Changes& changes) {
  std::ranges::sort(touched);
  const auto [first, last] = std::ranges::unique(touched);
  touched.erase(first, last);
  for (const auto& frontend : touched) settle(frontend, changes);
}

void Registry::settle(const Frontend& frontend, Changes& changes) {
  const auto found = frontends_.find(frontend);
  auto& holding = found->second;
  settle_entrance(frontend, holding, changes);
  const auto* holder = holder_of(holding);
  if (holder == nullptr) {
    if (holding.written) changes.gone_frontends.push_back(frontend);
    frontends_.erase(found);
    return;
  }
  if (frontend.led) return;
  const auto& record = holder->owner->second;
  const auto set = std::ranges::find(record.sets, holder->set, &Set::key);
  const FrontendEntry entry{.set = set->id,
                            .count = static_cast<std::uint32_t>(set->members.size()),
                            .affinity_s = record.service ? record.service->affinity_s : 0};
  if (holding.written == entry) return;
  holding.written = entry;
  changes.frontends.emplace_back(frontend, entry);
}

void Registry::settle_entrance(const Frontend& frontend, Holding& holding, Changes& changes) const {
  const auto* holder = holder_of(holding);
  if (holder == nullptr || !holder->entrance) {
    if (std::exchange(holding.written_entrance, {})) changes.gone_entrances.push_back(frontend);
    return;
  }
  const auto& record = holder->owner->second;
  const auto& entrance = *holder->entrance;
  auto set = std::ranges::find(record.sets, entrance.set, &Set::key);
  if (frontend.led && set->members.empty()) set = std::ranges::find(record.sets, holder->set, &Set::key);
  const auto is_own = [this](const Member& member) {
    return std::ranges::count(facts_.addresses, member.address) != 0;
  };
  changes.enters_node = changes.enters_node || std::ranges::any_of(set->members, is_own);
  const EntranceEntry entry{.set = set->id,
                            .count = static_cast<std::uint32_t>(set->members.size()),
                            .affinity_s = record.service ? record.service->affinity_s : 0,
                            .keep_source = entrance.set.scope == Scope::local && !frontend.led,
                            .ranges = entrance.ranges,
                            .table = set->places,
                            .direct = facts_.dsr && entrance.set.scope == Scope::cluster};
  if (holding.written_entrance == entry) return;
  holding.written_entrance = entry;
  changes.entrances.emplace_back(frontend, entry);
}

std::vector<Target> Registry::targets_of(const Record& record, const SetKey& set) const {
  if (record.host_port) return service::targets_of(*record.host_port, set);
  return service::targets_of(*record.service, record.slices, set, facts_.zone);
}

}  // namespace netkite::service
