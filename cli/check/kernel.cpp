// SPDX-License-Identifier: Apache-2.0
#include <bpf/bpf.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <cerrno>

#include "cli/check/check.hpp"
#include "cli/check/kernel_version.hpp"
#include "cli/check/scratch.hpp"
#include "common/base/unique_fd.hpp"
#include "common/netlink/link_netkit.hpp"

namespace netkite::cli {
namespace {

constexpr KernelVersion kTcxSince{6, 6, 0};
constexpr KernelVersion kRedirectFixed{6, 11, 0};  // NULL dereference in bpf_redirect from a netkit program
constexpr KernelVersion kDetachFixed{6, 12, 114};  // a program attached without a link could be detached by anyone
constexpr std::uint32_t kLoopbackIndex = 1;        // in every new namespace

// A program that accepts everything.
Result<UniqueFd> load_trivial() {
  bpf_insn instructions[2]{};
  instructions[0].code = BPF_ALU64 | BPF_MOV | BPF_K;  // r0 = 0
  instructions[1].code = BPF_JMP | BPF_EXIT;
  UniqueFd program(bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, "nk_doctor", "GPL", instructions, 2, nullptr));
  if (!program.valid()) return fail_errno(errno, "load a BPF program");
  return program;
}

Result<void> attach_trivial(std::uint32_t ifindex, bpf_attach_type type) {
  const auto program = load_trivial();
  if (!program) return tl::make_unexpected(program.error());
  const UniqueFd link(bpf_link_create(program->get(), static_cast<int>(ifindex), type, nullptr));
  if (!link.valid()) return fail_errno(errno, "attach a BPF program");
  return {};
}

Result<void> try_netkit() {
  return in_scratch_netns([]() -> Result<void> {
    auto socket = netlink::Socket::open();
    if (!socket) return tl::make_unexpected(socket.error());
    const netlink::NetkitPair pair{.host_name = "nkdoctor0", .pod_name = "nkdoctor1"};
    if (auto made = netlink::create_netkit(*socket, pair); !made) return made;
    const auto primary = netlink::get_link(*socket, pair.host_name);
    if (!primary) return tl::make_unexpected(primary.error());
    return attach_trivial(primary->index, BPF_NETKIT_PRIMARY);
  });
}

Finding probe_finding(const Result<void>& tried, Finding missing) {
  if (tried) return good(missing.item, "works");
  if (tried.error().code == Code::denied) {
    return caution(missing.item, "cannot tell: " + tried.error().message, "run as root");
  }
  missing.detail += ": " + tried.error().message;
  return missing;
}

Finding version_finding(const std::optional<KernelVersion>& version, const std::string& release) {
  Finding finding = good("kernel", release);
  if (version && *version < kTcxSince) {
    finding.grade = Grade::fail;
    finding.fix = "Linux 6.6 or later for tcx, 6.8 or later for netkit";
  }
  return finding;
}

Finding bug_finding(const std::string& item, const std::optional<KernelVersion>& version, bool netkit,
                    const KernelVersion& fixed, const std::string& harm) {
  if (!netkit) return good(item, "not affected, there is no netkit");
  if (!version || *version >= fixed) return good(item, "not affected");
  return caution(item, harm, "Linux " + fixed.to_string() + " or later");
}

Finding btf_finding() {
  constexpr const char* kBtf = "/sys/kernel/btf/vmlinux";
  if (::access(kBtf, R_OK) == 0) return good("btf", "available");
  return failure("btf", std::string(kBtf) + ": not available",
                 "a kernel with CONFIG_DEBUG_INFO_BTF=y, as distributions build");
}

// By the machine code that a program got: the sysctl is not to be seen in every network namespace.
Finding jit_finding() {
  const auto program = load_trivial();
  if (!program) return caution("bpf-jit", "cannot tell: " + program.error().message, "run as root");
  bpf_prog_info info{};
  __u32 size = sizeof(info);
  if (bpf_obj_get_info_by_fd(program->get(), &info, &size) != 0) {
    return caution("bpf-jit", fail_errno(errno, "cannot tell: ask for a program").value().message, "run as root");
  }
  if (info.jited_prog_len > 0) return good("bpf-jit", "on");
  return caution("bpf-jit", "off: BPF programs are interpreted",
                 "sysctl -w net.core.bpf_jit_enable=1 (CONFIG_BPF_JIT)");
}

}  // namespace

Findings check_kernel() {
  utsname name{};
  uname(&name);
  const auto version = parse_kernel_version(name.release, name.version);
  const auto netkit = try_netkit();
  const auto tcx = in_scratch_netns([] { return attach_trivial(kLoopbackIndex, BPF_TCX_INGRESS); });
  return {
      version_finding(version, name.release),
      probe_finding(netkit, caution("netkit", "pods get veth devices", "a kernel with CONFIG_NETKIT=y (6.8 or later)")),
      bug_finding("netkit-redirect", version, netkit.has_value(), kRedirectFixed,
                  "a redirect from a netkit program can crash this kernel"),
      bug_finding("netkit-detach", version, netkit.has_value(), kDetachFixed,
                  "unprivileged users can detach netkit programs that were attached without a link (ours have one)"),
      probe_finding(tcx, failure("tcx", "not available",
                                 "a kernel with CONFIG_NET_XGRESS=y and CONFIG_BPF_SYSCALL=y (6.6 or later)")),
      btf_finding(),
      jit_finding(),
  };
}

}  // namespace netkite::cli
