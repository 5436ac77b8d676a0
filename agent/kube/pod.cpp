// SPDX-License-Identifier: Apache-2.0
#include "agent/kube/pod.hpp"

#include "agent/kube/reading.hpp"

namespace netkite::kube {
namespace {

constexpr const char* kStaticHash = "kubernetes.io/config.hash";

}  // namespace

Resource pods_on(const std::string& node) {
  Resource resource{.version = "v1",
                    .kind = "Pod",
                    .path = "/api/v1/pods",
                    .namespaced = true,
                    .selector = "fieldSelector=spec.nodeName%3D" + percent_encoded(node),
                    .fields = {"metadata.uid", "metadata.labels"}};
  resource.fields.add_keys({"metadata", "annotations", kStaticHash});
  return resource;
}

Result<Pod> pod_from(const Json& object) {
  const auto metadata = member(object, "metadata");
  Pod pod{.space = text_at(metadata, "namespace"), .name = text_at(metadata, "name"), .uids = {}, .labels = {}};
  const auto context = "pod " + pod.space + "/" + pod.name;
  if (auto whole = check_whole(object); !whole) return wrap(whole.error(), context);
  for (auto uid : {text_at(metadata, "uid"), text_at(member(metadata, "annotations"), kStaticHash)}) {
    if (!uid.empty()) pod.uids.insert(std::move(uid));
  }
  const auto labels = member(metadata, "labels");
  if (!labels.is_object()) return pod;
  for (const auto& [key, value] : labels.items()) {
    if (!value.is_string()) {
      return fail(Code::invalid, context + ": metadata.labels." + key + ": it is no string");
    }
    pod.labels.emplace(key, value.get_ref<const std::string&>());
  }
  return pod;
}

}  // namespace netkite::kube
