// SPDX-License-Identifier: Apache-2.0
// What Services and EndpointSlices have in common. Room-internal.
#pragma once

#include <cstdint>
#include <string>

#include "agent/kube/picker.hpp"
#include "agent/kube/service.hpp"
#include "common/base/ip.hpp"
#include "common/base/result.hpp"

namespace netkite::kube {

// Labels that keep an object from us. A selector leaves it out, and their presence tells where there is none.
inline constexpr const char* kOtherProxy = "service.kubernetes.io/service-proxy-name";
inline constexpr const char* kHeadless = "service.kubernetes.io/headless";

[[nodiscard]] std::string served_selector();
[[nodiscard]] bool is_served(const Json& metadata);
// For messages: "namespace/name".
[[nodiscard]] std::string qualified_name(const Json& metadata);

[[nodiscard]] bool flag_at(const Json& object, const char* key, bool otherwise);
// 0 when there is none.
[[nodiscard]] Result<std::uint32_t> number_at(const Json& object, const char* key, std::uint32_t largest);
[[nodiscard]] Result<Protocol> protocol_at(const Json& object);
// An address that others can have: not the node's own ones, nor a group, nor IPv4 in the shape of IPv6.
[[nodiscard]] bool is_ordinary(const Ip& address);
[[nodiscard]] Result<Ip> ordinary_address(const Json& text);

}  // namespace netkite::kube
