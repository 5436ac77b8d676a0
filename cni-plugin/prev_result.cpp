// SPDX-License-Identifier: Apache-2.0
#include "cni-plugin/prev_result.hpp"

#include <string_view>
#include <utility>

#include "cni-plugin/cni_args.hpp"
#include "cni-plugin/json_field.hpp"

namespace netkite::cni {
namespace {

using nlohmann::json;

std::string text_of(const json& object, std::string_view key) {
  const auto* value = find(object, key);
  return value != nullptr && value->is_string() ? value->get<std::string>() : "";
}

Outcome<void> convert_ips(json& ips, SpecVersion version) {
  for (auto& entry : ips) {
    auto address = parse_wanted_ip(text_of(entry, "address"));
    if (!address) return refuse(ErrorCode::config, "prevResult.ips[].address: " + address.error().message);
    entry.erase("version");
    if (version < SpecVersion::v1_0_0) entry["version"] = address->is_v4() ? "4" : "6";
  }
  return {};
}

// The index of the pod's interface in prevResult.interfaces.
Outcome<std::size_t> find_interface(const json& interfaces, const std::string& ifname) {
  for (std::size_t i = 0; i < interfaces.size(); ++i) {
    if (text_of(interfaces[i], "name") == ifname && !text_of(interfaces[i], "sandbox").empty()) return i;
  }
  return refuse(ErrorCode::config, "prevResult.interfaces does not list CNI_IFNAME " + ifname + " with a sandbox");
}

}  // namespace

Outcome<json> convert_prev_result(const json& prev, SpecVersion version) {
  json result = prev.is_object() ? prev : json::object();
  result["cniVersion"] = to_string(version);
  for (const char* key : {"interfaces", "ips", "routes"}) {
    auto& list = result[key];
    if (list.is_null()) list = json::array();
    const std::string field = std::string("prevResult.") + key;
    if (!list.is_array()) return bad_field(field, list, "it must be an array");
    for (const auto& entry : list) {
      if (!entry.is_object()) return bad_field(field, list, "it must be an array of objects");
    }
  }
  if (auto converted = convert_ips(result["ips"], version); !converted) return tl::make_unexpected(converted.error());
  return result;
}

Outcome<Expected> read_expected(const json& prev, const std::string& ifname) {
  auto result = convert_prev_result(prev, kNewestVersion);
  if (!result) return tl::make_unexpected(result.error());
  const auto& interfaces = (*result)["interfaces"];
  const auto index = find_interface(interfaces, ifname);
  if (!index) return tl::make_unexpected(index.error());

  Expected expected;
  for (const auto& entry : interfaces) {
    if (text_of(entry, "sandbox").empty()) expected.host_interfaces.push_back(text_of(entry, "name"));
  }
  for (const auto& entry : (*result)["ips"]) {
    const auto* interface = find(entry, "interface");
    if (interface == nullptr || *interface != *index) continue;
    auto address = parse_wanted_ip(text_of(entry, "address"));
    if (!address) return refuse(ErrorCode::config, "prevResult.ips[].address: " + address.error().message);
    expected.addresses.push_back(*address);
  }
  for (const auto& route : (*result)["routes"]) {
    const std::string destination = text_of(route, "dst");
    if (destination == "0.0.0.0/0") expected.default4 = true;
    if (destination == "::/0") expected.default6 = true;
  }
  return expected;
}

}  // namespace netkite::cni
