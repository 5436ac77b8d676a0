// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/tests/lab.hpp"

#include <bpf/bpf.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "common/netlink/address.hpp"
#include "common/netlink/link_netkit.hpp"
#include "common/netlink/link_veth.hpp"
#include "common/netlink/neighbor.hpp"
#include "common/netlink/netns.hpp"
#include "common/netlink/route.hpp"

namespace netkite::datapath::lab {
namespace {

namespace fs = std::filesystem;
constexpr std::uint16_t kPort = 4242;

template <typename T>
T must(Result<T> result) {
  if (!result) throw std::runtime_error(result.error().message);
  if constexpr (!std::is_void_v<T>) return std::move(*result);
}

// The address as the socket calls want it.
std::pair<sockaddr_storage, socklen_t> socket_address(const Ip& address, std::uint16_t port) {
  sockaddr_storage storage{};
  if (address.is_v4()) {
    auto& v4 = reinterpret_cast<sockaddr_in&>(storage);
    v4.sin_family = AF_INET;
    v4.sin_port = htons(port);
    std::memcpy(&v4.sin_addr, address.bytes().data(), 4);
    return {storage, sizeof(v4)};
  }
  auto& v6 = reinterpret_cast<sockaddr_in6&>(storage);
  v6.sin6_family = AF_INET6;
  v6.sin6_port = htons(port);
  std::memcpy(&v6.sin6_addr, address.bytes().data(), 16);
  return {storage, sizeof(v6)};
}

void set_sysctl(const std::string& name, const std::string& value) { std::ofstream("/proc/sys/" + name) << value; }

void build_pair(netlink::Socket& node, const Pod& pod) {
  const auto& device = pod.device;
  if (device.mode == wire::DeviceMode::veth) {
    must(netlink::create_veth(node, {.host_name = device.host_ifname,
                                     .pod_name = "eth0",
                                     .pod_netns_fd = pod.netns.get(),
                                     .host_mac = device.host_mac,
                                     .pod_mac = device.pod_mac}));
    return;
  }
  const bool l3 = device.mode == wire::DeviceMode::netkit;
  netlink::NetkitPair pair{.host_name = device.host_ifname,
                           .pod_name = "eth0",
                           .pod_netns_fd = pod.netns.get(),
                           .l3 = l3,
                           .host_mac = {},
                           .pod_mac = {}};
  if (!l3) {
    pair.host_mac = device.host_mac;
    pair.pod_mac = device.pod_mac;
  }
  must(netlink::create_netkit(node, pair));
}

// Addresses and routes inside the pod, as the plugin would leave them.
void furnish(const Pod& pod) {
  auto socket = must(netlink::Socket::open_in(pod.netns.get()));
  const auto eth0 = must(netlink::get_link(socket, std::string("eth0")));
  must(netlink::change_link(socket, eth0.index, {.up = true, .ipv6_addr_gen_none = true}));
  const bool l2 = pod.device.mode != wire::DeviceMode::netkit;
  for (const auto& address : pod.device.addresses) {
    must(netlink::add_address(socket, {.ifindex = eth0.index, .address = address, .prefix_length = address.width()}));
    netlink::Route route{.destination = must(Cidr::of(address.is_v4() ? Ip() : ip("::"), 0)), .ifindex = eth0.index};
    if (l2) {
      route.gateway = ip(address.is_v4() ? "169.254.1.1" : "fe80::1");
      route.onlink = true;
      must(netlink::add_permanent_neighbor(socket, eth0.index, *route.gateway, pod.device.host_mac));
    } else {
      route.link_scope = true;
    }
    must(netlink::add_route(socket, route));
  }
}

}  // namespace

Ip ip(const std::string& text) { return must(Ip::parse(text)); }
Cidr cidr(const std::string& text) { return must(Cidr::parse(text)); }

UniqueFd new_netns() {
  UniqueFd fd;
  std::thread([&fd] {
    if (::unshare(CLONE_NEWNET) == 0) fd.reset(::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
  }).join();
  return fd;
}

const Features& features() {
  static const Features kFeatures = probe_features();
  return kFeatures;
}

Udp::Udp(int netns, const Ip& address, std::uint16_t port) {
  const auto open = [&]() -> Result<void> {
    fd_.reset(::socket(address.af(), SOCK_DGRAM | SOCK_CLOEXEC, 0));
    const auto [storage, length] = socket_address(address, port);
    if (::bind(fd_.get(), reinterpret_cast<const sockaddr*>(&storage), length) != 0) return fail_errno(errno, "bind");
    return {};
  };
  if (netns < 0) {
    must(open());
  } else {
    must(netlink::in_netns(netns, open));
  }
}

void Udp::send(const Ip& to, std::uint16_t port, const std::string& text) const {
  const auto [storage, length] = socket_address(to, port);
  ::sendto(fd_.get(), text.data(), text.size(), 0, reinterpret_cast<const sockaddr*>(&storage), length);
}

std::string Udp::receive(int milliseconds) const {
  pollfd wait{.fd = fd_.get(), .events = POLLIN, .revents = 0};
  if (::poll(&wait, 1, milliseconds) <= 0) return {};
  std::array<char, 2048> buffer{};
  const auto count = ::recv(fd_.get(), buffer.data(), buffer.size(), 0);
  return count <= 0 ? std::string() : std::string(buffer.data(), static_cast<std::size_t>(count));
}

Foreign::Foreign(int verdict, const char* name) {
  const std::array<bpf_insn, 2> code = {
      bpf_insn{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = verdict},
      bpf_insn{.code = BPF_JMP | BPF_EXIT, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = 0}};
  program_.reset(bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, name, "GPL", code.data(), code.size(), nullptr));
  EXPECT_TRUE(program_.valid()) << strerror(errno);
}

void Foreign::attach(std::uint32_t ifindex, Hook hook, bool first) {
  LIBBPF_OPTS(bpf_link_create_opts, options, .flags = first ? BPF_F_BEFORE : BPF_F_AFTER);
  link_.reset(bpf_link_create(program_.get(), static_cast<int>(ifindex), attach_type(hook), &options));
  ASSERT_TRUE(link_.valid()) << strerror(errno);
}

void Foreign::attach_xdp(std::uint32_t ifindex) {
  const std::array<bpf_insn, 2> code = {
      bpf_insn{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = XDP_PASS},
      bpf_insn{.code = BPF_JMP | BPF_EXIT, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = 0}};
  LIBBPF_OPTS(bpf_prog_load_opts, options, .expected_attach_type = BPF_XDP);
  program_.reset(bpf_prog_load(BPF_PROG_TYPE_XDP, "foreign_xdp", "GPL", code.data(), code.size(), &options));
  link_.reset(bpf_link_create(program_.get(), static_cast<int>(ifindex), BPF_XDP, nullptr));
  ASSERT_TRUE(link_.valid()) << strerror(errno);
}

std::uint32_t Foreign::id() const { return must(program_info(program_.get())).id; }

std::uint64_t Foreign::runs() const { return runs_of(id()); }

std::uint64_t runs_of(std::uint32_t program_id) {
  const UniqueFd fd(bpf_prog_get_fd_by_id(program_id));
  bpf_prog_info info{};
  __u32 length = sizeof(info);
  if (bpf_obj_get_info_by_fd(fd.get(), &info, &length) != 0) return 0;
  return info.run_cnt;
}

void LabTest::SetUp() {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  ASSERT_EQ(::unshare(CLONE_NEWNET | CLONE_NEWNS), 0) << strerror(errno);
  ASSERT_EQ(::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr), 0) << strerror(errno);
  root_ = (fs::temp_directory_path() / "netkite-datapath.XXXXXX").string();
  ASSERT_NE(::mkdtemp(root_.data()), nullptr);
  fs::create_directories(folder("bpf"));
  fs::create_directories(folder("run"));
  ASSERT_EQ(::mount("bpf", folder("bpf").c_str(), "bpf", 0, nullptr), 0) << strerror(errno);
  options_.bpffs = folder("bpf/node");
  options_.run_dir = folder("run");
  options_.datapath.compile = config::Compile::embedded;
  options_.datapath.cache_dir = folder("cache");
  options_.datapath.source_dir = NETKITE_BPF_SOURCES;
  ExpediteRcu::configure(true, folder("run"));
  statistics_.reset(bpf_enable_stats(BPF_STATS_RUN_TIME));
  auto socket = must(netlink::Socket::open());
  must(netlink::change_link(socket, 1, {.up = true}));
  must(netlink::add_address(socket, {.ifindex = 1, .address = ip("192.0.2.100"), .prefix_length = 32}));
  must(netlink::add_address(socket, {.ifindex = 1, .address = ip("2001:db8::100"), .prefix_length = 128}));
  for (const char* file : {"all", "default"}) set_sysctl("net/ipv4/conf/" + std::string(file) + "/rp_filter", "0");
  set_sysctl("net/ipv4/ip_forward", "1");
}

void LabTest::TearDown() {
  datapath_.reset();
  if (root_.empty()) return;
  ::umount2(folder("bpf").c_str(), MNT_DETACH);
  fs::remove_all(root_);
}

void LabTest::reopen() {
  datapath_.reset();
  datapath_ = must(Datapath::open(options_, features()));
}

Pod LabTest::make_pod(wire::DeviceMode kind, const std::string& name, const std::string& address,
                      const std::string& address6) {
  static std::uint32_t id = 0;
  Pod pod{.netns = new_netns(), .device = {}};
  pod.device = {.id = ++id,
                .host_ifname = name,
                .host_ifindex = 0,
                .mode = kind,
                .addresses = {ip(address)},
                .pod_mac = {},
                .host_mac = {}};
  if (!address6.empty()) pod.device.addresses.push_back(ip(address6));
  if (kind != wire::DeviceMode::netkit) {
    pod.device.pod_mac = Mac::derived(name + "/pod");
    pod.device.host_mac = Mac::derived(name);
  }
  auto socket = must(netlink::Socket::open());
  build_pair(socket, pod);
  pod.device.host_ifindex = must(netlink::get_link(socket, name)).index;
  must(netlink::change_link(socket, pod.device.host_ifindex, {.up = true, .ipv6_addr_gen_none = true}));
  for (const auto& each : pod.device.addresses) {
    must(netlink::add_route(socket,
                            {.destination = Cidr::host(each), .ifindex = pod.device.host_ifindex, .link_scope = true}));
    if (kind != wire::DeviceMode::netkit) {
      must(netlink::add_permanent_neighbor(socket, pod.device.host_ifindex, each, pod.device.pod_mac));
    }
  }
  furnish(pod);
  // Both ends' pending link-watch work, so that the first packet passes.
  std::ignore = netlink::get_link(socket, name);
  auto inside = must(netlink::Socket::open_in(pod.netns.get()));
  std::ignore = netlink::get_link(inside, std::string("eth0"));
  return pod;
}

LabTest::Uplink LabTest::make_uplink(const std::string& name) {
  Uplink uplink{.netns = new_netns(), .ifindex = 0, .name = name};
  auto socket = must(netlink::Socket::open());
  must(netlink::create_veth(
      socket,
      {.host_name = name, .pod_name = "wire0", .pod_netns_fd = uplink.netns.get(), .host_mac = {}, .pod_mac = {}}));
  uplink.ifindex = must(netlink::get_link(socket, name)).index;
  must(netlink::change_link(socket, uplink.ifindex, {.up = true}));
  must(netlink::add_address(socket, {.ifindex = uplink.ifindex, .address = ip("192.0.2.1"), .prefix_length = 30}));
  auto there = must(netlink::Socket::open_in(uplink.netns.get()));
  const auto wire = must(netlink::get_link(there, std::string("wire0")));
  must(netlink::change_link(there, wire.index, {.up = true}));
  must(netlink::add_address(there, {.ifindex = wire.index, .address = ip("192.0.2.2"), .prefix_length = 30}));
  netlink::Route route{.destination = must(Cidr::of(Ip(), 0)), .ifindex = wire.index};
  route.gateway = ip("192.0.2.1");
  must(netlink::add_route(there, route));
  std::ignore = netlink::get_link(socket, name);
  return uplink;
}

UniqueFd LabTest::pinned_map(const std::string& name) const {
  return UniqueFd(bpf_obj_get((options_.bpffs + "/maps/" + name).c_str()));
}

std::uint64_t LabTest::epoch() const {
  const std::uint32_t key = 0;
  std::uint64_t value = 0;
  EXPECT_EQ(bpf_map_lookup_elem(pinned_map("nk_epoch_v1").get(), &key, &value), 0);
  return value;
}

std::vector<std::string> LabTest::pins(const std::string& name) const {
  std::vector<std::string> found;
  if (!fs::exists(options_.bpffs + "/" + name)) return found;
  for (const auto& entry : fs::directory_iterator(options_.bpffs + "/" + name))
    found.push_back(entry.path().filename());
  std::ranges::sort(found);
  return found;
}

std::string LabTest::shared_folder(const std::string& name) {
  struct Folder {
    std::string path = (fs::temp_directory_path() / "netkite-shared.XXXXXX").string();
    Folder() { std::ignore = ::mkdtemp(path.data()); }
    ~Folder() { fs::remove_all(path); }
  };
  static const Folder kFolder;
  return kFolder.path + "/" + name;
}

void LabTest::write_file(const std::string& path, const std::string& text) const {
  fs::create_directories(fs::path(path).parent_path());
  std::ofstream(path) << text;
}

bool LabTest::reaches_pod(const Pod& pod) const {
  for (const auto& address : pod.device.addresses) {
    const Udp inside(pod.netns.get(), address, kPort);
    const Udp outside(-1, ip(address.is_v4() ? "192.0.2.100" : "2001:db8::100"), 0);
    outside.send(address, kPort, "in");
    if (inside.receive(200) != "in") return false;
  }
  return true;
}

bool LabTest::leaves_pod(const Pod& pod) const {
  for (const auto& address : pod.device.addresses) {
    const auto target = ip(address.is_v4() ? "192.0.2.100" : "2001:db8::100");
    const Udp outside(-1, target, kPort);
    const Udp inside(pod.netns.get(), address, 0);
    inside.send(target, kPort, "out");
    if (outside.receive(200) != "out") return false;
  }
  return true;
}

void DeviceTest::SetUp() {
  LabTest::SetUp();
  if (IsSkipped()) return;
  if (GetParam() != wire::DeviceMode::veth && !features().netkit) GTEST_SKIP() << features().missing.front();
  if (GetParam() == wire::DeviceMode::veth) options_.device = config::Device::veth;
  reopen();
}

Hook DeviceTest::from_hook() const {
  return GetParam() == wire::DeviceMode::veth ? Hook::tcx_ingress : Hook::netkit_peer;
}

Hook DeviceTest::to_hook() const {
  return GetParam() == wire::DeviceMode::veth ? Hook::tcx_egress : Hook::netkit_primary;
}

std::string kind_name(const testing::TestParamInfo<wire::DeviceMode>& info) {
  auto name = std::string(wire::to_string(info.param));
  std::ranges::replace(name, '-', '_');
  return name;
}

std::vector<Chain::Entry> chain(std::uint32_t ifindex, Hook hook) {
  auto entries = query_chain(ifindex, hook).value_or(Chain{}).entries;
  std::erase_if(entries, [](const Chain::Entry& entry) {
    const auto info = program_info_by_id(entry.program_id);
    return info && info->name == "nk_backstop";
  });
  return entries;
}

std::vector<std::string> names(std::uint32_t ifindex, Hook hook) {
  std::vector<std::string> found;
  for (const auto& entry : chain(ifindex, hook)) {
    const auto info = program_info_by_id(entry.program_id);
    found.push_back(info ? info->name : "?");
  }
  return found;
}

std::uint64_t entries_of(Datapath& datapath, const std::string& map) {
  const auto reports = datapath.maps().value();
  const auto found = std::ranges::find(reports, map, &MapReport::name);
  return found == reports.end() ? UINT64_MAX : found->entries.value_or(UINT64_MAX);
}

std::uint64_t drops_of(Datapath& datapath, const std::string& reason) {
  const auto counts = datapath.drops().value();
  const auto found = std::ranges::find(counts, reason, &DropCount::reason);
  return found == counts.end() ? UINT64_MAX : found->packets;
}

}  // namespace netkite::datapath::lab
