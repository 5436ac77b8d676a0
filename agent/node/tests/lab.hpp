// SPDX-License-Identifier: Apache-2.0
// A fresh network namespace for every test, and short words for what the tests put into it.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "agent/config/options.hpp"
#include "common/netlink/address.hpp"
#include "common/netlink/link_veth.hpp"
#include "common/netlink/route.hpp"

namespace netkite::node {

[[nodiscard]] Ip ip(const std::string& text);
[[nodiscard]] Cidr cidr(const std::string& text);

class Lab : public testing::Test {
 protected:
  void SetUp() override;

  [[nodiscard]] netlink::Socket& socket() { return *socket_; }
  // An up device (with its other end, "<name>x", up as well) and its index.
  std::uint32_t add_device(const std::string& name, std::uint32_t mtu = 1500);
  void add_address(std::uint32_t device, const std::string& prefix);
  void add_route(const std::string& destination, std::uint32_t device, const std::string& gateway = "",
                 std::uint8_t protocol = 4);
  // Main-table routes of a protocol, as "destination via gateway dev index" or "unreachable destination".
  [[nodiscard]] std::vector<std::string> routes(std::uint8_t protocol);

 private:
  std::unique_ptr<netlink::Socket> socket_;
};

}  // namespace netkite::node
