// SPDX-License-Identifier: Apache-2.0
// One hook of a netkit device with programs on it, by the kernel's own calls: nothing is checked or filled in between.
#pragma once

#include <linux/bpf.h>

#include <cstdint>
#include <string>
#include <vector>

#include "common/base/unique_fd.hpp"

namespace netkite::kernel_tests {

// Programs return `verdict`; those with a map count their runs in its `key` and first spin `spins` times.
struct ProgramOptions {
  std::int32_t verdict = -1;  // NEXT
  int map = -1;
  std::uint32_t key = 0, spins = 0;
};
[[nodiscard]] UniqueFd load_program(const ProgramOptions& options = {});
[[nodiscard]] std::uint32_t program_id(const UniqueFd& program);
[[nodiscard]] std::uint32_t link_id(const UniqueFd& link);

// What BPF_PROG_ATTACH, BPF_PROG_DETACH and BPF_LINK_CREATE understand of multi-program hooks. A descriptor of 0: none.
struct Call {
  int program = 0, replaced = 0;
  std::uint32_t flags = 0, relative = 0;  // BPF_F_*; a descriptor, or an id with BPF_F_ID
  std::uint64_t revision = 0;
};

// A pair in a network namespace of the test's own: nk0, its primary, stays here, and its peer is in another namespace.
class Hook {
 public:
  // Throws std::runtime_error.
  explicit Hook(bpf_attach_type type);

  // 0, or errno.
  [[nodiscard]] int attach(const Call& call) const;
  [[nodiscard]] int detach(const Call& call) const;
  [[nodiscard]] int attach_link(const Call& call, UniqueFd& link) const;
  [[nodiscard]] static int update_link(const UniqueFd& link, const UniqueFd& program,
                                       const UniqueFd* expected = nullptr);
  [[nodiscard]] static int detach_link(const UniqueFd& link);

  struct State {
    std::uint64_t revision = 0;
    std::vector<std::uint32_t> programs, links;  // ids in order; link 0: none
  };
  [[nodiscard]] State state() const;

  [[nodiscard]] bpf_attach_type type() const { return type_; }
  [[nodiscard]] std::uint32_t ifindex() const { return ifindex_; }
  [[nodiscard]] std::uint32_t link_ifindex(const UniqueFd& link) const;  // what the link says; 0: the device is gone
  void delete_device() const;
  // Both ends go down and come up, the pod's first, which is left to the kernel's link watch.
  void restart() const;

  // Of the device that sends: "tx_packets" or "tx_dropped".
  [[nodiscard]] std::uint64_t counter(const std::string& name) const;

  // Another pair beside this one, up.
  struct Pair {
    UniqueFd pod;
    std::uint32_t ifindex = 0;
    [[nodiscard]] UniqueFd attach_inside(const UniqueFd& program) const;  // tcx ingress of the pod's end
  };
  [[nodiscard]] Pair add_pair(const std::string& name) const;

  // Sends a frame so that it passes this hook once. From any thread, in whatever namespace.
  void pass_a_packet() const;

 private:
  bpf_attach_type type_;
  std::uint32_t ifindex_ = 0;
  UniqueFd pod_, door_, sender_;
};

}  // namespace netkite::kernel_tests
