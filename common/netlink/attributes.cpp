// SPDX-License-Identifier: Apache-2.0
#include "common/netlink/attributes.hpp"

namespace netkite::netlink {

std::string Attributes::text(int type) const {
  const auto payload = find(type);
  if (!payload || payload->empty()) return {};
  const auto* chars = reinterpret_cast<const char*>(payload->data());
  return {chars, ::strnlen(chars, payload->size())};
}

std::optional<Ip> Attributes::ip(int type) const {
  const auto payload = find(type);
  if (!payload) return std::nullopt;
  const auto ip = Ip::from_bytes(*payload);
  return ip ? std::optional(*ip) : std::nullopt;
}

std::optional<Mac> Attributes::mac(int type) const {
  const auto bytes = value<std::array<std::uint8_t, 6>>(type);
  return bytes ? std::optional(Mac{.bytes = *bytes}) : std::nullopt;
}

}  // namespace netkite::netlink
