// SPDX-License-Identifier: Apache-2.0
// A batch of network namespaces under /run/netns, made without a process for each.
#pragma once

#include <string>
#include <vector>

namespace netkite::cni {

class Namespaces {
 public:
  Namespaces(const std::string& prefix, std::size_t count);
  ~Namespaces();
  Namespaces(const Namespaces&) = delete;
  Namespaces& operator=(const Namespaces&) = delete;

  [[nodiscard]] const std::string& path(std::size_t index) const { return paths_[index]; }

 private:
  std::vector<std::string> paths_;
};

}  // namespace netkite::cni
