// SPDX-License-Identifier: Apache-2.0
#include "cni-plugin/net_conf.hpp"

#include <sys/un.h>

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

#include "cni-plugin/json_field.hpp"
#include "cni-plugin/names.hpp"

namespace netkite::cni {
namespace {

// Keys of the specification and of runtimes; besides these, agentSocket and cni.dev/*.
constexpr std::array<std::string_view, 14> kKnownKeys = {
    "cniVersion", "cniVersions", "name",         "type",      "capabilities",           "runtimeConfig", "prevResult",
    "args",       "dns",         "disableCheck", "disableGC", "loadOnlyInlinedPlugins", "ipam",          "agentSocket"};

Outcome<void> check_keys(const nlohmann::json& json) {
  for (const auto& [key, value] : json.items()) {
    if (key.starts_with("cni.dev/")) continue;
    if (std::find(kKnownKeys.begin(), kKnownKeys.end(), key) != kKnownKeys.end()) continue;
    return bad_field(key, value, "there is no such key, remove it");
  }
  return {};
}

Outcome<void> check_objects(const nlohmann::json& json) {
  for (const std::string_view key : {"capabilities", "runtimeConfig", "args", "prevResult"}) {
    const auto* value = find(json, key);
    if (value != nullptr && !value->is_object()) return bad_field(key, *value, "it must be an object");
  }
  const auto* ipam = find(json, "ipam");
  if (ipam != nullptr && !(ipam->is_object() && ipam->empty())) {
    return refuse(ErrorCode::unsupported_field,
                  "ipam is " + show(*ipam) + ": addresses come from the agent's pools, remove it");
  }
  return {};
}

Outcome<void> read_identity(const nlohmann::json& json, NetConf& conf) {
  const auto* name = find(json, "name");
  if (name == nullptr) return refuse(ErrorCode::config, "name is missing: give the network a name");
  if (!name->is_string() || !is_name(name->get_ref<const std::string&>())) {
    return bad_field("name", *name, kNameRule);
  }
  conf.name = name->get<std::string>();

  const auto* socket = find(json, "agentSocket");
  if (socket == nullptr) return {};
  constexpr std::string_view kRule = "it must be an absolute path of at most 107 bytes";
  if (!socket->is_string()) return bad_field("agentSocket", *socket, kRule);
  const auto& path = socket->get_ref<const std::string&>();
  const bool fits = path.size() < sizeof(sockaddr_un::sun_path) && path.find('\0') == std::string::npos;
  if (!fits || !path.starts_with('/')) return bad_field("agentSocket", *socket, kRule);
  conf.agent_socket = path;
  return {};
}

Outcome<void> check_type(const nlohmann::json& json) {
  const auto* type = find(json, "type");
  if (type == nullptr) return refuse(ErrorCode::config, "type is missing: it must be the plugin's file name");
  if (!type->is_string() || type->get_ref<const std::string&>().empty()) {
    return bad_field("type", *type, "it must be the plugin's file name");
  }
  return {};
}

Outcome<wire::Attachment> read_attachment(const nlohmann::json& json, const std::string& field) {
  if (!json.is_object()) return bad_field(field, json, "it must be an object with containerID and ifname");
  wire::Attachment attachment;
  const auto* id = find(json, "containerID");
  if (id == nullptr) return refuse(ErrorCode::config, field + ".containerID is missing");
  if (!id->is_string() || !is_name(id->get_ref<const std::string&>())) {
    return bad_field(field + ".containerID", *id, kNameRule);
  }
  const auto* ifname = find(json, "ifname");
  if (ifname == nullptr) return refuse(ErrorCode::config, field + ".ifname is missing");
  if (!ifname->is_string() || !wire::is_valid_ifname(ifname->get_ref<const std::string&>())) {
    return bad_field(field + ".ifname", *ifname, kIfnameRule);
  }
  attachment.container_id = id->get<std::string>();
  attachment.ifname = ifname->get<std::string>();
  return attachment;
}

// One bad entry refuses all of it: a misread list would remove living pods.
Outcome<std::vector<wire::Attachment>> read_valid_attachments(const nlohmann::json& json) {
  std::string field = "cni.dev/valid-attachments";
  if (!json.contains(field)) field = "cni.dev/attachments";  // the name in early 1.1 runtimes
  if (!json.contains(field)) {
    return refuse(ErrorCode::config, "cni.dev/valid-attachments is missing: nothing is removed without it");
  }
  std::vector<wire::Attachment> attachments;
  const auto& list = json.at(field);
  if (list.is_null()) return attachments;
  if (!list.is_array()) return bad_field(field, list, "it must be an array");
  for (std::size_t i = 0; i < list.size(); ++i) {
    auto attachment = read_attachment(list[i], field + "[" + std::to_string(i) + "]");
    if (!attachment) return tl::make_unexpected(attachment.error());
    attachments.push_back(std::move(*attachment));
  }
  return attachments;
}

Outcome<void> read_details(const nlohmann::json& json, Command command, NetConf& conf) {
  if (auto checked = check_type(json); !checked) return checked;
  if (auto checked = check_keys(json); !checked) return checked;
  if (auto checked = check_objects(json); !checked) return checked;
  auto wishes = read_wishes(json);
  if (!wishes) return tl::make_unexpected(wishes.error());
  conf.wishes = std::move(*wishes);
  if (command == Command::add) {
    auto limits = read_limits(json);
    if (!limits) return tl::make_unexpected(limits.error());
    conf.limits = *limits;
  }
  auto dns = read_dns(json);
  if (!dns) return tl::make_unexpected(dns.error());
  conf.dns = std::move(*dns);
  if (const auto* prev = find(json, "prevResult"); prev != nullptr) conf.prev_result = *prev;
  if (command != Command::gc) return {};
  auto attachments = read_valid_attachments(json);
  if (!attachments) return tl::make_unexpected(attachments.error());
  conf.valid_attachments = std::move(*attachments);
  return {};
}

}  // namespace

Outcome<SpecVersion> read_version(const nlohmann::json& json) {
  const auto* value = find(json, "cniVersion");
  if (value == nullptr) return kDefaultVersion;
  if (!value->is_string()) return bad_field("cniVersion", *value, "it must be a string");
  const auto version = parse_version(value->get_ref<const std::string&>());
  if (version) return *version;
  return refuse(ErrorCode::version, "cniVersion " + show(*value) + " is not supported: use one of " + list_versions());
}

Outcome<void> check_verb(Command command, SpecVersion version) {
  SpecVersion since = SpecVersion::v0_1_0;
  if (command == Command::check) since = SpecVersion::v0_4_0;
  if (command == Command::gc || command == Command::status) since = SpecVersion::v1_1_0;
  if (version >= since) return {};
  std::string message(to_string(command));
  message.append(" needs cniVersion ").append(to_string(since)).append(" or later: the network configuration has ");
  return refuse(ErrorCode::version, message.append(to_string(version)));
}

Outcome<NetConf> read_net_conf(const nlohmann::json& json, Command command, SpecVersion version) {
  NetConf conf;
  conf.version = version;
  if (auto read = read_identity(json, conf); !read) return tl::make_unexpected(read.error());
  if (command == Command::del) return conf;
  if (auto read = read_details(json, command, conf); !read) return tl::make_unexpected(read.error());
  return conf;
}

}  // namespace netkite::cni
