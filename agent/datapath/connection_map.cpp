// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/connection_map.hpp"

#include <arpa/inet.h>

#include <algorithm>
#include <cstring>

#include "agent/datapath/abi.hpp"
#include "agent/datapath/map_names.hpp"

namespace netkite::datapath {
namespace {

// Entries of one step. A listed one becomes some 450 bytes of an answer. The others take some 2 us each, of which
// reading is most, and 5 when all of it has to come from memory.
constexpr std::uint32_t kListed = 96;
constexpr std::uint32_t kFlushed = 512;
constexpr std::uint32_t kSwept = 512;

constexpr std::array<std::uint8_t, 3> kUses = {NK_CT_SERVICE, NK_CT_MASQUERADE, NK_CT_DIRECT};
constexpr std::array<std::uint8_t, 4> kProtocols = {IPPROTO_TCP, IPPROTO_UDP, IPPROTO_ICMP, IPPROTO_ICMPV6};

std::uint64_t in_seconds(std::chrono::nanoseconds time) {
  return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::seconds>(time).count());
}

std::string use_name(std::uint8_t use) {
  if (use == NK_CT_DIRECT) return "direct";
  return use == NK_CT_SERVICE ? "service" : "masquerade";
}

// The key of a connection's other direction.
nk_tuple reversed(const nk_tuple& tuple) {
  nk_tuple other = tuple;
  std::ranges::copy(tuple.source, other.destination);
  std::ranges::copy(tuple.destination, other.source);
  std::swap(other.source_port, other.destination_port);
  return other;
}

nk_tuple raw_tuple(const Tuple& tuple, std::uint8_t protocol) {
  nk_tuple raw{};
  write_mapped(raw.source, tuple.source);
  write_mapped(raw.destination, tuple.destination);
  raw.source_port = htons(tuple.source_port);
  raw.destination_port = htons(tuple.destination_port);
  raw.protocol = protocol;
  return raw;
}

bool is_echo(std::uint8_t protocol) { return protocol == IPPROTO_ICMP || protocol == IPPROTO_ICMPV6; }

bool operator!=(const nk_tuple& a, const nk_tuple& b) { return std::memcmp(&a, &b, sizeof(a)) != 0; }

Tuple tuple_of(const nk_tuple& raw) {
  return {.source = read_mapped(raw.source),
          .destination = read_mapped(raw.destination),
          .source_port = ntohs(raw.source_port),
          .destination_port = ntohs(raw.destination_port)};
}

ConnectionEntry listed(const ConnectionPair& pair, std::uint64_t now_ns, Pressure pressure) {
  const auto state = state_of(pair);
  const auto silence = silence_of(pair, now_ns);
  const auto limit = limit_of(state, pair.key.protocol, pressure);
  return {.from = tuple_of(pair.key),
          .to = tuple_of(pair.entry.to),
          .protocol = protocol_name(pair.key.protocol),
          .use = use_name(pair.entry.use),
          .state = std::string(to_string(state)),
          .reply = pair.entry.reply != 0,
          .silent_s = in_seconds(silence_of(pair.entry, now_ns)),
          .connection_silent_s = in_seconds(silence),
          .expires_s = in_seconds(std::max(limit - silence, std::chrono::nanoseconds(0)))};
}

// An entry knows all four ends of its connection.
bool matches(const ConnectionFilter& filter, const nk_tuple& key, const nk_connection& value) {
  if (filter.protocol && *filter.protocol != key.protocol) return false;
  const auto has = [](const Tuple& tuple, const auto& wanted, auto source, auto destination) {
    return tuple.*source == wanted || tuple.*destination == wanted;
  };
  const auto from = tuple_of(key), to = tuple_of(value.to);
  if (filter.port && !has(from, *filter.port, &Tuple::source_port, &Tuple::destination_port) &&
      !has(to, *filter.port, &Tuple::source_port, &Tuple::destination_port)) {
    return false;
  }
  return !filter.address || has(from, *filter.address, &Tuple::source, &Tuple::destination) ||
         has(to, *filter.address, &Tuple::source, &Tuple::destination);
}

}  // namespace

Result<ConnectionMap> ConnectionMap::open(const MapStore& store, const std::string& departed) {
  ConnectionMap map;
  auto table = decltype(map.table_)::open(store, kConnections);
  if (!table) return tl::make_unexpected(table.error());
  auto self = decltype(map.self_)::open(store, kSelf);
  if (!self) return tl::make_unexpected(self.error());
  map.table_ = *std::move(table);
  map.self_ = *std::move(self);
  auto gone = Departed::open(departed);
  if (!gone) return tl::make_unexpected(gone.error());
  map.departed_ = *std::move(gone);
  return map;
}

// Programs may read while it is written, so that it is written only when it has changed.
Result<void> ConnectionMap::set_self(const Self& self) const {
  nk_self value{};
  for (const auto& address : self.addresses) write_mapped(address.is_v4() ? value.address4 : value.address6, address);
  value.first_port = self.first_port;
  value.last_port = self.last_port;
  const auto present = self_.lookup(0);
  if (present && *present && std::memcmp(&**present, &value, sizeof(value)) == 0) return {};
  return self_.update(0, value);
}

// In the order of the programs: the answers' entry claims what they look like. What a program has opened meanwhile
// stays.
Result<std::size_t> ConnectionMap::take_over(const std::vector<MaskedConnection>& connections,
                                             std::uint64_t now_ns) const {
  std::size_t taken = 0;
  for (const auto& each : connections) {
    const auto key = raw_tuple(each.from, each.protocol);
    nk_connection there{};
    there.to = key;
    write_mapped(there.to.source, each.seen_source);
    there.to.source_port = htons(each.seen_port);
    if (is_echo(each.protocol)) there.to.destination_port = there.to.source_port;
    there.time_ns = now_ns;
    there.ifindex = each.ifindex;
    there.use = NK_CT_MASQUERADE;
    there.set = NK_CT_SHARED_PORT;
    there.seen = each.protocol == IPPROTO_TCP ? NK_CT_SYN | NK_CT_ACK : NK_CT_SYN;
    auto back = there;
    back.to = reversed(key);
    back.reply = 1;
    const auto claimed = table_.insert(reversed(there.to), back);
    if (!claimed) return tl::make_unexpected(claimed.error());
    if (!*claimed) continue;
    const auto entered = table_.insert(key, there);
    if (!entered || !*entered) std::ignore = table_.erase(reversed(there.to));
    if (!entered) return tl::make_unexpected(entered.error());
    taken += *entered ? 1U : 0U;
  }
  return taken;
}

// An answers' entry may have been left behind whose client has begun anew, with answers that look otherwise.
Result<ConnectionPair> ConnectionMap::pair_of(const Table::Entry& entry) const {
  if (entry.second.use == NK_CT_DIRECT) {
    return ConnectionPair{.key = entry.first, .entry = entry.second, .other = std::nullopt};
  }
  auto other = table_.lookup(reversed(entry.second.to));
  if (!other) return tl::make_unexpected(other.error());
  if (*other && reversed((*other)->to) != entry.first) other->reset();
  return ConnectionPair{.key = entry.first, .entry = entry.second, .other = *other};
}

Result<ConnectionPlace> ConnectionMap::list(std::uint32_t place, std::uint64_t now_ns,
                                            const std::function<void(const ConnectionEntry&)>& each) const {
  const auto piece = table_.piece(place, kListed);
  if (!piece) return tl::make_unexpected(piece.error());
  for (const auto& entry : Table::entries_of(*piece)) {
    const auto pair = pair_of(entry);
    if (!pair) return tl::make_unexpected(pair.error());
    each(listed(*pair, now_ns, pressure()));
  }
  return piece->next;
}

Result<Datapath::FlushStep> ConnectionMap::flush(std::uint32_t place, const ConnectionFilter& filter) const {
  return remove_those(place, [&filter](const auto& entry) { return matches(filter, entry.first, entry.second); });
}

Result<Datapath::FlushStep> ConnectionMap::remove_those(std::uint32_t place, const Predicate& wanted) const {
  const auto piece = table_.piece(place, kFlushed);
  if (!piece) return tl::make_unexpected(piece.error());
  Datapath::FlushStep step{.removed = 0, .next = piece->next};
  for (const auto& entry : Table::entries_of(*piece)) {
    if (!wanted(entry)) continue;
    const auto removed = remove(entry);
    if (!removed) return tl::make_unexpected(removed.error());
    if (*removed) ++step.removed;
  }
  return step;
}

Result<bool> ConnectionMap::remove(const Table::Entry& entry) const {
  const auto pair = pair_of(entry);
  if (!pair) return tl::make_unexpected(pair.error());
  bool removed = false;
  for (const auto& [key, value] : directions_of(*pair)) {
    const auto erased = table_.erase(key);
    if (!erased) return tl::make_unexpected(erased.error());
    removed |= *erased;
  }
  return removed;
}

Result<void> ConnectionMap::arrive(const std::vector<Ip>& addresses) {
  const auto again = [this](const Ip& address) { return departed_.has(address); };
  return std::ranges::any_of(addresses, again) ? remove_departed() : Result<void>();
}

bool ConnectionMap::is_departed(const Table::Entry& entry) const {
  const auto& [key, value] = entry;
  return std::ranges::any_of(std::array{&key.source, &key.destination, &value.to.source, &value.to.destination},
                             [this](const auto* address) { return departed_.has(std::to_array(*address)); });
}

// All of them, since it costs no more.
Result<void> ConnectionMap::remove_departed() {
  for (ConnectionPlace place = 0; place;) {
    const auto step = remove_those(*place, [this](const auto& entry) { return is_departed(entry); });
    if (!step) return tl::make_unexpected(step.error());
    place = step->next;
  }
  return departed_.clear();
}

// A round that finds more than the last one did says so before it is over. Ports may be short in a table that is nearly
// empty: each backend has its own, and few of them.
Pressure ConnectionMap::pressure() const {
  if (found_.short_of_ports || finding_.short_of_ports) return Pressure::highest;
  return pressure_of(std::max(found_.entries, finding_.entries), table_.handle().info.max_entries);
}

// Short of room, and there is something to gain: a table that is full of established connections stays so, however
// often it is looked at.
bool ConnectionMap::hurry() const {
  const auto short_lived = std::max(found_.short_lived, finding_.short_lived);
  return pressure() == Pressure::highest && short_lived * 32 > table_.handle().info.max_entries;
}

// The direction of who began it first: the answers' claims an address and a port, and must not be free for others as
// long as packets are translated to them.
std::vector<ConnectionMap::Table::Entry> ConnectionMap::directions_of(const ConnectionPair& pair) {
  std::vector<Table::Entry> directions = {{pair.key, pair.entry}};
  if (pair.other) directions.emplace_back(reversed(pair.entry.to), *pair.other);
  if (pair.entry.reply != 0) std::ranges::reverse(directions);
  return directions;
}

// An entry that a packet has renewed since we looked is put back with all of the connection. A packet that comes while
// an entry is out, and finds none, is as good as one that came a moment later: the connection has been silent for all
// of its time. One that found the entry before we took it is translated, and its mark is lost with the entry, which
// says the same.
Result<ConnectionMap::Fate> ConnectionMap::take(const ConnectionPair& pair) const {
  std::vector<Table::Entry> taken;
  bool renewed = false;
  for (const auto& [key, value] : directions_of(pair)) {
    const auto out = table_.take(key);
    if (!out) return tl::make_unexpected(out.error());
    if (!*out) continue;
    taken.emplace_back(key, **out);
    renewed = (*out)->time_ns != value.time_ns || (*out)->seen != value.seen;
    if (renewed) break;
  }
  if (!renewed) return taken.empty() ? Fate::gone : Fate::expired;
  // Who has come in between stays. Without room for it the rest is half a connection, and goes with the next round.
  for (const auto& [key, value] : taken) std::ignore = table_.insert(key, value);
  return Fate::stays;
}

Result<ConnectionMap::Fate> ConnectionMap::judge(const Table::Entry& entry, std::uint64_t now_ns) const {
  if (is_departed(entry)) return remove(entry).map([](bool) { return Fate::gone; });
  if (silence_of(entry.second, now_ns) < least_limit(entry.second, entry.first.protocol, pressure())) {
    return Fate::stays;
  }
  const auto pair = pair_of(entry);
  if (!pair) return tl::make_unexpected(pair.error());
  return is_old(*pair, now_ns, pressure()) ? take(*pair) : Fate::stays;
}

// Both directions by the first one: the other may look as if it stayed, and go in the same round.
void ConnectionMap::count(const Table::Entry& entry) {
  if (entry.second.reply != 0) return;
  finding_.entries += entry.second.use == NK_CT_DIRECT ? 1 : 2;
  const auto use = std::ranges::find(kUses, entry.second.use);
  const auto protocol = std::ranges::find(kProtocols, entry.first.protocol);
  if (use == kUses.end() || protocol == kProtocols.end()) return;
  const auto row = static_cast<std::size_t>(use - kUses.begin()) * kProtocols.size();
  ++finding_.kinds.at(row + static_cast<std::size_t>(protocol - kProtocols.begin()));
}

// What cannot be taken away stays until the next round, and keeps nothing else.
Result<Datapath::SweepStep> ConnectionMap::sweep(std::uint64_t now_ns, std::uint64_t refused) {
  if (std::exchange(refused_, refused).value_or(refused) < refused) finding_.short_of_ports = true;
  const auto piece = table_.piece(place_, kSwept);
  if (!piece) return tl::make_unexpected(piece.error());
  Result<void> trouble;
  for (const auto& entry : Table::entries_of(*piece)) {
    const auto fate = judge(entry, now_ns);
    if (!fate) trouble = tl::make_unexpected(fate.error());
    const auto what = fate.value_or(Fate::stays);
    if (what == Fate::stays) count(entry);
    if (is_short_lived(entry.second, entry.first.protocol)) ++finding_.short_lived;
    expired_ += what == Fate::expired ? 1 : 0;
  }
  place_ = piece->next.value_or(0);
  finding_.whole = finding_.whole && trouble;
  if (!piece->next) {
    found_ = std::exchange(finding_, {});
    if (auto kept = departed_.end_round(found_.whole); !kept) trouble = std::move(kept);
  }
  if (!trouble) return tl::make_unexpected(trouble.error());
  return Datapath::SweepStep{.round_over = !piece->next,
                             .hurry = hurry() || !departed_.empty(),
                             .steps = table_.handle().info.max_entries / kSwept + 1};
}

ConnectionCounts ConnectionMap::counts() const {
  ConnectionCounts counts{
      .kinds = {}, .entries = found_.entries, .max_entries = table_.handle().info.max_entries, .expired = expired_};
  auto found = found_.kinds.begin();
  for (const auto use : kUses) {
    for (const auto protocol : kProtocols) {
      counts.kinds.push_back({.use = use_name(use), .protocol = protocol_name(protocol), .connections = *found++});
    }
  }
  return counts;
}

}  // namespace netkite::datapath
