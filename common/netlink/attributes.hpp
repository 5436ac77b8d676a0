// SPDX-License-Identifier: Apache-2.0
// Reading netlink attributes (struct nlattr) out of a received message. Views only: the message must outlive them.
// Lookups scan: messages have a few dozen attributes and each is asked for once.
#pragma once

#include <linux/netlink.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string>

#include "common/base/ip.hpp"

namespace netkite::netlink {

class Attributes {
 public:
  explicit Attributes(std::span<const std::byte> bytes) : bytes_(bytes) {}

  // Calls each(type, payload) in message order. Stops at the first attribute that does not fit.
  template <typename Each>
  void for_each(const Each& each) const {
    auto rest = bytes_;
    nlattr header{};
    while (rest.size() >= sizeof(header)) {
      std::memcpy(&header, rest.data(), sizeof(header));
      if (header.nla_len < sizeof(header) || header.nla_len > rest.size()) return;
      each(static_cast<int>(header.nla_type & NLA_TYPE_MASK), rest.first(header.nla_len).subspan(sizeof(header)));
      rest = rest.subspan(std::min<std::size_t>(NLA_ALIGN(header.nla_len), rest.size()));
    }
  }

  [[nodiscard]] std::optional<std::span<const std::byte>> find(int type) const {
    std::optional<std::span<const std::byte>> found;
    for_each([&](int each_type, std::span<const std::byte> payload) {
      if (each_type == type) found = payload;
    });
    return found;
  }

  // The attributes nested in `type`; none when it is absent.
  [[nodiscard]] Attributes nested(int type) const {
    return Attributes(find(type).value_or(std::span<const std::byte>{}));
  }

  // A number, or any other plain value of exactly that size.
  template <typename T>
  [[nodiscard]] std::optional<T> value(int type) const {
    const auto payload = find(type);
    if (!payload || payload->size() != sizeof(T)) return std::nullopt;
    T value{};
    std::memcpy(&value, payload->data(), sizeof(T));
    return value;
  }

  [[nodiscard]] std::string text(int type) const;      // empty when absent
  [[nodiscard]] std::optional<Ip> ip(int type) const;  // 4 or 16 bytes
  [[nodiscard]] std::optional<Mac> mac(int type) const;

 private:
  std::span<const std::byte> bytes_;
};

// A message's family header and what follows it; nothing when the message is too short.
template <typename Header>
struct Parsed {
  Header header;
  Attributes attributes;
};
template <typename Header>
[[nodiscard]] std::optional<Parsed<Header>> parse(const nlmsghdr& message) {
  if (message.nlmsg_len < NLMSG_LENGTH(sizeof(Header))) return std::nullopt;
  const std::span<const std::byte> bytes{reinterpret_cast<const std::byte*>(&message), message.nlmsg_len};
  Header header{};
  std::memcpy(&header, bytes.data() + NLMSG_HDRLEN, sizeof(header));
  const std::size_t start = std::min<std::size_t>(NLMSG_SPACE(sizeof(header)), bytes.size());
  return Parsed<Header>{.header = header, .attributes = Attributes(bytes.subspan(start))};
}

}  // namespace netkite::netlink
