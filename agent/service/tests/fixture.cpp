// SPDX-License-Identifier: Apache-2.0
#include "agent/service/tests/fixture.hpp"

#include <tuple>
#include <utility>

namespace netkite::service {

Ip ip(const std::string& text) { return Ip::parse(text).value(); }

Frontend at(const std::string& address, std::uint16_t port, kube::Protocol protocol) {
  return {.address = ip(address), .port = port, .protocol = protocol};
}

kube::Service service_at(std::initializer_list<const char*> addresses) {
  kube::Service service;
  for (const auto* each : addresses) service.cluster_ips.push_back(ip(each));
  service.ports = {{.name = "http", .protocol = kTcp, .port = 80, .node_port = 0}};
  return service;
}

Facts facts_at(std::vector<Ip> addresses, bool external_ips) {
  Facts facts;
  facts.addresses = std::move(addresses);
  facts.external_ips = external_ips;
  return facts;
}

kube::Endpoint endpoint(const std::string& address) { return {.address = ip(address)}; }

kube::EndpointSlice slice_of(const std::string& service, std::initializer_list<kube::Endpoint> endpoints) {
  kube::EndpointSlice slice;
  slice.service = service;
  slice.ports = {{.name = "http", .protocol = kTcp, .port = 8080}};
  slice.endpoints = endpoints;
  if (!slice.endpoints.empty()) slice.family = slice.endpoints.front().address.family();
  return slice;
}

std::string text_of(const Ip& address, std::uint16_t port) { return address.to_string() + ":" + std::to_string(port); }

void Maps::apply(const Changes& changes, std::size_t steps) {
  for (const auto& [id, backend] : changes.backends) {
    for (const auto& [known, other] : backends) EXPECT_FALSE(other == backend) << id << " is " << known << " again";
  }
  const auto frontends_before = frontends;
  const auto entrances_before = entrances;
  run(changes, [&](bool readers_gone) {
    // Who has read a frontend before goes on with it until the last removals.
    if (!readers_gone) {
      look(frontends_before);
      look(entrances_before);
    }
    look(frontends);
    look(entrances);
    return steps-- > 1 && !::testing::Test::HasFailure();
  });
}

void Maps::apply_unseen(const Changes& changes) {
  run(changes, [](bool) { return true; });
}

void Maps::run(const Changes& changes, const Step& step) {
  if (write(changes, step)) std::ignore = remove(changes, step);
}

bool Maps::write(const Changes& changes, const Step& step) {
  for (const auto& [id, backend] : changes.backends) {
    EXPECT_TRUE(backends.emplace(id, backend).second && !gone_backends_.contains(id)) << "backend " << id << " again";
    EXPECT_NE(id, 0U);
    if (!step(false)) return false;
  }
  for (const auto& [slot, id] : changes.slots) {
    EXPECT_NE(slots[slot], id) << "slot " << slot.set << "/" << slot.index << " does not change";
    slots[slot] = id;
    if (!step(false)) return false;
  }
  for (const auto& [piece, ids] : changes.maglev) {
    EXPECT_NE(maglev[piece], ids) << "piece " << piece.set << "/" << piece.piece << " does not change";
    EXPECT_EQ(ids.size(), kMaglevPiece);
    maglev[piece] = ids;
    if (!step(false)) return false;
  }
  for (const auto& range : changes.ranges) {
    EXPECT_TRUE(ranges.insert(range).second) << range.set << " " << range.clients.to_string() << " again";
    if (!step(false)) return false;
  }
  for (const auto& [frontend, entry] : changes.frontends) {
    EXPECT_FALSE(frontends[frontend] == entry) << to_string(frontend) << " does not change";
    frontends[frontend] = entry;
    if (!step(false)) return false;
  }
  for (const auto& [frontend, entry] : changes.entrances) {
    EXPECT_FALSE(entrances[frontend] == entry) << to_string(frontend) << " does not change";
    entrances[frontend] = entry;
    if (!step(false)) return false;
  }
  return true;
}

bool Maps::remove(const Changes& changes, const Step& step) {
  for (const auto& frontend : changes.gone_entrances) {
    EXPECT_EQ(entrances.erase(frontend), 1U) << to_string(frontend);
    if (!step(false)) return false;
  }
  for (const auto& frontend : changes.gone_frontends) {
    EXPECT_EQ(frontends.erase(frontend), 1U) << to_string(frontend);
    if (!step(false)) return false;
  }
  for (const auto& range : changes.gone_ranges) {
    EXPECT_EQ(ranges.erase(range), 1U) << range.set << " " << range.clients.to_string();
    if (!step(true)) return false;
  }
  for (const auto& piece : changes.gone_maglev) {
    EXPECT_EQ(maglev.erase(piece), 1U) << piece.set << "/" << piece.piece;
    if (!step(true)) return false;
  }
  for (const auto& slot : changes.gone_slots) {
    EXPECT_EQ(slots.erase(slot), 1U) << slot.set << "/" << slot.index;
    if (!step(true)) return false;
  }
  for (const auto id : changes.gone_backends) {
    EXPECT_EQ(backends.erase(id), 1U) << id;
    gone_backends_.insert(id);
    if (!step(true)) return false;
  }
  return true;
}

void Maps::look(const std::map<Frontend, FrontendEntry>& seen) const {
  for (const auto& [frontend, entry] : seen) look(frontend, entry.set, entry.count);
}

void Maps::look(const std::map<Frontend, EntranceEntry>& seen) const {
  for (const auto& [frontend, entry] : seen) {
    look(frontend, entry.set, entry.count);
    // Not each of them each time: there are many.
    for (std::uint32_t place = 0; place < entry.table; place += 5) {
      const auto piece = maglev.find({.set = entry.set, .piece = place / kMaglevPiece});
      ASSERT_NE(piece, maglev.end()) << to_string(frontend) << " has no place " << place << " of " << entry.table;
      ASSERT_TRUE(backends.contains(piece->second.at(place % kMaglevPiece)))
          << to_string(frontend) << " has no backend at place " << place;
    }
  }
}

void Maps::look(const Frontend& frontend, std::uint32_t set, std::uint32_t count) const {
  EXPECT_NE(set, 0U);
  for (std::uint32_t i = 0; i < count; ++i) {
    const auto slot = slots.find({.set = set, .index = i});
    ASSERT_NE(slot, slots.end()) << to_string(frontend) << " has no slot " << i << " of " << count;
    const auto backend = backends.find(slot->second);
    ASSERT_NE(backend, backends.end()) << to_string(frontend) << " has no backend in slot " << i;
    ASSERT_EQ(backend->second.set, set) << to_string(frontend);
  }
}

Table Maps::table() const {
  return {.frontends = {frontends.begin(), frontends.end()},
          .slots = {slots.begin(), slots.end()},
          .backends = {backends.begin(), backends.end()},
          .entrances = {entrances.begin(), entrances.end()},
          .ranges = {ranges.begin(), ranges.end()},
          .maglev = {maglev.begin(), maglev.end()}};
}

std::vector<std::string> Maps::slots_of(std::uint32_t set, std::uint32_t count) const {
  std::vector<std::string> texts;
  for (std::uint32_t i = 0; i < count; ++i) {
    const auto& backend = backends.at(slots.at({.set = set, .index = i}));
    texts.push_back(text_of(backend.address, backend.port));
  }
  return texts;
}

std::vector<std::string> Maps::behind(const Frontend& frontend) const {
  const auto& entry = frontends.at(frontend);
  return slots_of(entry.set, entry.count);
}

std::vector<std::string> Maps::behind_entrance(const Frontend& frontend) const {
  const auto& entry = entrances.at(frontend);
  return slots_of(entry.set, entry.count);
}

}  // namespace netkite::service
