// SPDX-License-Identifier: Apache-2.0
// The table of translated connections, and what the node is to others. A look at the whole table takes as long as there
// are connections, so that everything here goes in steps. Room-internal.
#pragma once

#include <array>
#include <functional>

#include "agent/datapath/connection_age.hpp"
#include "agent/datapath/datapath.hpp"
#include "agent/datapath/departed.hpp"
#include "agent/datapath/typed_map.hpp"
#include "bpf/abi/connection.h"

namespace netkite::datapath {

class ConnectionMap {
 public:
  // `departed`: the file where it keeps those addresses.
  [[nodiscard]] static Result<ConnectionMap> open(const MapStore& store, const std::string& departed);

  [[nodiscard]] Result<void> set_self(const Self& self) const;
  // `now_ns`: CLOCK_MONOTONIC.
  [[nodiscard]] Result<std::size_t> take_over(const std::vector<MaskedConnection>& connections,
                                              std::uint64_t now_ns) const;
  [[nodiscard]] Result<ConnectionPlace> list(std::uint32_t place, std::uint64_t now_ns,
                                             const std::function<void(const ConnectionEntry&)>& each) const;
  [[nodiscard]] Result<Datapath::FlushStep> flush(std::uint32_t place, const ConnectionFilter& filter) const;
  // A pod's addresses that are nobody's now. The sweep takes away what is known of them, and hurries. Before one of
  // them has a pod again it has to be told: then all of it goes at once, however long that takes.
  [[nodiscard]] Result<void> depart(const std::vector<Ip>& addresses) { return departed_.add(addresses); }
  [[nodiscard]] Result<void> arrive(const std::vector<Ip>& addresses);
  // `refused`: connections so far that no port was left for.
  [[nodiscard]] Result<Datapath::SweepStep> sweep(std::uint64_t now_ns, std::uint64_t refused = 0);
  [[nodiscard]] ConnectionCounts counts() const;

  using Table = TypedMap<nk_tuple, nk_connection>;
  [[nodiscard]] Result<ConnectionPair> pair_of(const Table::Entry& entry) const;
  // Both directions, unless a packet has come since the pair was looked at.
  enum class Fate : std::uint8_t { stays, expired, gone };  // gone: with its other direction, or by itself
  [[nodiscard]] Result<Fate> take(const ConnectionPair& pair) const;

 private:
  static constexpr std::size_t kKinds = 12;
  struct Tally {
    std::uint64_t entries = 0;
    std::uint64_t short_lived = 0;              // of them, or expired
    std::array<std::uint64_t, kKinds> kinds{};  // connections
    bool short_of_ports = false;                // somebody has been refused in the meantime
    bool whole = true;                          // nothing could not be taken away
  };

  [[nodiscard]] static std::vector<Table::Entry> directions_of(const ConnectionPair& pair);
  using Predicate = std::function<bool(const Table::Entry&)>;
  [[nodiscard]] Result<Datapath::FlushStep> remove_those(std::uint32_t place, const Predicate& wanted) const;
  // Both directions. False: they had gone already.
  [[nodiscard]] Result<bool> remove(const Table::Entry& entry) const;
  [[nodiscard]] bool is_departed(const Table::Entry& entry) const;
  [[nodiscard]] Result<void> remove_departed();
  [[nodiscard]] Result<Fate> judge(const Table::Entry& entry, std::uint64_t now_ns) const;
  void count(const Table::Entry& entry);
  [[nodiscard]] Pressure pressure() const;
  [[nodiscard]] bool hurry() const;

  Table table_;
  TypedMap<std::uint32_t, nk_self> self_;
  std::uint32_t place_ = 0;  // where the sweep goes on
  Tally found_, finding_;    // by the last whole round, and by this one so far
  Departed departed_;
  std::uint64_t expired_ = 0;
  std::optional<std::uint64_t> refused_;
};

}  // namespace netkite::datapath
