// SPDX-License-Identifier: Apache-2.0
// The other end of the agent's socket, as blunt as tests need it.
#pragma once

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "common/base/unique_fd.hpp"

namespace netkite::api::testing {

class Client {
 public:
  explicit Client(const std::string& path) : socket_(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof(address.sun_path) - 1);
    connected = ::connect(socket_.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0;
  }

  bool send(const std::string& message, const std::vector<int>& descriptors = {}) {
    iovec data{.iov_base = const_cast<char*>(message.data()), .iov_len = message.size()};
    std::vector<char> control(CMSG_SPACE(sizeof(int) * descriptors.size()));
    msghdr header{};
    header.msg_iov = &data;
    header.msg_iovlen = 1;
    if (!descriptors.empty()) {
      header.msg_control = control.data();
      header.msg_controllen = control.size();
      cmsghdr* part = CMSG_FIRSTHDR(&header);
      part->cmsg_level = SOL_SOCKET;
      part->cmsg_type = SCM_RIGHTS;
      part->cmsg_len = CMSG_LEN(sizeof(int) * descriptors.size());
      std::memcpy(CMSG_DATA(part), descriptors.data(), sizeof(int) * descriptors.size());
    }
    return ::sendmsg(socket_.get(), &header, MSG_NOSIGNAL) >= 0;
  }

  // Null when the agent has closed the connection or says nothing for `patience` milliseconds.
  nlohmann::json receive(int patience = 5000) {
    pollfd wait{.fd = socket_.get(), .events = POLLIN, .revents = 0};
    if (::poll(&wait, 1, patience) != 1) return nullptr;
    std::string buffer(1 << 17, '\0');
    const ssize_t got = ::recv(socket_.get(), buffer.data(), buffer.size(), 0);
    if (got <= 0) return nullptr;
    last_size = static_cast<std::size_t>(got);
    return nlohmann::json::parse(buffer.substr(0, last_size), nullptr, false);
  }

  nlohmann::json call(const std::string& op, nlohmann::json fields = nlohmann::json::object(),
                      const std::vector<int>& descriptors = {}) {
    fields["op"] = op;
    if (!send(fields.dump(), descriptors)) return nullptr;
    return receive();
  }

  // Within `patience` milliseconds.
  bool closed(int patience = 5000) {
    pollfd wait{.fd = socket_.get(), .events = POLLIN, .revents = 0};
    if (::poll(&wait, 1, patience) != 1) return false;
    char byte = 0;
    return ::recv(socket_.get(), &byte, 1, 0) <= 0;
  }
  void close() { socket_.reset(); }

  bool connected = false;
  std::size_t last_size = 0;

 private:
  UniqueFd socket_;
};

}  // namespace netkite::api::testing
