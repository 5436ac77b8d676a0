// SPDX-License-Identifier: Apache-2.0
// A node with services, and control groups for its sockets.
#pragma once

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "agent/datapath/tests/lab.hpp"

namespace netkite::datapath::lab {

inline std::string hierarchy() {
  std::ifstream mounts("/proc/self/mounts");
  for (std::string line; std::getline(mounts, line);) {
    std::istringstream words(line);
    std::string device, place, type;
    if (words >> device >> place >> type && type == "cgroup2") return place;
  }
  return {};
}

// Two groups of control; services are for sockets of the first one.
class GroupTest : public LabTest {
 protected:
  void SetUp() override {
    LabTest::SetUp();
    const auto root = hierarchy();
    if (root.empty()) GTEST_SKIP() << "no version 2 hierarchy of control groups is mounted";
    for (const char* name : {"a", "b"}) {
      groups_.push_back(root + "/netkite-datapath-" + std::to_string(::getpid()) + name);
      std::filesystem::create_directory(groups_.back());
    }
    options_.services.enabled = true;
    options_.services.cgroup = groups_.front();
  }
  void TearDown() override {
    LabTest::TearDown();
    for (const auto& group : groups_) ::rmdir(group.c_str());
  }

  std::vector<std::string> groups_;
};

}  // namespace netkite::datapath::lab
