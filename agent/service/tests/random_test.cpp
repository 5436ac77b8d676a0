// SPDX-License-Identifier: Apache-2.0
// The registry against a model that knows no differences: random changes, writes that fail half-way, restarts.
#include <gmock/gmock.h>

#include <algorithm>
#include <memory>
#include <random>

#include "agent/service/maglev.hpp"
#include "agent/service/registry.hpp"
#include "agent/service/tests/fixture.hpp"

namespace netkite::service {
namespace {

constexpr unsigned kServices = 6, kSlices = 8, kHostPorts = 5, kSteps = 400;

class World {
 public:
  explicit World(unsigned seed) : random_(seed) {}

  void step() {
    // As many changes at once as a busy moment brings.
    for (unsigned i = below(4); i > 0; --i) change();
    if (below(12) == 0) restart();
    auto changes = registry_->flush();
    if (below(6) == 0) {
      // The write fails at some point.
      maps_.apply(changes, below(20) + 1);
      registry_->adopt(maps_.table());
      changes = registry_->flush();
    }
    maps_.apply(changes);
    if (::testing::Test::HasFailure()) return;
    compare();
    registry_->adopt(maps_.table());
    // Only a set that holds no frontend is written anew.
    const auto again = registry_->flush();
    EXPECT_TRUE(again.frontends.empty() && again.gone_frontends.empty());
    EXPECT_TRUE(again.entrances.empty() && again.gone_entrances.empty());
    maps_.apply(again);
    EXPECT_TRUE(registry_->flush().empty());
  }

 private:
  unsigned below(unsigned bound) { return std::uniform_int_distribution<unsigned>(0, bound - 1)(random_); }
  bool maybe(unsigned one_in) { return below(one_in) == 0; }

  void change() {
    switch (below(9)) {
      case 0:
        return change_service();
      case 8:
        return change_host_port();
      case 1:
        facts_.external_ips = !maybe(4);
        facts_.zone = maybe(2) ? "a" : "b";
        facts_.maglev = maybe(3);
        facts_.max_frontends = maybe(2) ? 4 + below(12) : SIZE_MAX;
        facts_.addresses.clear();
        if (maybe(2)) facts_.addresses.push_back(ip("192.0.2.1"));
        if (maybe(8)) facts_.addresses.push_back(ip("10.0.0.8"));
        if (maybe(2)) facts_.addresses.push_back(ip("2001:db8::1"));
        return registry_->set_facts(facts_);
      default:
        return change_slice();
    }
  }

  static std::string key_of(unsigned i) { return "n/" + std::to_string(i); }

  void change_service() {
    const auto i = below(kServices);
    if (maybe(3)) {
      services_.erase(key_of(i));
      return registry_->remove_service(key_of(i));
    }
    kube::Service service;
    service.created = std::to_string(below(3));
    service.cluster_ips.push_back(Ip::v4(0x0a600000U + below(kServices)));
    if (maybe(2)) service.cluster_ips.push_back(ip("fd00::" + std::to_string(i)));
    for (unsigned k = below(3); k > 0; --k) service.external_ips.push_back(Ip::v4(0xc6336400U + below(3)));
    for (unsigned k = below(3); k > 0; --k) service.load_balancer_ips.push_back(Ip::v4(0xc6336400U + below(3)));
    for (unsigned k = below(3); k > 0; --k) {
      service.source_ranges.push_back(Cidr::of(Ip::v4(below(4) << 24U), 8 + below(2)).value());
    }
    service.internal_local = maybe(3);
    service.external_local = maybe(3);
    service.publish_not_ready = maybe(4);
    service.affinity_s = below(2) * 60;
    service.ports = {{.name = "a", .protocol = kTcp, .port = 80, .node_port = maybe(2) ? port(30'000) : port(0)}};
    if (maybe(2)) service.ports.push_back({.name = "b", .protocol = kUdp, .port = 80, .node_port = 0});
    services_[key_of(i)] = service;
    registry_->set_service(key_of(i), service);
  }
  static std::uint16_t port(unsigned number) { return static_cast<std::uint16_t>(number); }

  void change_slice() {
    const auto key = "slice-" + std::to_string(below(kSlices));
    if (maybe(4)) {
      slices_.erase(key);
      return registry_->remove_slice(key);
    }
    const bool v6 = maybe(3);
    kube::EndpointSlice slice;
    slice.service = key_of(below(kServices));
    slice.family = v6 ? Family::v6 : Family::v4;
    slice.ports = {{.name = "a", .protocol = kTcp, .port = port(8080 + below(2))}};
    if (maybe(2)) slice.ports.push_back({.name = "b", .protocol = kUdp, .port = 8080});
    slice.zones = {"a", "b"};
    const bool hinted = maybe(2);
    for (unsigned k = below(6); k > 0; --k) {
      kube::Endpoint each;
      each.address = v6 ? ip("fd01::" + std::to_string(below(8) + 1)) : Ip::v4(0x0a000001U + below(8));
      each.ready = !maybe(3);
      each.serving = each.ready || maybe(2);
      each.terminating = !each.ready && maybe(2);
      each.local = maybe(2);
      each.zones = hinted ? below(3) + 1 : 0;
      slice.endpoints.push_back(each);
    }
    slices_[key] = slice;
    registry_->set_slice(key, slice);
  }

  // Some of them want a NodePort, or an external address.
  void change_host_port() {
    const auto key = std::to_string(below(kHostPorts));
    if (maybe(3)) {
      host_ports_.erase(key);
      return registry_->remove_host_port(key);
    }
    HostPort wanted{.pod = "n/p" + key, .protocol = maybe(4) ? kUdp : kTcp};
    wanted.port = maybe(2) ? port(30'000) : port(80);
    wanted.pod_port = port(8080 + below(2));
    if (maybe(2)) wanted.address = Ip::v4(below(3) > 0 ? 0xc6336400U + below(3) : 0);
    wanted.pod_addresses.push_back(Ip::v4(0x0a000001U + below(8)));
    if (maybe(2)) wanted.pod_addresses.push_back(ip("fd01::" + std::to_string(below(8) + 1)));
    wanted.order = ++last_order_;
    host_ports_[key] = wanted;
    registry_->set_host_port(key, wanted);
  }

  // Pods are known before services are, and nothing that is served stops meanwhile.
  void flush_host_ports() {
    const auto former = maps_;
    maps_.apply(registry_->flush_host_ports());
    for (const auto& [frontend, entry] : former.frontends) {
      ASSERT_TRUE(maps_.frontends.contains(frontend)) << to_string(frontend);
      EXPECT_EQ(maps_.behind(frontend), former.behind(frontend)) << to_string(frontend);
    }
    for (const auto& [key, wanted] : host_ports_) {
      for (const auto& each : frontends_of(wanted, facts_)) EXPECT_TRUE(maps_.frontends.contains(each.frontend));
    }
  }

  void restart() {
    registry_ = std::make_unique<Registry>(facts_);
    maps_.forget_gone();
    registry_->adopt(maps_.table());
    for (const auto& [key, wanted] : host_ports_) registry_->set_host_port(key, wanted);
    if (maybe(2)) flush_host_ports();
    for (const auto& [key, service] : services_) registry_->set_service(key, service);
    for (const auto& [key, slice] : slices_) registry_->set_slice(key, slice);
  }

  std::vector<const kube::EndpointSlice*> slices_of(const std::string& key) const {
    std::vector<const kube::EndpointSlice*> mine;
    for (const auto& [name, slice] : slices_) {
      if (slice.service == key) mine.push_back(&slice);
    }
    return mine;
  }
  bool is_service(const std::string& key) const { return services_.contains(key); }
  std::vector<std::string> targets(const std::string& key, const SetKey& set) const {
    std::vector<std::string> texts;
    for (const auto& each : is_service(key) ? targets_of(services_.at(key), slices_of(key), set, facts_.zone)
                                            : targets_of(host_ports_.at(key), set)) {
      texts.push_back(text_of(each.address, each.port));
    }
    return texts;
  }

  struct Winner {
    std::tuple<int, std::int64_t, std::string, std::string> rank;
    PlannedFrontend planned;
    [[nodiscard]] const std::string& key() const { return std::get<3>(rank); }
  };
  using Owner = std::pair<std::string, SetKey>;

  static void compete(std::map<Frontend, Winner>& winners, const Winner& winner) {
    auto& best = winners.try_emplace(winner.planned.frontend, winner).first->second;
    if (winner.rank < best.rank) best = winner;
  }

  // Those that there is room for: the smallest, and then the oldest.
  std::set<std::string> admitted() const {
    std::size_t taken = 0;
    for (const auto& [key, wanted] : host_ports_) taken += frontends_of(wanted, facts_).size();
    std::set<std::tuple<std::size_t, std::string, std::string>> by_size;
    for (const auto& [key, service] : services_) {
      const auto wanted = frontends_of(service, facts_);
      by_size.emplace(std::ranges::count(wanted, false, [](const auto& each) { return each.frontend.led; }),
                      service.created, key);
    }
    std::set<std::string> keys;
    for (const auto& [size, created, key] : by_size) {
      if (taken + size > facts_.max_frontends) continue;
      taken += size;
      keys.insert(key);
    }
    return keys;
  }

  // The maps, with what everything means compiled anew.
  void compare() const {
    const auto served = admitted();
    std::map<Frontend, Winner> winners;
    std::set<Owner> sets, entered, bound;
    for (const auto& [key, service] : services_) {
      if (!served.contains(key)) continue;
      for (const auto& each : frontends_of(service, facts_)) {
        const bool written = each.kind == Kind::external_ip || each.kind == Kind::load_balancer;
        compete(winners, {.rank = {written ? 2 : 0, 0, service.created, key}, .planned = each});
        sets.emplace(key, each.set);
        if (!each.entrance) continue;
        sets.emplace(key, each.entrance->set);
        entered.emplace(key, each.entrance->set);
        if (each.entrance->ranges) bound.emplace(key, each.entrance->set);
      }
    }
    for (const auto& [key, wanted] : host_ports_) {
      for (const auto& each : frontends_of(wanted, facts_)) {
        compete(winners, {.rank = {1, -static_cast<std::int64_t>(wanted.order), "", key}, .planned = each});
        sets.emplace(key, each.set);
      }
    }
    std::map<std::uint32_t, Owner> owners;
    compare_frontends(winners, owners);
    compare_entrances(winners, owners);
    std::size_t backends = 0;
    for (const auto& [key, set] : sets) backends += targets(key, set).size();
    EXPECT_EQ(maps_.backends.size(), backends);
    EXPECT_EQ(maps_.slots.size(), backends);
    std::size_t pieces = 0;
    for (const auto& [key, set] : entered) pieces += (places_of(targets(key, set).size()) + 63) / 64;
    EXPECT_EQ(maps_.maglev.size(), pieces);
    std::size_t ranges = 0;
    for (const auto& [key, set] : bound) ranges += ranges_of(services_.at(key), set).size();
    EXPECT_EQ(maps_.ranges.size(), ranges);
  }

  std::uint32_t affinity_of(const std::string& key) const { return is_service(key) ? services_.at(key).affinity_s : 0; }
  std::uint32_t places_of(std::size_t backends) const { return facts_.maglev ? places_for(backends) : 0; }

  void compare_frontends(const std::map<Frontend, Winner>& winners, std::map<std::uint32_t, Owner>& owners) const {
    ASSERT_EQ(maps_.frontends.size(), winners.size());
    for (const auto& [frontend, winner] : winners) {
      const auto& key = winner.key();
      EXPECT_THAT(maps_.behind(frontend), ::testing::UnorderedElementsAreArray(targets(key, winner.planned.set)))
          << to_string(frontend);
      const auto& entry = maps_.frontends.at(frontend);
      EXPECT_EQ(entry.affinity_s, affinity_of(key));
      const Owner owner{key, winner.planned.set};
      EXPECT_EQ(owners.emplace(entry.set, owner).first->second, owner) << "two services share a set";
    }
  }

  void compare_entrances(const std::map<Frontend, Winner>& winners, std::map<std::uint32_t, Owner>& owners) const {
    std::size_t count = 0;
    for (const auto& [frontend, winner] : winners) {
      if (!winner.planned.entrance) continue;
      ++count;
      const auto& key = winner.key();
      const auto& planned = *winner.planned.entrance;
      const auto expected = targets(key, planned.set);
      ASSERT_TRUE(maps_.entrances.contains(frontend)) << to_string(frontend);
      EXPECT_THAT(maps_.behind_entrance(frontend), ::testing::UnorderedElementsAreArray(expected));
      const auto& entry = maps_.entrances.at(frontend);
      EXPECT_EQ(entry.affinity_s, affinity_of(key));
      EXPECT_EQ(entry.keep_source, !is_service(key) || services_.at(key).external_local);
      EXPECT_EQ(entry.ranges, planned.ranges);
      EXPECT_EQ(entry.table, is_service(key) ? places_of(expected.size()) : 0U);
      const Owner owner{key, planned.set};
      EXPECT_EQ(owners.emplace(entry.set, owner).first->second, owner) << "two services share a set";
      compare_table(entry);
      if (!is_service(key)) continue;
      for (const auto& each : ranges_of(services_.at(key), planned.set)) {
        EXPECT_TRUE(!entry.ranges || maps_.ranges.contains({.set = entry.set, .clients = each}));
      }
    }
    EXPECT_EQ(maps_.entrances.size(), count);
  }

  void compare_table(const EntranceEntry& entry) const {
    if (entry.table == 0) return;
    std::vector<Member> members;
    for (const auto& [id, backend] : maps_.backends) {
      if (backend.set == entry.set) members.push_back({.address = backend.address, .port = backend.port, .id = id});
    }
    const auto table = maglev_table(members, entry.table);
    for (std::uint32_t place = 0; place < entry.table; ++place) {
      const auto& piece = maps_.maglev.at({.set = entry.set, .piece = place / kMaglevPiece});
      ASSERT_EQ(piece.at(place % kMaglevPiece), table[place]) << "place " << place;
    }
  }

  std::minstd_rand random_;
  Facts facts_;
  std::map<std::string, kube::Service> services_;
  std::map<std::string, kube::EndpointSlice> slices_;
  std::map<std::string, HostPort> host_ports_;
  std::uint64_t last_order_ = 0;
  Maps maps_;
  std::unique_ptr<Registry> registry_ = std::make_unique<Registry>(facts_);
};

TEST(RegistryAtRandom, ReadersAreNeverMisledAndNothingStays) {
  for (unsigned seed = 1; seed <= 20 && !HasFailure(); ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    World world(seed);
    for (unsigned i = 0; i < kSteps && !HasFailure(); ++i) world.step();
  }
}

}  // namespace
}  // namespace netkite::service
