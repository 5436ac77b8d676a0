// SPDX-License-Identifier: Apache-2.0
#include "tests/tools/attach/device.hpp"

#include <fcntl.h>
#include <linux/bpf.h>
#include <sched.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>

#include "common/netlink/link.hpp"
#include "common/netlink/link_netkit.hpp"

namespace netkite::tools {

void end_with_error(std::string_view message) {
  std::fprintf(stderr, "nk-attach: %.*s\n", static_cast<int>(message.size()), message.data());
  std::_Exit(1);
}

void end_with_errno(std::string_view what) { end_with_error(std::string(what) + ": " + std::strerror(errno)); }

UniqueFd new_netns() {
  UniqueFd fd;
  std::thread([&fd] {
    if (::unshare(CLONE_NEWNET) != 0) end_with_errno("unshare");
    fd.reset(::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
  }).join();
  if (!fd.valid()) end_with_errno("open the network namespace");
  return fd;
}

void enter_netns(const UniqueFd& netns) {
  if (::setns(netns.get(), CLONE_NEWNET) != 0) end_with_errno("setns");
}

std::uint32_t make_pair(netlink::Socket& socket, const std::string& primary, const std::string& peer, int netns) {
  must(netlink::create_netkit(socket, {.host_name = primary, .pod_name = peer, .pod_netns_fd = netns}));
  return must(netlink::get_link(socket, primary)).index;
}

UniqueFd load_program(std::int32_t verdict, int map, std::uint32_t key) {
  const std::array<bpf_insn, 6> count{{
      {.code = BPF_LD | BPF_DW | BPF_IMM, .dst_reg = 1, .src_reg = BPF_PSEUDO_MAP_VALUE, .off = 0, .imm = map},
      {.code = 0, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = static_cast<std::int32_t>(key * sizeof(std::uint64_t))},
      {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 2, .src_reg = 0, .off = 0, .imm = 1},
      {.code = BPF_STX | BPF_DW | BPF_ATOMIC, .dst_reg = 1, .src_reg = 2, .off = 0, .imm = BPF_ADD},
      {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = verdict},
      {.code = BPF_JMP | BPF_EXIT, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = 0},
  }};
  const std::size_t skipped = map < 0 ? 4 : 0;
  UniqueFd fd(
      bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, "nk_attach", "GPL", &count[skipped], count.size() - skipped, nullptr));
  if (!fd.valid()) end_with_errno("load a program");
  return fd;
}

UniqueFd attach(const UniqueFd& program, std::uint32_t ifindex, bpf_attach_type hook, bool first) {
  LIBBPF_OPTS(bpf_link_create_opts, options, .flags = first ? BPF_F_BEFORE : BPF_F_AFTER);
  UniqueFd link(bpf_link_create(program.get(), static_cast<int>(ifindex), hook, &options));
  if (!link.valid()) end_with_errno("attach");
  return link;
}

}  // namespace netkite::tools
