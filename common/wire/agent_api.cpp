// SPDX-License-Identifier: Apache-2.0
#include "common/wire/agent_api.hpp"

#include <algorithm>
#include <array>

#include "common/base/hash.hpp"

namespace netkite::wire {
namespace {

constexpr std::array kDeviceModes{DeviceMode::netkit, DeviceMode::netkit_l2, DeviceMode::veth};
constexpr std::array kCodes{Code::invalid,     Code::not_found,   Code::exists, Code::exhausted,
                            Code::unavailable, Code::unsupported, Code::denied, Code::io};

// Independent of the locale, unlike isalnum().
bool is_alphanumeric(char c) { return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z'); }

}  // namespace

std::string_view to_string(DeviceMode mode) {
  switch (mode) {
    case DeviceMode::netkit:
      return "netkit";
    case DeviceMode::netkit_l2:
      return "netkit-l2";
    case DeviceMode::veth:
      return "veth";
  }
  return "netkit";
}

Result<DeviceMode> parse_device_mode(std::string_view text) {
  const auto* const found = std::ranges::find(kDeviceModes, text, [](DeviceMode mode) { return to_string(mode); });
  if (found != kDeviceModes.end()) return *found;
  return fail(Code::invalid, "not a device mode: netkit, netkit-l2 or veth");
}

std::string host_ifname(const Attachment& attachment) {
  std::string seed = attachment.network;
  seed += '\0';
  seed += attachment.container_id;
  seed += '\0';
  seed += attachment.ifname;
  std::uint64_t hash = hash48(seed);
  std::string name = "nk000000000000";
  for (std::size_t i = name.size(); i-- > 2; hash >>= 4U) name[i] = "0123456789abcdef"[hash & 0xfU];
  return name;
}

Result<nlohmann::json> parse_object(std::string_view message) {
  auto json = nlohmann::json::parse(message, nullptr, /*allow_exceptions=*/false);
  if (json.is_discarded()) return fail(Code::invalid, "the message is not JSON");
  if (!json.is_object()) return fail(Code::invalid, "the message must be an object");
  return json;
}

Result<nlohmann::json> unpack_reply(std::string_view message) {
  const auto malformed = [] { return fail(Code::io, "the agent's reply is malformed"); };
  auto reply = parse_object(message);
  if (!reply) return malformed();
  const auto ok = reply->find("ok");
  if (ok == reply->end() || !ok->is_boolean()) return malformed();
  if (ok->get<bool>()) {
    reply->erase(ok);
    return reply;
  }
  const auto error = reply->find("error");
  if (error == reply->end() || !error->is_object()) return malformed();
  const auto code = error->find("code");
  const auto text = error->find("message");
  if (code == error->end() || !code->is_string() || text == error->end() || !text->is_string()) return malformed();
  const auto* const known = std::ranges::find(kCodes, code->get_ref<const std::string&>(),
                                              [](Code each) { return netkite::to_string(each); });
  // A code of a newer agent is still an error.
  return fail(known != kCodes.end() ? *known : Code::io, text->get<std::string>());
}

bool is_valid_name(std::string_view name) {
  if (name.empty() || !is_alphanumeric(name.front())) return false;
  return std::ranges::all_of(name, [](char c) { return is_alphanumeric(c) || c == '_' || c == '.' || c == '-'; });
}

bool is_valid_ifname(std::string_view name) {
  constexpr std::size_t kLongest = 15;  // IFNAMSIZ without the final zero
  if (name.empty() || name.size() > kLongest || name == "." || name == "..") return false;
  // The kernel takes '%' for a pattern to be filled in: the device would get another name than the one asked for.
  return std::ranges::all_of(name, [](char c) { return c > ' ' && c < 0x7f && c != '/' && c != ':' && c != '%'; });
}

}  // namespace netkite::wire
