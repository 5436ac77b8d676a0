// SPDX-License-Identifier: Apache-2.0
#include "agent/service/tests/fixture.hpp"

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
  const auto before = frontends;
  run(changes, [&](bool readers_gone) {
    // Who has read a frontend before goes on with it until the last removals.
    if (!readers_gone) look(before);
    look(frontends);
    return steps-- > 1 && !::testing::Test::HasFailure();
  });
}

void Maps::apply_unseen(const Changes& changes) {
  run(changes, [](bool) { return true; });
}

void Maps::run(const Changes& changes, const std::function<bool(bool)>& step) {
  for (const auto& [id, backend] : changes.backends) {
    EXPECT_TRUE(backends.emplace(id, backend).second && !gone_backends_.contains(id)) << "backend " << id << " again";
    EXPECT_NE(id, 0U);
    if (!step(false)) return;
  }
  for (const auto& [slot, id] : changes.slots) {
    EXPECT_NE(slots[slot], id) << "slot " << slot.set << "/" << slot.index << " does not change";
    slots[slot] = id;
    if (!step(false)) return;
  }
  for (const auto& [frontend, entry] : changes.frontends) {
    EXPECT_FALSE(frontends[frontend] == entry) << to_string(frontend) << " does not change";
    frontends[frontend] = entry;
    if (!step(false)) return;
  }
  for (const auto& frontend : changes.gone_frontends) {
    EXPECT_EQ(frontends.erase(frontend), 1U) << to_string(frontend);
    if (!step(false)) return;
  }
  for (const auto& slot : changes.gone_slots) {
    EXPECT_EQ(slots.erase(slot), 1U) << slot.set << "/" << slot.index;
    if (!step(true)) return;
  }
  for (const auto id : changes.gone_backends) {
    EXPECT_EQ(backends.erase(id), 1U) << id;
    gone_backends_.insert(id);
    if (!step(true)) return;
  }
}

void Maps::look(const std::map<Frontend, FrontendEntry>& seen) const {
  for (const auto& [frontend, entry] : seen) {
    EXPECT_NE(entry.set, 0U);
    for (std::uint32_t i = 0; i < entry.count; ++i) {
      const auto slot = slots.find({.set = entry.set, .index = i});
      ASSERT_NE(slot, slots.end()) << to_string(frontend) << " has no slot " << i << " of " << entry.count;
      const auto backend = backends.find(slot->second);
      ASSERT_NE(backend, backends.end()) << to_string(frontend) << " has no backend in slot " << i;
      ASSERT_EQ(backend->second.set, entry.set) << to_string(frontend);
    }
  }
}

Table Maps::table() const {
  return {.frontends = {frontends.begin(), frontends.end()},
          .slots = {slots.begin(), slots.end()},
          .backends = {backends.begin(), backends.end()}};
}

std::vector<std::string> Maps::behind(const Frontend& frontend) const {
  const auto& entry = frontends.at(frontend);
  std::vector<std::string> texts;
  for (std::uint32_t i = 0; i < entry.count; ++i) {
    const auto& backend = backends.at(slots.at({.set = entry.set, .index = i}));
    texts.push_back(text_of(backend.address, backend.port));
  }
  return texts;
}

}  // namespace netkite::service
