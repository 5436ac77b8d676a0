// SPDX-License-Identifier: Apache-2.0
// Addresses of pods that have gone, whose entries are still in the table of connections. Kept in a file as well, so
// that the next agent knows of them. Room-internal.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "common/base/ip.hpp"
#include "common/base/result.hpp"

namespace netkite::datapath {

class Departed {
 public:
  // As the programs' tables have an address.
  using Raw = std::array<std::uint32_t, 4>;

  Departed() = default;
  // What a former run has left is in it. Without the file's folder there is nothing.
  [[nodiscard]] static Result<Departed> open(std::string file);

  // They have departed in any case. An error: the file does not say so yet, and the end of a round tries again.
  [[nodiscard]] Result<void> add(const std::vector<Ip>& addresses);
  [[nodiscard]] bool has(const Ip& address) const;
  [[nodiscard]] bool has(const Raw& address) const { return addresses_.contains(address); }
  [[nodiscard]] bool empty() const { return addresses_.empty(); }

  // A look at the table has ended. Those that were here when it began have nothing there any more, if it was `whole`.
  [[nodiscard]] Result<void> end_round(bool whole);
  [[nodiscard]] Result<void> clear();

 private:
  struct State {
    Ip address;
    bool begun = false;  // a look at the table has begun since
  };
  void remember(const Ip& address);
  [[nodiscard]] Result<void> write();

  std::string file_;
  bool unwritten_ = false;  // the file is not as the addresses are
  std::map<Raw, State> addresses_;
};

}  // namespace netkite::datapath
