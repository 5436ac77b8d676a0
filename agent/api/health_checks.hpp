// SPDX-License-Identifier: Apache-2.0
// What load balancers ask a node about services with externalTrafficPolicy Local: whether it has endpoints of one. Each
// service has a port for that, its healthCheckNodePort, on all addresses of the node.
// The answers are kube-proxy's: 200 with endpoints, else 503, and the count as JSON and as the header
// X-Load-Balancing-Endpoint-Weight (KEP-4444 names its readers), whatever the path.
#pragma once

#include <boost/asio/io_context.hpp>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "agent/api/web_server.hpp"
#include "agent/service/registry.hpp"

namespace netkite::api {

class HealthChecks {
 public:
  using Checks = std::map<std::uint16_t, service::HealthCheck>;  // by port

  explicit HealthChecks(boost::asio::io_context& context) : context_(context) {}

  // Listens on these ports and no others. Ports that could not be had before are tried again.
  void follow(Checks checks);
  // A line for each port that cannot be had.
  [[nodiscard]] std::vector<std::string> problems() const;
  void stop();

 private:
  [[nodiscard]] WebReply answer(std::uint16_t port) const;

  boost::asio::io_context& context_;
  Checks checks_;
  std::map<std::uint16_t, std::shared_ptr<WebServer>> servers_;
  std::map<std::uint16_t, std::string> troubles_;
};

}  // namespace netkite::api
