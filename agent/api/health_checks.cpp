// SPDX-License-Identifier: Apache-2.0
#include "agent/api/health_checks.hpp"

#include <nlohmann/json.hpp>
#include <utility>

namespace netkite::api {

void HealthChecks::follow(Checks checks, NodeHealth node) {
  checks_ = std::move(checks);
  node_ = node;
  for (auto each = servers_.begin(); each != servers_.end();) {
    if (checks_.contains(each->first) || each->first == proxy_port_) {
      ++each;
      continue;
    }
    each->second->stop();
    each = servers_.erase(each);
  }
  troubles_.clear();
  if (proxy_port_ != 0) listen(proxy_port_, [this](std::string_view path) { return answer_for_proxy(path); });
  for (const auto& [port, check] : checks_) {
    listen(port, [this, asked = port](std::string_view /*path*/) { return answer(asked); });
  }
}

void HealthChecks::listen(std::uint16_t port, WebServer::Answer answer) {
  if (servers_.contains(port)) return;
  auto server = WebServer::open(context_, {.port = port, .reach = WebServer::Reach::everywhere}, std::move(answer));
  if (server) {
    servers_.emplace(port, *std::move(server));
  } else {
    troubles_.emplace(port, server.error().message);
  }
}

std::vector<std::string> HealthChecks::problems() const {
  std::vector<std::string> lines;
  for (const auto& [port, why] : troubles_) {
    const auto check = checks_.find(port);
    lines.push_back(check == checks_.end() ? "healthz_port: " + why
                                           : "service " + check->second.space + "/" + check->second.name +
                                                 ": healthCheckNodePort: " + why);
  }
  return lines;
}

void HealthChecks::stop() {
  for (const auto& [port, server] : servers_) server->stop();
}

WebReply HealthChecks::answer(std::uint16_t port) const {
  const auto& check = checks_.at(port);
  const nlohmann::ordered_json body{{"service", {{"namespace", check.space}, {"name", check.name}}},
                                    {"localEndpoints", check.endpoints},
                                    {"serviceProxyHealthy", node_.healthy}};
  return {.status = node_.healthy && check.endpoints > 0 ? 200U : 503U,
          .body = body.dump(2) + "\n",
          .content_type = "application/json",
          .headers = {{"X-Content-Type-Options", "nosniff"},
                      {"X-Load-Balancing-Endpoint-Weight", std::to_string(check.endpoints)}}};
}

WebReply HealthChecks::answer_for_proxy(std::string_view path) const {
  if (path != "/healthz" && path != "/livez") return {.status = 404, .body = "only /healthz and /livez\n"};
  const nlohmann::json body{{"serviceProxyHealthy", node_.healthy}, {"nodeLeaves", node_.leaving}};
  const bool well = node_.healthy && (!node_.leaving || path == "/livez");
  return {.status = well ? 200U : 503U,
          .body = body.dump() + "\n",
          .content_type = "application/json",
          .headers = {{"X-Content-Type-Options", "nosniff"}}};
}

}  // namespace netkite::api
