// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/connection_age.hpp"

#include <netinet/in.h>

#include <algorithm>

namespace netkite::datapath {
namespace {

using std::chrono::seconds;

// Longer than any two inserts of one packet are apart.
constexpr seconds kHalf{5};
// A client repeats its SYN after 1, 2, 4, 8 and 16 s: whoever is still trying counts.
constexpr seconds kUnanswered{30};
// Linux sends its first keep-alive after 7,200 s and gives up 675 s later (tcp(7)); others are not slower.
constexpr seconds kEstablished{8'000};
// What kube-proxy grants by default: the other side may still be working on its answer.
constexpr seconds kHalfClosed{3'600};
// Last packets that were lost are repeated.
constexpr seconds kClosed{10};
// Whether the server is done too is not seen. As long as it sends, the client acknowledges.
constexpr seconds kClosing{120};
constexpr seconds kAnsweredUdp{120};
constexpr seconds kAnsweredIcmp{30};
// Times are written to a second: less would take away what has just come.
constexpr seconds kLeast{2};

std::uint8_t seen_by_both(const ConnectionPair& pair) { return pair.entry.seen & pair.other->seen; }
std::uint8_t seen_by_any(const ConnectionPair& pair) { return pair.entry.seen | pair.other->seen; }

const nk_connection& beginner(const ConnectionPair& pair) {
  return pair.entry.reply != 0 && pair.other ? *pair.other : pair.entry;
}

seconds unhurried(ConnectionState state, std::uint8_t protocol) {
  switch (state) {
    case ConnectionState::half:
      return kHalf;
    case ConnectionState::opening:
    case ConnectionState::unanswered:
      return kUnanswered;
    case ConnectionState::established:
      return kEstablished;
    case ConnectionState::led:
      return protocol == IPPROTO_TCP ? kEstablished : kAnsweredUdp;
    case ConnectionState::half_closed:
      return kHalfClosed;
    case ConnectionState::closed:
      return kClosed;
    case ConnectionState::closing:
      return kClosing;
    default:
      return protocol == IPPROTO_UDP ? kAnsweredUdp : kAnsweredIcmp;
  }
}

// Of a connection whose answers go another way.
ConnectionState direct_state(const nk_connection& entry, std::uint8_t protocol) {
  if (protocol != IPPROTO_TCP) return ConnectionState::led;
  if ((entry.seen & (NK_CT_FIN | NK_CT_RST)) != 0) return ConnectionState::closing;
  return (entry.seen & NK_CT_ACK) != 0 ? ConnectionState::led : ConnectionState::opening;
}

}  // namespace

std::string_view to_string(ConnectionState state) {
  switch (state) {
    case ConnectionState::half:
      return "half";
    case ConnectionState::opening:
      return "opening";
    case ConnectionState::established:
      return "established";
    case ConnectionState::half_closed:
      return "half-closed";
    case ConnectionState::closed:
      return "closed";
    case ConnectionState::led:
      return "led";
    case ConnectionState::closing:
      return "closing";
    case ConnectionState::unanswered:
      return "unanswered";
    default:
      return "answered";
  }
}

ConnectionState state_of(const ConnectionPair& pair) {
  if (pair.entry.use == NK_CT_DIRECT) return direct_state(pair.entry, pair.key.protocol);
  if (!pair.other) return ConnectionState::half;
  if (pair.key.protocol != IPPROTO_TCP) {
    const auto& reply = pair.entry.reply != 0 ? pair.entry : *pair.other;
    return reply.seen == 0 ? ConnectionState::unanswered : ConnectionState::answered;
  }
  if ((seen_by_any(pair) & NK_CT_RST) != 0 || (seen_by_both(pair) & NK_CT_FIN) != 0) return ConnectionState::closed;
  if ((seen_by_both(pair) & NK_CT_ACK) == 0) return ConnectionState::opening;
  return (seen_by_any(pair) & NK_CT_FIN) != 0 ? ConnectionState::half_closed : ConnectionState::established;
}

Pressure pressure_of(std::uint64_t entries, std::uint64_t max_entries) {
  if (entries * 16 > max_entries * 15) return Pressure::highest;
  return entries * 4 > max_entries * 3 ? Pressure::high : Pressure::none;
}

// Established connections of TCP keep their time: their ends would not begin anew. Of one that is led nobody but the
// client has said that it is, who may be anybody.
std::chrono::nanoseconds limit_of(ConnectionState state, std::uint8_t protocol, Pressure pressure) {
  const auto usual = unhurried(state, protocol);
  if (pressure == Pressure::none) return usual;
  switch (state) {
    case ConnectionState::opening:
    case ConnectionState::unanswered:
      return pressure == Pressure::high ? usual / 4 : kLeast;
    case ConnectionState::led:
      return pressure == Pressure::high ? usual / 4 : usual / 16;
    case ConnectionState::answered:
    case ConnectionState::closing:
      return usual / 4;
    case ConnectionState::half:
    case ConnectionState::closed:
      return kLeast;
    default:
      return usual;
  }
}

std::chrono::nanoseconds least_limit(const nk_connection& entry, std::uint8_t protocol, Pressure pressure) {
  if (entry.use == NK_CT_DIRECT) return limit_of(direct_state(entry, protocol), protocol, pressure);
  if (is_short_lived(entry, protocol)) return limit_of(ConnectionState::half, protocol, pressure);
  const auto state = protocol == IPPROTO_TCP ? ConnectionState::half_closed : ConnectionState::answered;
  return limit_of(state, protocol, pressure);
}

bool is_short_lived(const nk_connection& entry, std::uint8_t protocol) {
  if (protocol != IPPROTO_TCP) return entry.seen == 0 || entry.use == NK_CT_DIRECT;
  return (entry.seen & NK_CT_ACK) == 0 || (entry.seen & (NK_CT_FIN | NK_CT_RST)) != 0;
}

std::chrono::nanoseconds silence_of(const nk_connection& entry, std::uint64_t now_ns) {
  return std::chrono::nanoseconds(now_ns - std::min<std::uint64_t>(entry.time_ns, now_ns));
}

std::chrono::nanoseconds silence_of(const ConnectionPair& pair, std::uint64_t now_ns) {
  if (!pair.other) return silence_of(pair.entry, now_ns);
  const auto state = state_of(pair);
  if (state == ConnectionState::opening || state == ConnectionState::unanswered) {
    return silence_of(beginner(pair), now_ns);
  }
  return std::min(silence_of(pair.entry, now_ns), silence_of(*pair.other, now_ns));
}

bool is_old(const ConnectionPair& pair, std::uint64_t now_ns, Pressure pressure) {
  return silence_of(pair, now_ns) >= limit_of(state_of(pair), pair.key.protocol, pressure);
}

}  // namespace netkite::datapath
