// SPDX-License-Identifier: Apache-2.0
#include "agent/api/health_checks.hpp"

#include <nlohmann/json.hpp>
#include <utility>

namespace netkite::api {

void HealthChecks::follow(Checks checks) {
  checks_ = std::move(checks);
  for (auto each = servers_.begin(); each != servers_.end();) {
    if (checks_.contains(each->first)) {
      ++each;
      continue;
    }
    each->second->stop();
    each = servers_.erase(each);
  }
  troubles_.clear();
  for (const auto& [port, check] : checks_) {
    if (servers_.contains(port)) continue;
    auto server = WebServer::open(context_, {.port = port, .reach = WebServer::Reach::everywhere},
                                  [this, asked = port](std::string_view /*path*/) { return answer(asked); });
    if (server) {
      servers_.emplace(port, *std::move(server));
    } else {
      troubles_.emplace(port, server.error().message);
    }
  }
}

std::vector<std::string> HealthChecks::problems() const {
  std::vector<std::string> lines;
  for (const auto& [port, why] : troubles_) {
    const auto& check = checks_.at(port);
    lines.push_back("service " + check.space + "/" + check.name + ": healthCheckNodePort: " + why);
  }
  return lines;
}

void HealthChecks::stop() {
  for (const auto& [port, server] : servers_) server->stop();
}

WebReply HealthChecks::answer(std::uint16_t port) const {
  const auto& check = checks_.at(port);
  const nlohmann::ordered_json body{{"service", {{"namespace", check.space}, {"name", check.name}}},
                                    {"localEndpoints", check.endpoints}};
  return {.status = check.endpoints > 0 ? 200U : 503U,
          .body = body.dump(2) + "\n",
          .content_type = "application/json",
          .headers = {{"X-Content-Type-Options", "nosniff"},
                      {"X-Load-Balancing-Endpoint-Weight", std::to_string(check.endpoints)}}};
}

}  // namespace netkite::api
