// SPDX-License-Identifier: Apache-2.0
#include "kernel-patches/tests/hook.hpp"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <thread>

#include "common/netlink/link.hpp"
#include "common/netlink/link_netkit.hpp"
#include "common/netlink/netns.hpp"

namespace netkite::kernel_tests {
namespace {

template <typename T>
T must(Result<T> result) {
  if (!result) throw std::runtime_error(result.error().message);
  if constexpr (!std::is_void_v<T>) return std::move(*result);
}

UniqueFd must_open(int fd, const char* what) {
  if (fd < 0) throw std::runtime_error(std::string(what) + ": " + std::strerror(errno));
  return UniqueFd(fd);
}

int call_bpf(bpf_cmd command, bpf_attr& attributes) {
  const auto result = ::syscall(SYS_bpf, command, &attributes, sizeof(attributes));
  return static_cast<int>(result);
}

UniqueFd new_netns() {
  UniqueFd fd;
  std::thread([&fd] {
    if (::unshare(CLONE_NEWNET) == 0) fd.reset(::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
  }).join();
  return must_open(fd.release(), "new network namespace");
}

bool leaves_the_pod(bpf_attach_type type) { return type == BPF_NETKIT_PEER || type == BPF_TCX_INGRESS; }

bpf_attr request(const Hook& hook, const Call& call) {
  bpf_attr attributes{};
  attributes.target_ifindex = hook.ifindex();
  attributes.attach_bpf_fd = static_cast<__u32>(call.program);
  attributes.attach_type = hook.type();
  attributes.attach_flags = call.flags;
  attributes.replace_bpf_fd = static_cast<__u32>(call.replaced);
  attributes.relative_fd = call.relative;
  attributes.expected_revision = call.revision;
  return attributes;
}

bpf_link_info information(const UniqueFd& link) {
  bpf_link_info info{};
  __u32 length = sizeof(info);
  if (bpf_obj_get_info_by_fd(link.get(), &info, &length) != 0) throw std::runtime_error("link information");
  return info;
}

}  // namespace

UniqueFd load_program(const ProgramOptions& options) {
  const auto value_offset = static_cast<std::int32_t>(options.key * sizeof(std::uint64_t));
  const auto spins = static_cast<std::int32_t>(options.spins);
  const std::array<bpf_insn, 9> code{{
      {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 2, .src_reg = 0, .off = 0, .imm = spins + 1},
      {.code = BPF_ALU64 | BPF_SUB | BPF_K, .dst_reg = 2, .src_reg = 0, .off = 0, .imm = 1},
      {.code = BPF_JMP | BPF_JNE | BPF_K, .dst_reg = 2, .src_reg = 0, .off = -2, .imm = 0},
      {.code = BPF_LD | BPF_DW | BPF_IMM, .dst_reg = 1, .src_reg = BPF_PSEUDO_MAP_VALUE, .off = 0, .imm = options.map},
      {.code = 0, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = value_offset},
      {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 2, .src_reg = 0, .off = 0, .imm = 1},
      {.code = BPF_STX | BPF_DW | BPF_ATOMIC, .dst_reg = 1, .src_reg = 2, .off = 0, .imm = BPF_ADD},
      {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = options.verdict},
      {.code = BPF_JMP | BPF_EXIT, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = 0},
  }};
  const std::size_t skipped = options.map < 0 ? 7 : 0;
  return must_open(
      bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, "nk_test", "GPL", &code.at(skipped), code.size() - skipped, nullptr),
      "load a program");
}

std::uint32_t program_id(const UniqueFd& program) {
  bpf_prog_info info{};
  __u32 length = sizeof(info);
  if (bpf_obj_get_info_by_fd(program.get(), &info, &length) != 0) throw std::runtime_error("program information");
  return info.id;
}

std::uint32_t link_id(const UniqueFd& link) { return information(link).id; }

Hook::Hook(bpf_attach_type type) : type_(type) {
  if (::unshare(CLONE_NEWNET) != 0) throw std::runtime_error("unshare");
  auto pair = add_pair("nk0");
  pod_ = std::move(pair.pod);
  ifindex_ = pair.ifindex;
  // Asking flushes the link watch.
  auto here = must(netlink::Socket::open()), there = must(netlink::Socket::open_in(pod_.get()));
  std::ignore = must(netlink::get_link(here, ifindex_));
  const auto eth0 = must(netlink::get_link(there, std::string("eth0"))).index;
  // The pair is closed without programs: let packets come as far as to this hook.
  if (type == BPF_TCX_INGRESS) {
    door_.reset(
        bpf_link_create(load_program({.verdict = 0}).get(), static_cast<int>(ifindex_), BPF_NETKIT_PEER, nullptr));
    if (!door_.valid()) throw std::runtime_error("open the pair");
  }

  const bool inside = leaves_the_pod(type);
  const auto open = [&]() -> Result<void> {
    sender_ = must_open(::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0), "packet socket");
    const sockaddr_ll address{.sll_family = AF_PACKET,
                              .sll_protocol = htons(ETH_P_IP),
                              .sll_ifindex = static_cast<int>(inside ? eth0 : ifindex_),
                              .sll_hatype = 0,
                              .sll_pkttype = 0,
                              .sll_halen = 0,
                              .sll_addr = {}};
    if (::bind(sender_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
      throw std::runtime_error("bind a packet socket");
    }
    return {};
  };
  must(inside ? netlink::in_netns(pod_.get(), open) : open());
}

// The pod's end comes up first, as it does not have a carrier then.
Hook::Pair Hook::add_pair(const std::string& name) const {
  Pair pair{.pod = new_netns()};
  auto here = must(netlink::Socket::open()), there = must(netlink::Socket::open_in(pair.pod.get()));
  must(netlink::create_netkit(here, {.host_name = name, .pod_name = "eth0", .pod_netns_fd = pair.pod.get()}));
  pair.ifindex = must(netlink::get_link(here, name)).index;
  const auto eth0 = must(netlink::get_link(there, std::string("eth0"))).index;
  must(netlink::change_link(there, eth0, {.up = true, .ipv6_addr_gen_none = true}));
  must(netlink::change_link(here, pair.ifindex, {.up = true, .ipv6_addr_gen_none = true}));
  return pair;
}

UniqueFd Hook::Pair::attach_inside(const UniqueFd& program) const {
  UniqueFd link;
  must(netlink::in_netns(pod.get(), [&]() -> Result<void> {
    link.reset(bpf_link_create(program.get(), static_cast<int>(::if_nametoindex("eth0")), BPF_TCX_INGRESS, nullptr));
    return {};
  }));
  return link;
}

std::uint64_t Hook::counter(const std::string& name) const {
  std::uint64_t value = 0;
  const bool inside = leaves_the_pod(type_);
  const auto read = [&]() -> Result<void> {
    // The first fields behind the name: received bytes, packets, … eight of them, then the same of transmission.
    std::ifstream file("/proc/thread-self/net/dev");
    for (std::string line; std::getline(file, line);) {
      const auto colon = line.find(inside ? "eth0:" : "nk0:");
      if (colon == std::string::npos) continue;
      std::istringstream fields(line.substr(line.find(':') + 1));
      const int wanted = name == "tx_packets" ? 10 : 12;
      for (int i = 0; i < wanted; ++i) fields >> value;
    }
    return {};
  };
  must(inside ? netlink::in_netns(pod_.get(), read) : read());
  return value;
}

int Hook::attach(const Call& call) const {
  auto attributes = request(*this, call);
  return call_bpf(BPF_PROG_ATTACH, attributes) < 0 ? errno : 0;
}

int Hook::detach(const Call& call) const {
  auto attributes = request(*this, call);
  return call_bpf(BPF_PROG_DETACH, attributes) < 0 ? errno : 0;
}

int Hook::attach_link(const Call& call, UniqueFd& link) const {
  bpf_attr attributes{};
  attributes.link_create.prog_fd = static_cast<__u32>(call.program);
  attributes.link_create.target_ifindex = ifindex_;
  attributes.link_create.attach_type = type_;
  attributes.link_create.flags = call.flags;
  // The same place and form for tcx and netkit.
  attributes.link_create.netkit.relative_fd = call.relative;
  attributes.link_create.netkit.expected_revision = call.revision;
  const int fd = call_bpf(BPF_LINK_CREATE, attributes);
  if (fd < 0) return errno;
  link.reset(fd);
  return 0;
}

int Hook::update_link(const UniqueFd& link, const UniqueFd& program, const UniqueFd* expected) {
  bpf_attr attributes{};
  attributes.link_update.link_fd = static_cast<__u32>(link.get());
  attributes.link_update.new_prog_fd = static_cast<__u32>(program.get());
  if (expected != nullptr) {
    attributes.link_update.flags = BPF_F_REPLACE;
    attributes.link_update.old_prog_fd = static_cast<__u32>(expected->get());
  }
  return call_bpf(BPF_LINK_UPDATE, attributes) < 0 ? errno : 0;
}

int Hook::detach_link(const UniqueFd& link) {
  bpf_attr attributes{};
  attributes.link_detach.link_fd = static_cast<__u32>(link.get());
  return call_bpf(BPF_LINK_DETACH, attributes) < 0 ? errno : 0;
}

Hook::State Hook::state() const {
  std::array<__u32, 64> programs{}, links{};
  bpf_attr attributes{};
  attributes.query.target_ifindex = ifindex_;
  attributes.query.attach_type = type_;
  attributes.query.prog_ids = reinterpret_cast<std::uintptr_t>(programs.data());
  attributes.query.link_ids = reinterpret_cast<std::uintptr_t>(links.data());
  attributes.query.count = programs.size();
  if (call_bpf(BPF_PROG_QUERY, attributes) < 0) throw std::runtime_error(std::string("query: ") + std::strerror(errno));
  const auto count = static_cast<std::ptrdiff_t>(attributes.query.count);
  return {.revision = attributes.query.revision,
          .programs = {programs.begin(), programs.begin() + count},
          .links = {links.begin(), links.begin() + count}};
}

std::uint32_t Hook::link_ifindex(const UniqueFd& link) const {
  const auto info = information(link);
  return type_ == BPF_NETKIT_PRIMARY || type_ == BPF_NETKIT_PEER ? info.netkit.ifindex : info.tcx.ifindex;
}

void Hook::delete_device() const {
  auto socket = must(netlink::Socket::open());
  must(netlink::delete_link(socket, ifindex_));
}

void Hook::restart() const {
  auto here = must(netlink::Socket::open()), there = must(netlink::Socket::open_in(pod_.get()));
  const auto eth0 = must(netlink::get_link(there, std::string("eth0"))).index;
  for (const bool up : {false, true}) {
    must(netlink::change_link(there, eth0, {.up = up}));
    must(netlink::change_link(here, ifindex_, {.up = up}));
  }
  int forgotten = 0;  // what a device that goes down tells its sockets
  socklen_t length = sizeof(forgotten);
  if (::getsockopt(sender_.get(), SOL_SOCKET, SO_ERROR, &forgotten, &length) != 0) throw std::runtime_error("SO_ERROR");
}

void Hook::pass_a_packet() const {
  std::array<std::uint8_t, 64> frame{};
  frame[12] = ETH_P_IP >> 8;
  // A busy device may refuse; the caller counts at the hook, not here.
  std::ignore = ::send(sender_.get(), frame.data(), frame.size(), 0);
}

}  // namespace netkite::kernel_tests
