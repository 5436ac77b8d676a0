// SPDX-License-Identifier: Apache-2.0
// The names of our objects below `bpffs`: maps/<map>, links/<device>:<hook>, guard/<function>,
// sockets/<program>. Room-internal.
// bpffs refuses a '.' in a name, so the dots of a device's name become ':', which no device's name can have.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/datapath/kernel_objects.hpp"

namespace netkite::datapath {

class Pins {
 public:
  // Makes the folders. Code::invalid when the place is not on a BPF file system.
  [[nodiscard]] static Result<Pins> open(const std::string& bpffs);

  [[nodiscard]] std::string map(std::string_view name) const;
  [[nodiscard]] std::string link(std::string_view ifname, Hook hook) const;
  [[nodiscard]] std::string user_hook(std::string_view ifname, std::string_view hook_name) const;
  [[nodiscard]] std::string guard(std::string_view function) const;
  [[nodiscard]] std::string socket(std::string_view program) const;
  // Where a user's program may pin maps of its own.
  [[nodiscard]] std::string user_maps(std::string_view hook_name) const;

  // Removes the folders of hooks that `keep` refuses.
  void remove_user_maps(const std::function<bool(std::string_view hook_name)>& keep) const;

  [[nodiscard]] std::vector<std::string> link_paths() const;
  // The user hook's name in a path of link_paths(), empty when the path is not that of a user's hook.
  [[nodiscard]] static std::string user_hook_name(std::string_view path);

 private:
  explicit Pins(std::string root) : root_(std::move(root)) {}
  std::string root_;
};

// Opens what is pinned at `path`; not_found when nothing is.
[[nodiscard]] Result<UniqueFd> open_pin(const std::string& path);
[[nodiscard]] Result<void> pin(int fd, const std::string& path);
[[nodiscard]] Result<void> rename_pin(const std::string& from, const std::string& to);
void unpin(const std::string& path);  // nothing there: fine

}  // namespace netkite::datapath
