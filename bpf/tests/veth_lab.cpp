// SPDX-License-Identifier: Apache-2.0
#include "bpf/tests/veth_lab.hpp"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <string>

namespace netkite::bpf_tests {
namespace {

constexpr int kWaitMs = 30;

void require(bool good, const std::string& what) {
  if (!good) throw std::runtime_error(what + ": " + std::strerror(errno));
}

void command(const std::string& line) { require(std::system(line.c_str()) == 0, line); }

template <typename Address>
const sockaddr* generic(const Address& address) {
  return reinterpret_cast<const sockaddr*>(&address);
}

sockaddr_in inet(const char* text, std::uint16_t port) {
  sockaddr_in result{};
  result.sin_family = AF_INET;
  result.sin_port = htons(port);
  require(::inet_pton(AF_INET, text, &result.sin_addr) == 1, text);
  return result;
}

sockaddr_ll packet(std::uint32_t ifindex) {
  sockaddr_ll result{};
  result.sll_family = AF_PACKET;
  result.sll_protocol = htons(kIpv4);
  result.sll_ifindex = static_cast<int>(ifindex);
  return result;
}

void make_devices() {
  require(::unshare(CLONE_NEWNET) == 0, "unshare (as root?)");
  command("ip link add host0 type veth peer name pod0");
  for (const std::string device : {"host0", "pod0"}) {
    command("sysctl -qw net.ipv6.conf." + device + ".disable_ipv6=1 net.ipv4.conf." + device + ".rp_filter=0");
    command("ip link set " + device + " up");
  }
  command("sysctl -qw net.ipv4.conf.all.rp_filter=0 && ip link set lo up && ip address add 192.0.2.1/32 dev lo");
  command(
      "ip route add 10.0.0.1/32 dev host0 && ip neighbor add 10.0.0.1 lladdr 02:00:00:00:00:01 dev host0 nud "
      "permanent");
}

MacBytes mac_of(int socket, const char* device) {
  ifreq request{};
  std::strncpy(request.ifr_name, device, IFNAMSIZ - 1);
  require(::ioctl(socket, SIOCGIFHWADDR, &request) == 0, "SIOCGIFHWADDR");
  MacBytes mac{};
  std::memcpy(mac.data(), request.ifr_hwaddr.sa_data, mac.size());
  return mac;
}

// Whether a packet that came from outside arrives soon; takes all that wait.
bool arrives(int socket) {
  bool seen = false;
  pollfd wait{.fd = socket, .events = POLLIN, .revents = 0};
  while (::poll(&wait, 1, seen ? 0 : kWaitMs) > 0) {
    std::array<char, 2048> buffer{};
    sockaddr_ll from{};
    socklen_t length = sizeof(from);
    const auto got = ::recvfrom(socket, buffer.data(), buffer.size(), 0, reinterpret_cast<sockaddr*>(&from), &length);
    if (got >= 0 && (from.sll_family != AF_PACKET || from.sll_pkttype != PACKET_OUTGOING)) seen = true;
  }
  return seen;
}

}  // namespace

VethLab::VethLab() {
  make_devices();
  host_ = ::if_nametoindex("host0");
  pod_ = ::if_nametoindex("pod0");
  raw_ = UniqueFd(::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(kIpv4)));
  const auto pod = packet(pod_);
  require(raw_.valid() && ::bind(raw_.get(), generic(pod), sizeof(pod)) == 0, "packet socket");
  udp_ = UniqueFd(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  const auto node = inet("192.0.2.1", 2000);
  require(udp_.valid() && ::bind(udp_.get(), generic(node), sizeof(node)) == 0, "UDP socket");
  host_mac_ = mac_of(udp_.get(), "host0");
}

VethLab::~VethLab() = default;

void VethLab::attach(int program, int type) {
  UniqueFd link(bpf_link_create(program, static_cast<int>(host_), static_cast<bpf_attach_type>(type), nullptr));
  require(link.valid(), "tcx");
  links_.push_back(std::move(link));
}

void VethLab::attach_ingress(int program) { attach(program, BPF_TCX_INGRESS); }

void VethLab::attach_egress(int program) { attach(program, BPF_TCX_EGRESS); }

void VethLab::attach_backstop(int program) {
  for (const auto type : {BPF_TCX_INGRESS, BPF_TCX_EGRESS}) {
    LIBBPF_OPTS(bpf_prog_attach_opts, options, .flags = BPF_F_AFTER);
    require(bpf_prog_attach_opts(program, static_cast<int>(host_), type, &options) == 0, "backstop");
  }
}

void VethLab::send_from_pod(const Bytes& frame) const {
  const auto pod = packet(pod_);
  const auto sent = ::sendto(raw_.get(), frame.data(), frame.size(), 0, generic(pod), sizeof(pod));
  require(sent == static_cast<ssize_t>(frame.size()), "send " + std::to_string(frame.size()) + " bytes");
}

bool VethLab::reaches_host() const {
  send_from_pod(frame(Ip4{.to = "192.0.2.1", .protocol = kUdp, .payload = udp(), .destination = host_mac_}));
  return arrives(udp_.get());
}

bool VethLab::reaches_pod() const {
  const auto pod = inet("10.0.0.1", 1000);
  // A refusal on the way out may show as an error of the call.
  (void)::sendto(udp_.get(), "x", 1, 0, generic(pod), sizeof(pod));
  return arrives(raw_.get());
}

UniqueFd foreign_program(std::uint16_t tc_index) {
  std::vector<bpf_insn> code;
  if (tc_index != 0) {
    code.push_back({.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 2, .src_reg = 0, .off = 0, .imm = tc_index});
    code.push_back({.code = BPF_STX | BPF_MEM | BPF_W,
                    .dst_reg = 1,
                    .src_reg = 2,
                    .off = offsetof(__sk_buff, tc_index),
                    .imm = 0});
  }
  code.push_back({.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = -1});
  code.push_back({.code = BPF_JMP | BPF_EXIT, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = 0});
  UniqueFd fd(bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, "foreign", "GPL", code.data(), code.size(), nullptr));
  require(fd.valid(), "load");
  return fd;
}

}  // namespace netkite::bpf_tests
