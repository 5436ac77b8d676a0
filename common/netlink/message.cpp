// SPDX-License-Identifier: Apache-2.0
#include <netlink/attr.h>
#include <netlink/msg.h>

#include <utility>

#include "common/netlink/socket.hpp"

namespace netkite::netlink {

Message::Message(int type, int flags) : message_(nlmsg_alloc_simple(type, flags)), complete_(message_ != nullptr) {}

Message::Message(Message&& other) noexcept
    : message_(std::exchange(other.message_, nullptr)), complete_(std::exchange(other.complete_, false)) {}

Message& Message::operator=(Message&& other) noexcept {
  std::swap(message_, other.message_);
  std::swap(complete_, other.complete_);
  return *this;
}

Message::~Message() {
  if (message_ != nullptr) nlmsg_free(message_);
}

void Message::append(const void* data, std::size_t size) {
  // nlmsg_append copies from `data`; its parameter only lacks the const.
  complete_ = complete_ && nlmsg_append(message_, const_cast<void*>(data), size, NLMSG_ALIGNTO) == 0;
}

void Message::put(int type, const void* data, std::size_t size) {
  complete_ =
      complete_ && size <= UINT16_MAX - sizeof(nlattr) && nla_put(message_, type, static_cast<int>(size), data) == 0;
}

Message::Nest::Nest(Message& message, int type)
    : message_(message), start_(message.complete_ ? nla_nest_start(message.message_, type | NLA_F_NESTED) : nullptr) {
  message_.complete_ = start_ != nullptr;
}

Message::Nest::~Nest() {
  if (start_ != nullptr) nla_nest_end(message_.message_, start_);
}

}  // namespace netkite::netlink
