// SPDX-License-Identifier: Apache-2.0
// One answer of the API server while it arrives. Room-internal.
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "agent/kube/picker.hpp"
#include "agent/kube/reflector.hpp"
#include "common/base/result.hpp"

namespace netkite::kube {

inline constexpr unsigned kNotFound = 404, kGone = 410;
inline constexpr std::string_view kInitialEventsEnd = "k8s.io/initial-events-end";

// A string member of an object, "" when there is none.
[[nodiscard]] std::string text_at(const Json& object, std::string_view key);
// A member that is an object or list, or an empty one.
[[nodiscard]] Json member(const Json& object, const char* key);
// invalid: it is not whole.
[[nodiscard]] Result<void> check_whole(const Json& object);
[[nodiscard]] bool is_initial_events_end(const Json& object);
[[nodiscard]] std::string percent_encoded(std::string_view text);

struct Reading {
  Reading(Fields wanted, Picker::Taker item, Picker::Taker document);
  Reading(const Reading&) = delete;
  Reading& operator=(const Reading&) = delete;
  ~Reading() = default;

  // A piece of an answer with this status.
  [[nodiscard]] Result<void> take(unsigned code, std::string_view piece);
  // The answer is complete. unavailable: it was a refusal, with the server's words, or it broke off.
  [[nodiscard]] Result<void> finish();
  // For those who take documents: the rest is not wanted.
  void refuse(std::string why) { refusal_ = std::move(why); }

  std::function<void(const Json&)> on_document;
  std::function<void()> on_start;  // a good answer has begun
  unsigned status = 0;             // the answer's, or that of an ERROR event
  unsigned events = 0;
  bool initial = false;  // not all initial events have come
  std::chrono::milliseconds pause_when_synced{};

 private:
  [[nodiscard]] Error refused() const;

  Picker picker_;
  JsonStream stream_{picker_};
  std::string complaint_;  // the body of another status, as far as it is kept
  std::optional<std::string> refusal_;
};

}  // namespace netkite::kube
