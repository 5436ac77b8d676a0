// SPDX-License-Identifier: Apache-2.0
#include "agent/kube/node.hpp"

#include <algorithm>

#include "agent/kube/exchange.hpp"
#include "agent/kube/reading.hpp"

namespace netkite::kube {
namespace {

constexpr std::string_view kZone = "topology.kubernetes.io/zone";
constexpr std::string_view kNetworkUnavailable = "NetworkUnavailable";
constexpr std::size_t kMaxAddresses = 64;  // looked at: the kubelet reports a handful

constexpr std::string_view kLeavingTaint = "ToBeDeletedByClusterAutoscaler";

Json taints_of(const Json& object) { return member(member(object, "spec"), "taints"); }

bool has_taint(const Json& object, std::string_view key) {
  const auto taints = taints_of(object);
  return taints.is_array() &&
         std::ranges::any_of(taints, [key](const Json& taint) { return text_at(taint, "key") == key; });
}

Result<std::vector<Cidr>> ranges_of(const Json& spec) {
  auto texts = member(spec, "podCIDRs");
  if (!texts.is_array() || texts.empty()) {
    const auto one = text_at(spec, "podCIDR");
    texts = one.empty() ? Json::array() : Json::array({one});
  }
  std::vector<Cidr> ranges;
  for (const auto& text : texts) {
    if (!text.is_string()) return fail(Code::invalid, "spec.podCIDRs: it holds something that is no string");
    const auto range = Cidr::parse(text.get_ref<const std::string&>());
    if (!range) return wrap(range.error(), "spec.podCIDRs");
    ranges.push_back(*range);
  }
  return ranges;
}

Result<std::vector<Ip>> addresses_of(const Json& list) {
  std::vector<Ip> addresses;
  if (!list.is_array()) return addresses;
  for (std::size_t i = 0; i < std::min(list.size(), kMaxAddresses); ++i) {
    if (text_at(list[i], "type") != "InternalIP") continue;
    const auto address = Ip::parse(text_at(list[i], "address"));
    if (!address) return wrap(address.error(), "status.addresses");
    if (std::ranges::find(addresses, address->family(), &Ip::family) == addresses.end()) addresses.push_back(*address);
  }
  return addresses;
}

}  // namespace

Resource nodes() {
  Resource resource{.version = "v1",
                    .kind = "Node",
                    .path = "/api/v1/nodes",
                    .namespaced = false,
                    .selector = "",
                    .fields = {"metadata.creationTimestamp", "metadata.deletionTimestamp", "spec.podCIDR",
                               "spec.podCIDRs", "spec.taints.key", "status.addresses.type", "status.addresses.address",
                               "status.conditions.type", "status.conditions.status"}};
  resource.fields.add_keys({"metadata", "labels", kZone});
  return resource;
}

Result<Node> node_from(const Json& object) {
  Node node;
  const auto metadata = member(object, "metadata");
  node.name = text_at(metadata, "name");
  if (auto whole = check_whole(object); !whole) return wrap(whole.error(), "node " + node.name);
  node.created = text_at(metadata, "creationTimestamp");
  node.leaving = !text_at(metadata, "deletionTimestamp").empty() || has_taint(object, kLeavingTaint);
  node.zone = text_at(member(metadata, "labels"), kZone);
  auto ranges = ranges_of(member(object, "spec"));
  if (!ranges) return wrap(ranges.error(), "node " + node.name);
  auto addresses = addresses_of(member(member(object, "status"), "addresses"));
  if (!addresses) return wrap(addresses.error(), "node " + node.name);
  node.pod_ranges = *std::move(ranges);
  node.addresses = *std::move(addresses);
  return node;
}

NodeMarks marks_from(const Json& object) {
  NodeMarks marks;
  const auto taints = taints_of(object);
  for (std::size_t i = 0; taints.is_array() && i < taints.size(); ++i) {
    marks.taints.push_back(text_at(taints[i], "key") == kNotReadyTaint);
  }
  const auto conditions = member(member(object, "status"), "conditions");
  for (std::size_t i = 0; conditions.is_array() && i < conditions.size(); ++i) {
    if (text_at(conditions[i], "type") != kNetworkUnavailable) continue;
    marks.network_said = text_at(conditions[i], "status") == "False";
  }
  return marks;
}

std::vector<Request> requests_for(const std::string& name, const NodeMarks& marks, const std::string& now) {
  std::vector<Request> requests;
  const auto target = "/api/v1/nodes/" + percent_encoded(name);
  if (!marks.network_said) {
    const Json condition = {{"type", kNetworkUnavailable}, {"status", "False"},
                            {"reason", "NetkiteIsReady"},  {"message", "the pods' network works on this node"},
                            {"lastHeartbeatTime", now},    {"lastTransitionTime", now}};
    requests.push_back({.target = target + "/status",
                        .patch = kStrategicPatch,
                        .body = Json{{"status", {{"conditions", Json::array({condition})}}}}.dump()});
  }
  // From the last one on, so that the places of the others stay what they are; and each only if it is still there,
  // because others change the list too.
  Json steps = Json::array();
  for (std::size_t i = marks.taints.size(); i-- > 0;) {
    if (!marks.taints[i]) continue;
    const auto place = "/spec/taints/" + std::to_string(i);
    steps.push_back({{"op", "test"}, {"path", place + "/key"}, {"value", kNotReadyTaint}});
    steps.push_back({{"op", "remove"}, {"path", place}});
  }
  if (!steps.empty()) requests.push_back({.target = target, .patch = kJsonPatch, .body = steps.dump()});
  return requests;
}

Json to_json(const Node& node) {
  Json ranges = Json::array(), addresses = Json::array();
  for (const auto& range : node.pod_ranges) ranges.push_back(range.to_string());
  for (const auto& address : node.addresses) {
    addresses.push_back({{"type", "InternalIP"}, {"address", address.to_string()}});
  }
  return {{"metadata", {{"name", node.name}, {"creationTimestamp", node.created}}},
          {"spec", {{"podCIDRs", ranges}}},
          {"status", {{"addresses", addresses}}}};
}

}  // namespace netkite::kube
