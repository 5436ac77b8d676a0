// SPDX-License-Identifier: Apache-2.0
// Keeps programs on the uplinks. A device that is no uplink any more, because it is down for a moment or its routes
// have moved, keeps them as long as it exists: coming back it must not let denied packets through before we notice. The
// next start of the agent takes them off.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "agent/datapath/datapath.hpp"
#include "agent/node/node.hpp"

namespace netkite::app {

class Uplinks {
 public:
  explicit Uplinks(datapath::Datapath& datapath) : datapath_(datapath) {}

  // One line for each uplink that could not be attached; the next call tries those again. Devices are looked for in the
  // network namespace of the calling thread.
  [[nodiscard]] std::vector<std::string> follow(const std::vector<node::Uplink>& wanted);
  [[nodiscard]] bool has_all(const std::vector<node::Uplink>& wanted) const;
  [[nodiscard]] std::vector<std::uint32_t> ifindexes() const;

 private:
  datapath::Datapath& datapath_;
  std::map<std::uint32_t, std::string> attached_;  // name by index
};

}  // namespace netkite::app
