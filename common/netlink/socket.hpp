// SPDX-License-Identifier: Apache-2.0
// A netlink socket, bound to the network namespace it was opened in. Blocking; not for sharing between threads.
#pragma once

#include <linux/netlink.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "common/base/ip.hpp"
#include "common/base/result.hpp"

struct nl_sock;
struct nl_msg;

namespace netkite::netlink {

// A request under construction, over libnl's nl_msg. What does not fit is remembered: sending then fails (invalid).
class Message {
 public:
  Message(int type, int flags);
  Message(Message&&) noexcept;
  Message& operator=(Message&&) noexcept;
  ~Message();
  [[nodiscard]] nl_msg* raw() const { return message_; }
  [[nodiscard]] bool complete() const { return complete_; }

  // The family's fixed header (ifinfomsg, rtmsg …), also at the start of some nested attributes.
  template <typename Header>
  void header(const Header& header) {
    append(&header, sizeof(header));
  }
  // Attributes, in the order of the calls.
  void put(int type, const void* data, std::size_t size);
  void put_u8(int type, std::uint8_t value) { put(type, &value, sizeof(value)); }
  void put_u32(int type, std::uint32_t value) { put(type, &value, sizeof(value)); }
  void put_string(int type, const std::string& text) { put(type, text.c_str(), text.size() + 1); }
  void put_ip(int type, const Ip& ip) { put(type, ip.bytes().data(), ip.bytes().size()); }
  void put_mac(int type, const Mac& mac) { put(type, mac.bytes.data(), mac.bytes.size()); }

  // Attributes put while it lives go into the attribute `type`.
  class Nest {
   public:
    Nest(Message& message, int type);
    Nest(const Nest&) = delete;
    Nest& operator=(const Nest&) = delete;
    ~Nest();

   private:
    Message& message_;
    nlattr* start_;
  };

 private:
  void append(const void* data, std::size_t size);

  nl_msg* message_;
  bool complete_ = true;
};

class Socket {
 public:
  // In the calling thread's network namespace.
  [[nodiscard]] static Result<Socket> open(int protocol = NETLINK_ROUTE);
  // In the namespace behind `netns_fd`, through a short-lived thread: the caller's thread never changes namespace.
  [[nodiscard]] static Result<Socket> open_in(int netns_fd);

  Socket(Socket&&) noexcept;
  Socket& operator=(Socket&&) noexcept;
  ~Socket();

  // Send and wait for the acknowledgement. The error carries the kernel's extended-ack text where there is one.
  [[nodiscard]] Result<void> request(const Message& message, std::string_view what);
  // Send; call `each` for every answer until the end of the dump (or the single answer).
  // A dump that the kernel marks as inconsistent (something changed meanwhile) fails with EINTR.
  [[nodiscard]] Result<void> query(const Message& message, std::string_view what,
                                   const std::function<void(const nlmsghdr&)>& each);
  // For a request that the kernel carries out, announces (NLM_F_ECHO) and then spends time on nobody has to wait for:
  // a child process sends it, and this returns at the announcement, or the refusal. The child ends by itself. Only for
  // programs with one thread that end soon.
  [[nodiscard]] Result<void> request_early(const Message& message, std::string_view what);
  [[nodiscard]] int fd() const;

 private:
  explicit Socket(nl_sock* socket) : socket_(socket) {}
  nl_sock* socket_ = nullptr;
};

}  // namespace netkite::netlink
