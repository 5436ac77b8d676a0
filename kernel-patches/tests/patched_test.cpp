// SPDX-License-Identifier: Apache-2.0
// What our series add. Only on a kernel that has them, which dev/kernel test says: a probe would skip what is broken.
#include <bpf/bpf.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netlink/attr.h>
#include <netlink/msg.h>
#include <sched.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <span>
#include <string>
#include <thread>

#include "common/netlink/link.hpp"
#include "common/netlink/link_netkit.hpp"
#include "kernel-patches/tests/hook.hpp"

namespace netkite::kernel_tests {
namespace {

constexpr int kHeadroom = netlink::kNetkitHeadroom, kTailroom = 9;  // IFLA_NETKIT_* of newer kernels
constexpr std::int32_t kPass = 0, kDrop = 2;

// return helper(ifindex, 0)
UniqueFd load_redirect(bpf_func_id helper, std::uint32_t ifindex) {
  const std::array<bpf_insn, 4> code{{
      {.code = BPF_ALU64 | BPF_MOV | BPF_K,
       .dst_reg = 1,
       .src_reg = 0,
       .off = 0,
       .imm = static_cast<std::int32_t>(ifindex)},
      {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 2, .src_reg = 0, .off = 0, .imm = 0},
      {.code = BPF_JMP | BPF_CALL, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = helper},
      {.code = BPF_JMP | BPF_EXIT, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = 0},
  }};
  return UniqueFd(bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, "nk_redirect", "GPL", code.data(), code.size(), nullptr));
}

class PatchedTest : public testing::Test {
 protected:
  void SetUp() override {
    if (std::getenv("NETKITE_PATCHED") == nullptr)
      GTEST_SKIP() << "not on a kernel of kernel-patches/: dev/kernel test";
  }

  // How often the programs with this map have run.
  [[nodiscard]] std::uint64_t runs() const {
    std::uint64_t value = 0;
    const std::uint32_t key = 0;
    EXPECT_EQ(bpf_map_lookup_elem(map_.get(), &key, &value), 0);
    return value;
  }
  [[nodiscard]] bool runs_become(std::uint64_t wanted) const {
    for (int i = 0; i < 500 && runs() < wanted; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(10));
    return runs() == wanted;
  }

  UniqueFd map_{bpf_map_create(BPF_MAP_TYPE_ARRAY, "nk_runs", 4, 8, 1, nullptr)};
};

std::uint16_t room_of(netlink::Socket& socket, std::uint32_t ifindex, int wanted) {
  netlink::Message request(RTM_GETLINK, 0);
  ifinfomsg header{};
  header.ifi_index = static_cast<int>(ifindex);
  request.header(header);
  std::uint16_t room = 0;
  const auto read = [&](const nlmsghdr& answer) {
    auto* link = nlmsg_find_attr(const_cast<nlmsghdr*>(&answer), sizeof(ifinfomsg), IFLA_LINKINFO);
    auto* data =
        link == nullptr ? nullptr : nla_find(static_cast<nlattr*>(nla_data(link)), nla_len(link), IFLA_INFO_DATA);
    auto* found = data == nullptr ? nullptr : nla_find(static_cast<nlattr*>(nla_data(data)), nla_len(data), wanted);
    if (found != nullptr) room = nla_get_u16(found);
  };
  EXPECT_TRUE(socket.query(request, "link", read));
  return room;
}

// To a new pair whose primary is `name`, or to the existing one.
Result<void> send_rooms(netlink::Socket& socket, int flags, const std::string& name, std::uint16_t headroom) {
  netlink::Message request(RTM_NEWLINK, flags);
  request.header(ifinfomsg{});
  request.put_string(IFLA_IFNAME, name);
  {
    const netlink::Message::Nest link(request, IFLA_LINKINFO);
    request.put_string(IFLA_INFO_KIND, "netkit");
    const netlink::Message::Nest data(request, IFLA_INFO_DATA);
    const std::uint16_t tailroom = 32;
    request.put(kHeadroom, &headroom, sizeof(headroom));
    if ((flags & NLM_F_CREATE) != 0) request.put(kTailroom, &tailroom, sizeof(tailroom));
  }
  return socket.request(request, "rooms");
}

TEST_F(PatchedTest, RoomIsTakenAtCreationAndKept) {
  const Hook plain(BPF_NETKIT_PRIMARY);
  auto socket = netlink::Socket::open().value();
  EXPECT_EQ(room_of(socket, plain.ifindex(), kHeadroom), 0);
  const auto made = send_rooms(socket, NLM_F_CREATE | NLM_F_EXCL, "room0", 64);
  ASSERT_TRUE(made) << made.error().message;
  const auto primary = netlink::get_link(socket, std::string("room0")).value();
  for (const auto index : {primary.index, primary.peer_index}) {
    EXPECT_EQ(room_of(socket, index, kHeadroom), 64);
    EXPECT_EQ(room_of(socket, index, kTailroom), 32);
  }
  const auto changed = send_rooms(socket, 0, "room0", 64);
  ASSERT_FALSE(changed);
  EXPECT_EQ(changed.error().os_error, EACCES) << changed.error().message;
}

// Offsets of headers in a packet have 16 bits: nobody may ask for room that makes them wrap.
TEST_F(PatchedTest, RoomIsBounded) {
  const Hook hook(BPF_NETKIT_PRIMARY);  // a network namespace of our own
  auto socket = netlink::Socket::open().value();
  const auto most = send_rooms(socket, NLM_F_CREATE | NLM_F_EXCL, "room0", 512);
  EXPECT_TRUE(most) << most.error().message;
  for (const auto headroom : std::to_array<std::uint16_t>({513, 65535})) {
    const auto made = send_rooms(socket, NLM_F_CREATE | NLM_F_EXCL, "room1", headroom);
    ASSERT_FALSE(made) << headroom;
    EXPECT_EQ(made.error().os_error, ERANGE) << made.error().message;
    EXPECT_FALSE(netlink::get_link(socket, std::string("room1")));
  }
}

// Between two pods of one node: the target's own program on its primary does not see the packet.
TEST_F(PatchedTest, APacketIsHandedToAnotherPod) {
  const Hook hook(BPF_NETKIT_PEER);
  auto socket = netlink::Socket::open().value();
  const auto target = hook.add_pair("nk1");
  const auto seen = load_program({.verdict = kPass, .map = map_.get()});
  const auto passed_by = load_program({.verdict = kDrop});
  const UniqueFd at_target = target.attach_inside(seen);
  const UniqueFd at_primary(
      bpf_link_create(passed_by.get(), static_cast<int>(target.ifindex), BPF_NETKIT_PRIMARY, nullptr));
  ASSERT_TRUE(at_target.valid() && at_primary.valid());
  UniqueFd link;
  const auto program = load_redirect(BPF_FUNC_redirect_peer, target.ifindex);
  ASSERT_TRUE(program.valid());
  ASSERT_EQ(hook.attach_link({.program = program.get()}, link), 0);
  for (std::uint64_t packets = 1; packets <= 3; ++packets) {
    hook.pass_a_packet();
    EXPECT_TRUE(runs_become(packets));
  }
  EXPECT_EQ(hook.counter("tx_packets"), 3U);
  EXPECT_EQ(hook.counter("tx_dropped"), 0U);
}

TEST_F(PatchedTest, AFailedRedirectIsADrop) {
  for (const auto helper : {BPF_FUNC_redirect, BPF_FUNC_redirect_peer}) {
    const Hook hook(BPF_NETKIT_PEER);
    UniqueFd link;
    const auto program = load_redirect(helper, 4711);
    ASSERT_EQ(hook.attach_link({.program = program.get()}, link), 0);
    hook.pass_a_packet();
    EXPECT_EQ(hook.counter("tx_packets"), 0U);
    EXPECT_EQ(hook.counter("tx_dropped"), 1U);
  }
}

// Reasons of the packets that were freed, whoever sent them: event filters want thread ids of the first PID namespace.
class DropReasons {
 public:
  DropReasons() {
    std::filesystem::create_directory(instance_);
    set("events/skb/kfree_skb/enable", "1");
  }
  DropReasons(const DropReasons&) = delete;
  DropReasons& operator=(const DropReasons&) = delete;
  ~DropReasons() {
    set("events/skb/kfree_skb/enable", "0");
    std::error_code ignored;
    std::filesystem::remove(instance_, ignored);
  }
  // Since the last call.
  [[nodiscard]] std::string take() const {
    std::ifstream file(instance_ + "/trace");
    std::string lines(std::istreambuf_iterator<char>(file), {});
    set("trace", "");
    return lines;
  }

 private:
  void set(const char* name, const std::string& value) const {
    std::ofstream file(instance_ + "/" + name);
    file << value;
    file.flush();
    EXPECT_TRUE(file.good()) << name;
  }
  std::string instance_ = "/sys/kernel/tracing/instances/netkite-" + std::to_string(::getpid());
};

TEST_F(PatchedTest, ADropSaysWhy) {
  const Hook hook(BPF_NETKIT_PRIMARY);
  const DropReasons reasons;
  hook.pass_a_packet();
  EXPECT_NE(reasons.take().find("reason: NETKIT_POLICY"), std::string::npos);

  UniqueFd link;
  const auto program = load_program({.verdict = kDrop});
  ASSERT_EQ(hook.attach_link({.program = program.get()}, link), 0);
  hook.pass_a_packet();
  EXPECT_NE(reasons.take().find("reason: NETKIT_PROG"), std::string::npos);
}

// The pod's end comes up first; nobody flushes the link watch.
TEST_F(PatchedTest, TheFirstPacketPasses) {
  const Hook hook(BPF_NETKIT_PEER);
  UniqueFd link;
  const auto program = load_program({.verdict = kPass, .map = map_.get()});
  ASSERT_EQ(hook.attach_link({.program = program.get()}, link), 0);
  for (int time = 0; time < 50; ++time) {
    hook.restart();
    hook.pass_a_packet();
  }
  EXPECT_EQ(runs(), 50U);
}

}  // namespace
}  // namespace netkite::kernel_tests
