// SPDX-License-Identifier: Apache-2.0
// One of our programs, loaded from its skeleton with maps of its own, run by BPF_PROG_TEST_RUN. Needs root.
#pragma once

#include <bpf/libbpf.h>

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "bpf/abi/netkite.h"
#include "bpf/tests/packet.hpp"

namespace netkite::bpf_tests {

// The loopback device, present in every namespace: the one that a test run's packet is seen on.
inline constexpr std::uint32_t kDevice = 1;

struct Outcome {
  int status = 0;  // of the system call: 0 or -errno
  int verdict = 0;
  Bytes frame;                // afterwards
  std::uint64_t departs = 0;  // the packet's time
};

struct Drop {
  std::uint32_t reason = 0;
  std::uint64_t packets = 0, bytes = 0;
  bool operator==(const Drop&) const = default;
};

class Program {
 public:
  // `elf` is the embedded object; every map gets room for a few entries. Throws std::runtime_error. From here on the
  // thread stays on its CPU: what programs remember, they remember per CPU.
  // `other`: whose maps it shares, those that both have.
  Program(const void* elf, std::size_t size, const nk_config& config, const Program* other = nullptr);
  ~Program();
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  [[nodiscard]] Outcome run(const Bytes& frame, std::uint32_t gso_size = 0, std::uint32_t device = kDevice) const;
  // With a sum over the packet beside it, as some network cards give one (CHECKSUM_COMPLETE): the kernel compares it
  // afterwards, and a difference is the status -EBADMSG.
  [[nodiscard]] Outcome run_summed(const Bytes& frame) const;
  [[nodiscard]] int fd() const;
  [[nodiscard]] int map(const std::string& name) const;

  void add_endpoint(const std::string& address, const nk_endpoint& endpoint) const;
  void remove_endpoint(const std::string& address) const;
  void add_remote(const std::string& prefix, unsigned length, const nk_remote& remote) const;
  void add_tunnel(const std::string& prefix, unsigned length, const nk_tunnel& tunnel) const;
  void remove_remote(const std::string& prefix, unsigned length) const;
  void add_deny(const std::string& prefix, unsigned length) const;
  void set_device(std::uint32_t ifindex, const nk_device& device) const;
  void remove_device(std::uint32_t ifindex) const;
  void set_monitor(bool on) const;
  void set_epoch(std::uint64_t epoch) const;  // nothing where the program remembers nothing

  [[nodiscard]] nk_deny denied(const std::string& prefix, unsigned length) const;
  [[nodiscard]] std::vector<Drop> drops() const;       // every reason that has counted something
  [[nodiscard]] std::vector<nk_event> events() const;  // since the last call

 private:
  [[nodiscard]] Outcome run(const Bytes& frame, __sk_buff context, std::uint32_t flags) const;

  bpf_object* object_ = nullptr;
  ring_buffer* ring_ = nullptr;
  mutable std::vector<nk_event> events_;
};

// What the drop counters gained between two readings.
[[nodiscard]] std::vector<Drop> difference(const std::vector<Drop>& before, const std::vector<Drop>& after);

}  // namespace netkite::bpf_tests
