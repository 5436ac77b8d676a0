// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <chrono>
#include <string>
#include <string_view>
#include <utility>

#include "cni-plugin/deferred_del.hpp"
#include "cni-plugin/removal.hpp"
#include "cni-plugin/verbs.hpp"

namespace netkite::cni {
namespace {

// Runtimes kill a DEL after two minutes.
constexpr std::chrono::seconds kDelLimit(20);
constexpr std::chrono::seconds kSecondLimit(2);

// containerd takes an error with either of these for "gone already" and forgets the attachment.
constexpr std::array<std::pair<std::string_view, std::string_view>, 2> kSwallowed = {
    {{"not found", "absent"}, {"no such file or directory", "missing file"}}};

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

std::string without_swallowed(std::string text) {
  for (const auto& [phrase, replacement] : kSwallowed) {
    std::string lowered = text;
    for (char& c : lowered) c = lower(c);
    for (auto at = lowered.find(phrase); at != std::string::npos; at = lowered.find(phrase)) {
      text.replace(at, phrase.size(), replacement);
      lowered.replace(at, phrase.size(), replacement);
    }
  }
  return text;
}

CniError failed(CniError error) {
  error.message = without_swallowed(std::move(error.message));
  return error;
}

// The device goes, the addresses wait for the agent. The note comes first: with it, a DEL that is cut short is finished
// all the same.
Outcome<void> remove_alone(const Call& call, netlink::Socket& host) {
  const auto noted = write_note(call.conf.agent_socket, call.attachment());
  if (auto deleted = delete_device(host, call.attachment()); !deleted) {
    return tl::make_unexpected(from_kernel(deleted.error()));
  }
  if (!noted) {
    return refuse(ErrorCode::try_again,
                  "the agent is away and the deferred DEL cannot be noted: " + noted.error().message);
  }
  // An agent that came up meanwhile may have read its notes before ours was there.
  if (remove_by_agent(call.conf.agent_socket, host, call.attachment(), Clock::now() + kSecondLimit))
    remove_note(call.conf.agent_socket, call.attachment());
  return {};
}

Outcome<void> remove(const Call& call) {
  auto host = netlink::Socket::open();
  if (!host) return tl::make_unexpected(from_kernel(host.error()));
  auto removed = remove_by_agent(call.conf.agent_socket, *host, call.attachment(), call.started + kDelLimit);
  if (removed) return {};
  if (removed.error().code != Code::unavailable) return tl::make_unexpected(from_agent(removed.error()));
  return remove_alone(call, *host);
}

}  // namespace

Outcome<void> verb_del(const Call& call) {
  auto removed = remove(call);
  if (!removed) return tl::make_unexpected(failed(std::move(removed.error())));
  return {};
}

}  // namespace netkite::cni
