// SPDX-License-Identifier: Apache-2.0
// YAML files with Kubernetes objects, as kubectl takes them, in the form in which the API server sends them.
#pragma once

#include <string>
#include <vector>

#include "agent/kube/picker.hpp"
#include "common/base/result.hpp"

namespace netkite::kube {

// The documents of a file; one of kind List stands for its items, an empty one for nothing. invalid: no YAML, with the
// line, or too much of it.
[[nodiscard]] Result<std::vector<Json>> parse_yaml(const std::string& text);

}  // namespace netkite::kube
