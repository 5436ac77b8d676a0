// SPDX-License-Identifier: Apache-2.0
// How long a connection of nk_ct_v1 may be silent before it is taken away. Pure logic. Room-internal.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string_view>

#include "bpf/abi/connection.h"

namespace netkite::datapath {

// An entry and the other direction's, as far as it is there.
struct ConnectionPair {
  nk_tuple key{};  // of `entry`
  nk_connection entry{};
  std::optional<nk_connection> other{};
};

enum class ConnectionState : std::uint8_t {
  half,         // a direction is missing: a program was between its two inserts, or could not finish
  opening,      // TCP: whoever began it has not acknowledged the answer
  established,  // TCP
  half_closed,  // TCP: one side has said that it is done
  closed,       // TCP: both have, or one has broken it off
  led,          // to another node, which answers: the client has acknowledged something, or sends datagrams
  closing,      // TCP, led to another node: the client is done, or has broken it off
  unanswered,   // other protocols: no packet has come back
  answered,
};
[[nodiscard]] std::string_view to_string(ConnectionState state);  // "half-closed", …
[[nodiscard]] ConnectionState state_of(const ConnectionPair& pair);

// How full the table is: from 3/4 and 15/16 on, what nobody has answered goes earlier, so that a flood of it does not
// keep others out. The highest too when ports are short.
enum class Pressure : std::uint8_t { none, high, highest };
[[nodiscard]] Pressure pressure_of(std::uint64_t entries, std::uint64_t max_entries);

[[nodiscard]] std::chrono::nanoseconds limit_of(ConnectionState state, std::uint8_t protocol, Pressure pressure);
// An entry that has been silent for less needs no look at its other direction: what would make the connection old
// earlier than this shows on that one, and is found there. Most entries of a long table are such.
[[nodiscard]] std::chrono::nanoseconds least_limit(const nk_connection& entry, std::uint8_t protocol,
                                                   Pressure pressure);
// Whether that is a matter of seconds: the connection has not come about, or it ends.
[[nodiscard]] bool is_short_lived(const nk_connection& entry, std::uint8_t protocol);

// `now` and the entries' times are CLOCK_MONOTONIC. An entry may have been written after `now`: silent for no time.
[[nodiscard]] std::chrono::nanoseconds silence_of(const nk_connection& entry, std::uint64_t now_ns);
// Of a connection: that of the direction which spoke last. While nothing has come of it only who began it counts, or a
// backend that repeats its answer to an invented address would keep the connection alive.
[[nodiscard]] std::chrono::nanoseconds silence_of(const ConnectionPair& pair, std::uint64_t now_ns);

[[nodiscard]] bool is_old(const ConnectionPair& pair, std::uint64_t now_ns, Pressure pressure);

}  // namespace netkite::datapath
