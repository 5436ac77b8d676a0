// SPDX-License-Identifier: Apache-2.0
#include "cni-plugin/runtime_config.hpp"

#include <array>
#include <string_view>
#include <utility>

#include "cni-plugin/cni_args.hpp"
#include "cni-plugin/json_field.hpp"
#include "cni-plugin/port_mappings.hpp"

namespace netkite::cni {
namespace {

Outcome<std::vector<Ip>> read_ips(const nlohmann::json& list, const std::string& field) {
  auto texts = string_list(list, field);
  if (!texts) return tl::make_unexpected(texts.error());
  constexpr std::size_t kMost = 16;
  if (texts->size() > kMost) return bad_field(field, list, "it may have at most 16 addresses");
  std::vector<Ip> ips;
  for (std::size_t i = 0; i < texts->size(); ++i) {
    auto address = parse_wanted_ip((*texts)[i]);
    if (!address) {
      return refuse(ErrorCode::config, field + "[" + std::to_string(i) + "]: " + address.error().message);
    }
    ips.push_back(*address);
  }
  return ips;
}

// Present, and neither null nor empty.
bool has_any(const nlohmann::json* runtime, std::string_view capability) {
  const auto* wish = runtime == nullptr ? nullptr : find(*runtime, capability);
  return wish != nullptr && !wish->empty();
}

Outcome<std::uint64_t> read_bits(const nlohmann::json& bandwidth, std::string_view key) {
  const auto* value = find_any_case(bandwidth, key);
  if (value == nullptr) return 0;
  // From JSON's text: what is not negative is unsigned.
  if (!value->is_number_unsigned()) {
    return bad_field("runtimeConfig.bandwidth." + std::string(key), *value, "it must be a whole number of bits");
  }
  return value->get<std::uint64_t>();
}

// One direction; 0 and 0: no limit.
Outcome<void> read_limit(const nlohmann::json& bandwidth, std::string_view direction, std::uint64_t& rate,
                         std::uint64_t& burst) {
  const auto rate_key = std::string(direction) + "Rate", burst_key = std::string(direction) + "Burst";
  const auto read_rate = read_bits(bandwidth, rate_key), read_burst = read_bits(bandwidth, burst_key);
  if (!read_rate) return tl::make_unexpected(read_rate.error());
  if (!read_burst) return tl::make_unexpected(read_burst.error());
  rate = *read_rate;
  burst = *read_burst;
  if (rate == 0 && burst == 0) return {};
  const auto field = [](const std::string& key) { return "runtimeConfig.bandwidth." + key; };
  if (rate < wire::kLeastRate || rate > wire::kMostRate) {
    return bad_field(field(rate_key), rate,
                     "it must be from " + std::to_string(wire::kLeastRate) + " to " + std::to_string(wire::kMostRate) +
                         " bits per second, beside a " + burst_key);
  }
  if (burst == 0 || burst > wire::kMostBurst) {
    return bad_field(
        field(burst_key), burst,
        "it must be from 1 to " + std::to_string(wire::kMostBurst) + " bits (4 GiB), beside a " + rate_key);
  }
  return {};
}

constexpr std::string_view kAnnotations = "io.kubernetes.cri.pod-annotations";
constexpr std::string_view kDeviceAnnotation = "netkite.io/device";

// Other annotations are other people's, whatever is in them.
Outcome<std::optional<wire::DeviceMode>> read_device(const nlohmann::json* runtime) {
  const auto* annotations = runtime == nullptr ? nullptr : find(*runtime, kAnnotations);
  if (annotations == nullptr) return std::nullopt;
  if (!annotations->is_object()) {
    return bad_field("runtimeConfig." + std::string(kAnnotations), *annotations, "it must be an object");
  }
  const auto* device = find(*annotations, kDeviceAnnotation);
  if (device == nullptr) return std::nullopt;
  const auto mode = wire::parse_device_mode(device->is_string() ? device->get_ref<const std::string&>() : "");
  if (mode) return *mode;
  return bad_field("the pod's annotation " + std::string(kDeviceAnnotation), *device,
                   R"(it must be "netkit", "netkit-l2" or "veth")");
}

struct DnsKey {
  std::string_view from, to;
};
constexpr std::array<DnsKey, 3> kConfLists = {
    {{"nameservers", "nameservers"}, {"search", "search"}, {"options", "options"}}};
constexpr std::array<DnsKey, 3> kCapabilityLists = {
    {{"servers", "nameservers"}, {"searches", "search"}, {"options", "options"}}};

Outcome<void> copy_lists(const nlohmann::json& dns, const std::string& field, const std::array<DnsKey, 3>& keys,
                         nlohmann::json& result) {
  for (const auto& [from, to] : keys) {
    const auto* list = find(dns, from);
    if (list == nullptr) continue;
    auto texts = string_list(*list, field + "." + std::string(from));
    if (!texts) return tl::make_unexpected(texts.error());
    if (!texts->empty()) result[std::string(to)] = *texts;
  }
  return {};
}

}  // namespace

Outcome<Wishes> read_wishes(const nlohmann::json& conf) {
  Wishes wishes;
  const nlohmann::json* list = nullptr;
  const auto* runtime = find(conf, "runtimeConfig");
  if (runtime != nullptr) list = find(*runtime, "ips");
  wishes.ips_field = "runtimeConfig.ips";
  if (list == nullptr || list->empty()) {
    const auto* args = find(conf, "args");
    const auto* cni = args == nullptr ? nullptr : find(*args, "cni");
    if (cni != nullptr && !cni->is_object()) return bad_field("args.cni", *cni, "it must be an object");
    list = cni == nullptr ? nullptr : find(*cni, "ips");
    wishes.ips_field = "args.cni.ips";
  }
  if (list != nullptr) {
    auto ips = read_ips(*list, wishes.ips_field);
    if (!ips) return tl::make_unexpected(ips.error());
    wishes.ips = std::move(*ips);
  }

  if (const auto* ports = runtime == nullptr ? nullptr : find(*runtime, "portMappings"); ports != nullptr) {
    auto mappings = read_port_mappings(*ports, "runtimeConfig.portMappings");
    if (!mappings) return tl::make_unexpected(mappings.error());
    wishes.port_mappings = *std::move(mappings);
  }
  auto device = read_device(runtime);
  if (!device) return tl::make_unexpected(device.error());
  wishes.device = *device;

  const auto* mac = runtime == nullptr ? nullptr : find(*runtime, "mac");
  if (mac == nullptr || (mac->is_string() && mac->get_ref<const std::string&>().empty())) return wishes;
  wishes.mac_field = "runtimeConfig.mac";
  if (!mac->is_string()) return bad_field(wishes.mac_field, *mac, "it must be a string");
  auto parsed = Mac::parse(mac->get_ref<const std::string&>());
  if (!parsed) return refuse(ErrorCode::config, wishes.mac_field + ": " + parsed.error().message);
  wishes.mac = *parsed;
  return wishes;
}

Outcome<std::optional<wire::Bandwidth>> read_limits(const nlohmann::json& conf) {
  const auto* runtime = find(conf, "runtimeConfig");
  if (!has_any(runtime, "bandwidth")) return std::nullopt;
  const auto* wish = find(*runtime, "bandwidth");
  if (!wish->is_object()) return bad_field("runtimeConfig.bandwidth", *wish, "it must be an object");
  wire::Bandwidth limits;
  auto read = read_limit(*wish, "ingress", limits.ingress_rate, limits.ingress_burst);
  if (read) read = read_limit(*wish, "egress", limits.egress_rate, limits.egress_burst);
  if (!read) return tl::make_unexpected(read.error());
  return limits;
}

Outcome<nlohmann::json> read_dns(const nlohmann::json& conf) {
  nlohmann::json result = nlohmann::json::object();
  if (const auto* dns = find(conf, "dns"); dns != nullptr) {
    if (!dns->is_object()) return bad_field("dns", *dns, "it must be an object");
    if (auto copied = copy_lists(*dns, "dns", kConfLists, result); !copied) return tl::make_unexpected(copied.error());
    if (const auto* domain = find(*dns, "domain"); domain != nullptr) {
      if (!domain->is_string()) return bad_field("dns.domain", *domain, "it must be a string");
      if (!domain->get_ref<const std::string&>().empty()) result["domain"] = *domain;
    }
  }
  const auto* runtime = find(conf, "runtimeConfig");
  const auto* dns = runtime == nullptr ? nullptr : find(*runtime, "dns");
  if (dns == nullptr) return result;
  if (!dns->is_object()) return bad_field("runtimeConfig.dns", *dns, "it must be an object");
  if (auto copied = copy_lists(*dns, "runtimeConfig.dns", kCapabilityLists, result); !copied) {
    return tl::make_unexpected(copied.error());
  }
  return result;
}

}  // namespace netkite::cni
