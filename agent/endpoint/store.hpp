// SPDX-License-Identifier: Apache-2.0
// The ledger: one file for each endpoint, <run_dir>/endpoints/<host_ifname>.json, with one JSON object a line: every
// change appends a line in one write, and the last whole object counts. So a row is never half-changed, and the calls
// of a burst of pods do not wait for a disk, as replacing files does on ext4 (auto_da_alloc). Nothing is synced: a
// reboot ends the network namespaces, and with them what the rows describe.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "agent/endpoint/endpoint.hpp"
#include "common/base/result.hpp"

namespace netkite::endpoint {

inline constexpr std::size_t kMaxRow = 65536;  // bytes of a row's file, and of a note of a deferred DEL

class Store {
 public:
  explicit Store(const std::string& run_dir) : directory_(run_dir + "/endpoints") {}

  struct Contents {
    std::vector<Endpoint> endpoints;
    std::vector<std::string> problems;  // one line for each file that could not be used
  };
  // Creates the folder. Files without a line that makes sense are renamed to <name>.corrupt.
  [[nodiscard]] Result<Contents> load() const;
  [[nodiscard]] Result<void> save(const Endpoint& endpoint) const;
  [[nodiscard]] Result<void> remove(const std::string& host_ifname) const;  // gone already: success

 private:
  [[nodiscard]] std::string row(const std::string& host_ifname) const;

  std::string directory_;
};

}  // namespace netkite::endpoint
