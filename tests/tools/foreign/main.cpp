// SPDX-License-Identifier: Apache-2.0
// A program that is not ours on a device: it counts packets and returns one verdict. Tests put it before or behind
// Netkite's programs to see that both run, and in front of nothing to see what a lone program lets through.
//
//   nk-foreign attach DEVICE HOOK PLACE VERDICT DIR   pins DIR/link and DIR/count (DIR is a new folder of a bpffs)
//   nk-foreign count DIR                              prints the packets counted
//   nk-foreign ids DEVICE HOOK                        prints program and link ids of the hook, in their order
// HOOK: netkit-peer, netkit-primary, tcx-ingress, tcx-egress.  PLACE: before, after.  VERDICT: next, pass, drop.
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <net/if.h>
#include <sys/stat.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "common/base/unique_fd.hpp"

namespace {

using netkite::UniqueFd;

std::optional<bpf_attach_type> parse_hook(std::string_view text) {
  if (text == "netkit-peer") return BPF_NETKIT_PEER;
  if (text == "netkit-primary") return BPF_NETKIT_PRIMARY;
  if (text == "tcx-ingress") return BPF_TCX_INGRESS;
  if (text == "tcx-egress") return BPF_TCX_EGRESS;
  return std::nullopt;
}

// TCX_* and NETKIT_* have the same values.
std::optional<std::int32_t> parse_verdict(std::string_view text) {
  if (text == "next") return -1;
  if (text == "pass") return 0;
  if (text == "drop") return 2;
  return std::nullopt;
}

int complain(const char* what) {
  std::fprintf(stderr, "nk-foreign: %s: %s\n", what, std::strerror(errno));
  return 1;
}

// r1 = &map[0]; lock *(u64 *)r1 += 1; return verdict
UniqueFd load_program(int map, std::int32_t verdict) {
  const std::array<bpf_insn, 6> code{{
      {.code = BPF_LD | BPF_DW | BPF_IMM, .dst_reg = 1, .src_reg = BPF_PSEUDO_MAP_VALUE, .off = 0, .imm = map},
      {.code = 0, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = 0},
      {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 2, .src_reg = 0, .off = 0, .imm = 1},
      {.code = BPF_STX | BPF_DW | BPF_ATOMIC, .dst_reg = 1, .src_reg = 2, .off = 0, .imm = BPF_ADD},
      {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = verdict},
      {.code = BPF_JMP | BPF_EXIT, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = 0},
  }};
  return UniqueFd(bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, "foreign", "GPL", code.data(), code.size(), nullptr));
}

UniqueFd attach_program(int program, int ifindex, bpf_attach_type hook, bool before) {
  const std::uint32_t flags = before ? BPF_F_BEFORE : BPF_F_AFTER;
  LIBBPF_OPTS(bpf_link_create_opts, options);
  options.flags = flags;
  return UniqueFd(bpf_link_create(program, ifindex, hook, &options));
}

int attach(std::span<char*> words) {
  const int ifindex = static_cast<int>(if_nametoindex(words[0]));
  const auto hook = parse_hook(words[1]);
  const auto verdict = parse_verdict(words[3]);
  const std::string folder = words[4];
  if (ifindex == 0) return complain(words[0]);
  if (!hook || !verdict) {
    std::fprintf(stderr, "nk-foreign: unknown hook or verdict\n");
    return 2;
  }
  const UniqueFd map(bpf_map_create(BPF_MAP_TYPE_ARRAY, "foreign_count", 4, 8, 1, nullptr));
  if (!map.valid()) return complain("map");
  const UniqueFd program = load_program(map.get(), *verdict);
  if (!program.valid()) return complain("program");
  const UniqueFd link = attach_program(program.get(), ifindex, *hook, std::string_view(words[2]) == "before");
  if (!link.valid()) return complain("link");
  if (mkdir(folder.c_str(), 0700) != 0) return complain(folder.c_str());
  if (bpf_obj_pin(link.get(), (folder + "/link").c_str()) != 0) return complain("pin");
  if (bpf_obj_pin(map.get(), (folder + "/count").c_str()) != 0) return complain("pin");
  return 0;
}

int count(const std::string& folder) {
  const UniqueFd map(bpf_obj_get((folder + "/count").c_str()));
  if (!map.valid()) return complain(folder.c_str());
  const std::uint32_t key = 0;
  std::uint64_t value = 0;
  if (bpf_map_lookup_elem(map.get(), &key, &value) != 0) return complain("lookup");
  std::printf("%llu\n", static_cast<unsigned long long>(value));
  return 0;
}

int ids(const char* device, const char* hook_name) {
  const auto hook = parse_hook(hook_name);
  const int ifindex = static_cast<int>(if_nametoindex(device));
  if (!hook || ifindex == 0) return complain(device);
  std::array<std::uint32_t, 64> programs{};
  std::array<std::uint32_t, 64> links{};
  LIBBPF_OPTS(bpf_prog_query_opts, options);
  options.prog_ids = programs.data();
  options.link_ids = links.data();
  options.prog_cnt = programs.size();
  if (bpf_prog_query_opts(ifindex, *hook, &options) != 0) return complain("query");
  for (std::uint32_t i = 0; i < options.prog_cnt; ++i) std::printf("%u %u\n", programs.at(i), links.at(i));
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const std::span<char*> words(argv, static_cast<std::size_t>(argc));
  const std::string_view verb = argc > 1 ? words[1] : "";
  if (verb == "attach" && argc == 7) return attach(words.subspan(2));
  if (verb == "count" && argc == 3) return count(words[2]);
  if (verb == "ids" && argc == 4) return ids(words[2], words[3]);
  std::fprintf(stderr, "usage: nk-foreign attach DEVICE HOOK PLACE VERDICT DIR | count DIR | ids DEVICE HOOK\n");
  return 2;
}
