// SPDX-License-Identifier: Apache-2.0
// A veth pair in a network namespace of the test's own: host0, with 10.0.0.1 behind it, and pod0, which is only a wire.
// The node has 192.0.2.1. The namespace goes with the process.
#pragma once

#include <cstdint>

#include "bpf/tests/packet.hpp"
#include "common/base/unique_fd.hpp"

namespace netkite::bpf_tests {

class VethLab {
 public:
  VethLab();  // throws std::runtime_error
  ~VethLab();
  VethLab(const VethLab&) = delete;
  VethLab& operator=(const VethLab&) = delete;

  [[nodiscard]] std::uint32_t host() const { return host_; }
  [[nodiscard]] const MacBytes& host_mac() const { return host_mac_; }

  // On host0. The links live as long as the lab; later ones run behind earlier ones.
  void attach_ingress(int program);
  void attach_egress(int program);
  void attach_backstop(int program);  // both ways, at the end and without a link

  void send_from_pod(const Bytes& frame) const;
  [[nodiscard]] bool reaches_host() const;  // a UDP packet 10.0.0.1 -> 192.0.2.1, sent by the pod
  [[nodiscard]] bool reaches_pod() const;   // and one the other way

 private:
  void attach(int program, int type);

  std::uint32_t host_ = 0, pod_ = 0;
  MacBytes host_mac_ = {};
  UniqueFd raw_, udp_;
  std::vector<UniqueFd> links_;
};

// A program of three lines that leaves `tc_index` as it is told, 0: untouched, and answers NEXT.
[[nodiscard]] UniqueFd foreign_program(std::uint16_t tc_index);

}  // namespace netkite::bpf_tests
