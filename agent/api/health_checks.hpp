// SPDX-License-Identifier: Apache-2.0
// What load balancers ask a node. About services with externalTrafficPolicy Local: whether it has endpoints of one.
// Each service has a port for that, its healthCheckNodePort, on all addresses of the node. The answers are
// kube-proxy's: 200 with endpoints while services are served, else 503, and the count as JSON and as the header
// X-Load-Balancing-Endpoint-Weight (KEP-4444 names its readers), whatever the path. About the rest: whether the node
// serves services at all, at the paths /healthz and /livez of one more port; the first, which load balancers ask, says
// no as well when the node is about to go (KEP-3836).
#pragma once

#include <boost/asio/io_context.hpp>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "agent/api/web_server.hpp"
#include "agent/service/registry.hpp"

namespace netkite::api {

class HealthChecks {
 public:
  using Checks = std::map<std::uint16_t, service::HealthCheck>;  // by port

  // `proxy_port`: that for the rest; 0: none.
  HealthChecks(boost::asio::io_context& context, std::uint16_t proxy_port)
      : context_(context), proxy_port_(proxy_port) {}

  struct NodeHealth {
    bool healthy = false;  // what the cluster says is in force here
    bool leaving = false;  // nobody new is to be sent here
  };
  // Listens on these ports and no others. Ports that could not be had before are tried again.
  void follow(Checks checks, NodeHealth node);
  // A line for each port that cannot be had.
  [[nodiscard]] std::vector<std::string> problems() const;
  void stop();

 private:
  void listen(std::uint16_t port, WebServer::Answer answer);
  [[nodiscard]] WebReply answer(std::uint16_t port) const;
  [[nodiscard]] WebReply answer_for_proxy(std::string_view path) const;

  boost::asio::io_context& context_;
  std::uint16_t proxy_port_;
  NodeHealth node_;
  Checks checks_;
  std::map<std::uint16_t, std::shared_ptr<WebServer>> servers_;
  std::map<std::uint16_t, std::string> troubles_;
};

}  // namespace netkite::api
