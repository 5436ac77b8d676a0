// SPDX-License-Identifier: Apache-2.0
#include "cli/commands.hpp"
#include "cli/fields.hpp"
#include "common/wire/agent_api.hpp"

namespace netkite::cli {
namespace {

constexpr std::size_t kEnvelope = 64;  // bytes of a request around its list of prefixes

}  // namespace

Result<void> change_denied(Agent& agent, const std::string& op, const std::vector<Cidr>& prefixes, Output output,
                           std::ostream& out) {
  const bool adding = op == "prefilter_add";
  std::size_t done = 0;
  while (done < prefixes.size()) {
    nlohmann::json batch = nlohmann::json::array();
    std::size_t bytes = kEnvelope;
    for (std::size_t i = done; i < prefixes.size(); ++i) {
      std::string prefix = prefixes[i].to_string();
      bytes += prefix.size() + 3;  // quotes and comma
      if (bytes > wire::kMaxMessage) break;
      batch.push_back(std::move(prefix));
    }
    const auto size = batch.size();
    const auto reply = agent.call(op, {{"prefixes", std::move(batch)}});
    if (!reply && done == 0) return tl::make_unexpected(reply.error());
    if (!reply) {
      return wrap(reply.error(), "after the first " + std::to_string(done) + " of " + std::to_string(prefixes.size()) +
                                     " prefixes, which are " + (adding ? "denied" : "allowed again"));
    }
    done += size;
  }
  if (output == Output::json) {
    print_json(out, {{adding ? "added" : "removed", done}});
  } else {
    out << done << (done == 1 ? " prefix " : " prefixes ") << (adding ? "denied" : "allowed again") << '\n';
  }
  return {};
}

}  // namespace netkite::cli
