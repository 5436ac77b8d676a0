// SPDX-License-Identifier: Apache-2.0
// A client of HTTP servers on the loopback address that says exactly what a test wants.
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <cstdint>
#include <string>

#include "common/base/unique_fd.hpp"

namespace netkite::api::testing {

// Invalid when nobody listens.
inline UniqueFd connect_to(std::uint16_t port) {
  UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in place{};
  place.sin_family = AF_INET;
  place.sin_port = htons(port);
  place.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(fd.get(), reinterpret_cast<sockaddr*>(&place), sizeof place) != 0) fd.reset();
  return fd;
}

// Until the server closes.
inline std::string read_all(const UniqueFd& fd) {
  std::string got;
  char piece[4096];
  for (ssize_t n = 0; (n = ::recv(fd.get(), piece, sizeof piece, 0)) > 0;)
    got.append(piece, static_cast<std::size_t>(n));
  return got;
}

inline std::string ask(const UniqueFd& fd, const std::string& request) {
  EXPECT_EQ(::send(fd.get(), request.data(), request.size(), MSG_NOSIGNAL), static_cast<ssize_t>(request.size()));
  return read_all(fd);
}

inline std::string fetch(std::uint16_t port, const std::string& request) {
  const auto fd = connect_to(port);
  EXPECT_TRUE(fd.valid());
  return ask(fd, request);
}

}  // namespace netkite::api::testing
