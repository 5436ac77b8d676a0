// SPDX-License-Identifier: Apache-2.0
// Everything that changes programs, at once and under traffic. The kernel's own checks (KASAN, lockdep, kmemleak) find
// what is freed too early or never; what is counted here finds programs that run when they are gone.
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <functional>
#include <memory>
#include <optional>
#include <random>
#include <sstream>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include "common/netlink/link.hpp"
#include "common/netlink/netns.hpp"
#include "tests/tools/attach/attach.hpp"
#include "tests/tools/attach/device.hpp"

namespace netkite::tools {
namespace {

using namespace std::chrono_literals;
constexpr std::array kHooks{BPF_NETKIT_PRIMARY, BPF_NETKIT_PEER, BPF_TCX_INGRESS, BPF_TCX_EGRESS};
constexpr std::int32_t kNext = -1, kPass = 0;
constexpr std::size_t kCounters = 7;

// Sends frames from a device, as fast as it goes.
class Sender {
 public:
  // `bypass`: past its queue, where the kernel looks less closely whether the device is still up.
  explicit Sender(std::uint32_t ifindex, bool bypass = false)
      : socket_(::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0)) {
    sockaddr_ll address{};
    address.sll_family = AF_PACKET;
    address.sll_protocol = htons(ETH_P_IP);
    address.sll_ifindex = static_cast<int>(ifindex);
    if (::bind(socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
      end_with_errno("bind a packet socket");
    }
    const int value = bypass ? 1 : 0;
    if (::setsockopt(socket_.get(), SOL_PACKET, PACKET_QDISC_BYPASS, &value, sizeof(value)) != 0) {
      end_with_errno("PACKET_QDISC_BYPASS");
    }
  }
  void send() const {
    std::array<std::uint8_t, 64> frame{};
    frame[12] = ETH_P_IP >> 8;
    // Refused while the device is full, down or gone: that is part of it.
    std::ignore = ::send(socket_.get(), frame.data(), frame.size(), 0);
  }

 private:
  UniqueFd socket_;
};

struct Pair {
  UniqueFd pod;
  std::uint32_t primary = 0, peer = 0;
};

Pair make_live_pair(netlink::Socket& here, const std::string& name) {
  Pair pair{.pod = new_netns()};
  pair.primary = make_pair(here, name, "eth0", pair.pod.get());
  auto there = must(netlink::Socket::open_in(pair.pod.get()));
  pair.peer = must(netlink::get_link(there, std::string("eth0"))).index;
  must(netlink::change_link(here, pair.primary, {.up = true}));
  must(netlink::change_link(there, pair.peer, {.up = true}));
  return pair;
}

std::uint32_t ifindex_of(const UniqueFd& link) {
  bpf_link_info info{};
  __u32 length = sizeof(info);
  if (bpf_obj_get_info_by_fd(link.get(), &info, &length) != 0) end_with_errno("link information");
  return info.netkit.ifindex;
}

// A classifier that redirects to the device whose number `map` holds, or to that one's peer: either, by chance.
UniqueFd load_redirect(int map) {
  const auto call = [](bpf_func_id helper) {
    return bpf_insn{.code = BPF_JMP | BPF_CALL, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = helper};
  };
  const bpf_insn end{.code = BPF_JMP | BPF_EXIT, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = 0};
  const std::array<bpf_insn, 12> code{{
      {.code = BPF_LD | BPF_DW | BPF_IMM, .dst_reg = 1, .src_reg = BPF_PSEUDO_MAP_VALUE, .off = 0, .imm = map},
      {},
      {.code = BPF_LDX | BPF_W | BPF_MEM, .dst_reg = 6, .src_reg = 1, .off = 0, .imm = 0},
      call(BPF_FUNC_get_prandom_u32),
      {.code = BPF_ALU64 | BPF_AND | BPF_K, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = 1},
      {.code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = 1, .src_reg = 6, .off = 0, .imm = 0},
      {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 2, .src_reg = 0, .off = 0, .imm = 0},
      {.code = BPF_JMP | BPF_JEQ | BPF_K, .dst_reg = 0, .src_reg = 0, .off = 2, .imm = 0},
      call(BPF_FUNC_redirect_peer),
      end,
      call(BPF_FUNC_redirect),
      end,
  }};
  UniqueFd fd(bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, "nk_redirect", "GPL", code.data(), code.size(), nullptr));
  if (!fd.valid()) end_with_errno("load a program that redirects");
  return fd;
}

// What the pod's end of a pair has sent.
std::uint64_t sent_by_pod(const Pair& pair) {
  std::uint64_t value = 0;
  must(netlink::in_netns(pair.pod.get(), [&value]() -> Result<void> {
    std::ifstream file("/proc/thread-self/net/dev");
    for (std::string line; std::getline(file, line);) {
      const auto at = line.find("eth0:");
      if (at == std::string::npos) continue;
      // Received: eight numbers; sent: bytes, packets, …
      std::istringstream fields(line.substr(at + 5));
      for (int i = 0; i < 10; ++i) fields >> value;
    }
    return {};
  }));
  return value;
}

// What all threads share. Each job is one thread that repeats its step until the time is over.
class Stress {
 public:
  bool run(int seconds);

 private:
  using Random = std::minstd_rand;
  using Step = std::function<void(Random&)>;
  struct Job {
    const char* name;
    std::uint64_t steps = 0;
    std::thread thread{};
  };
  // `netns`: where the thread lives.
  void start(const char* name, const UniqueFd& netns, Step step);
  void flood(const Pair& pair, const char* name);
  void change_links(bpf_attach_type hook, Random& random);
  void change_programs(bpf_attach_type hook, Random& random);
  void churn(Random& random);
  void stop();
  [[nodiscard]] UniqueFd counting(std::int32_t verdict, std::uint32_t key) {
    return load_program(verdict, map_.get(), key);
  }
  [[nodiscard]] std::array<std::uint64_t, kCounters> counts() const;
  void complain(const char* what) {
    good_ = false;
    std::printf("WRONG: %s\n", what);
  }

  UniqueFd here_ = new_netns(), map_, target_;
  Pair of_links_, of_programs_, of_redirects_;
  std::vector<std::unique_ptr<Job>> jobs_;
  std::atomic<bool> stopping_ = false, good_ = true;
};

void Stress::start(const char* name, const UniqueFd& netns, Step step) {
  auto& job = jobs_.emplace_back(std::make_unique<Job>(Job{.name = name}));
  job->thread = std::thread([this, &job = *job, &netns, step = std::move(step), seed = jobs_.size()] {
    enter_netns(netns);
    Random random(seed);
    for (; !stopping_; ++job.steps) step(random);
  });
}

void Stress::stop() {
  stopping_ = true;
  for (const auto& job : jobs_) {
    job->thread.join();
    if (job->steps == 0) complain("a job did nothing");
    std::printf("%s: %llu\n", job->name, static_cast<unsigned long long>(job->steps));
  }
  jobs_.clear();
  stopping_ = false;
}

// Pauses leave a processor to those who change something.
void Stress::flood(const Pair& pair, const char* name) {
  const auto from = [this, name](const UniqueFd& netns, std::uint32_t device) {
    start(name, netns, [sender = std::make_shared<std::optional<Sender>>(), device](Random&) {
      if (!*sender) sender->emplace(device);
      for (int i = 0; i < 50; ++i) (*sender)->send();
      std::this_thread::sleep_for(1ms);
    });
  };
  from(here_, pair.primary);
  from(pair.pod, pair.peer);
}

// Two links that come and go in any order, with an update in between or not.
void Stress::change_links(bpf_attach_type hook, Random& random) {
  auto first = attach(counting(kNext, 0), of_links_.primary, hook);
  auto second = attach(counting(kNext, 1), of_links_.primary, hook, random() % 2 == 0);
  if (random() % 2 == 0) {
    const auto other = counting(kPass, 2);
    if (bpf_link_update(first.get(), other.get(), nullptr) != 0) end_with_errno("update a link");
  }
  if (random() % 2 == 0 && bpf_link_detach(second.get()) != 0) end_with_errno("detach a link");
  if (random() % 2 == 0) std::swap(first, second);
  first.reset();
}

// Without links: attached, replaced, detached.
void Stress::change_programs(bpf_attach_type hook, Random& random) {
  const auto ifindex = static_cast<int>(of_programs_.primary);
  auto program = counting(kNext, 3);
  LIBBPF_OPTS(bpf_prog_attach_opts, attaching);
  if (bpf_prog_attach_opts(program.get(), ifindex, hook, &attaching) != 0) end_with_errno("attach a program");
  if (random() % 2 == 0) {
    auto other = counting(kPass, 4);
    attaching.flags = BPF_F_REPLACE;
    attaching.replace_prog_fd = program.get();
    if (bpf_prog_attach_opts(other.get(), ifindex, hook, &attaching) != 0) end_with_errno("replace a program");
    program = std::move(other);
  }
  LIBBPF_OPTS(bpf_prog_detach_opts, detaching);
  if (bpf_prog_detach_opts(program.get(), ifindex, hook, &detaching) != 0) end_with_errno("detach a program");
}

// A pod's whole life. When its device or its namespace goes, packets are on their way from both ends and from another
// pod, and somebody reads its links.
void Stress::churn(Random& random) {
  auto here = must(netlink::Socket::open());
  auto pair = make_live_pair(here, "churn");
  const auto program = counting(kNext, 5);
  std::vector<UniqueFd> links;
  for (const auto hook : kHooks) links.push_back(attach(program, pair.primary, hook));
  LIBBPF_OPTS(bpf_prog_attach_opts, attaching);
  const auto bare = counting(kNext, 6);
  for (const auto hook : kHooks) {
    if (bpf_prog_attach_opts(bare.get(), static_cast<int>(pair.primary), hook, &attaching) != 0)
      end_with_errno("attach");
  }
  const std::uint32_t key = 0;
  if (bpf_map_update_elem(target_.get(), &key, &pair.primary, BPF_ANY) != 0) end_with_errno("set the target");
  const bool deleted = random() % 2 == 0;
  std::atomic<bool> done = false;
  std::vector<std::thread> others;
  for (const bool bypass : {false, true}) {
    others.emplace_back([&, sender = Sender(pair.primary, bypass)] {
      while (!done) sender.send();
    });
  }
  // A socket in there would keep the namespace.
  std::optional<Sender> inside;
  if (deleted) {
    must(netlink::in_netns(pair.pod.get(), [&]() -> Result<void> {
      inside.emplace(pair.peer);
      return {};
    }));
    others.emplace_back([&] {
      while (!done) inside->send();
    });
  }
  others.emplace_back([&] {
    while (!done) {
      for (const auto& link : links) {
        if (const auto index = ifindex_of(link); index != 0 && index != pair.primary) {
          // Links on the peer name it by its index in the pod.
          if (index != pair.peer) complain("a link names another device");
        }
      }
    }
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(random() % 20));
  if (deleted) {
    must(netlink::delete_link(here, pair.primary));
  } else {
    pair.pod.reset();
    while (netlink::get_link(here, pair.primary)) std::this_thread::sleep_for(1ms);
  }
  done = true;
  for (auto& other : others) other.join();
  for (const auto& link : links) {
    if (ifindex_of(link) != 0) complain("a link names a device that is gone");
  }
}

std::array<std::uint64_t, kCounters> Stress::counts() const {
  std::array<std::uint64_t, kCounters> values{};
  const std::uint32_t key = 0;
  if (bpf_map_lookup_elem(map_.get(), &key, values.data()) != 0) end_with_errno("read the counters");
  return values;
}

bool Stress::run(int seconds) {
  enter_netns(here_);
  map_.reset(bpf_map_create(BPF_MAP_TYPE_ARRAY, "nk_stress", 4, sizeof(std::uint64_t) * kCounters, 1, nullptr));
  if (!map_.valid()) end_with_errno("create the counters");
  target_.reset(bpf_map_create(BPF_MAP_TYPE_ARRAY, "nk_target", 4, sizeof(std::uint32_t), 1, nullptr));
  if (!target_.valid()) end_with_errno("create the map of the target");
  auto here = must(netlink::Socket::open());
  of_links_ = make_live_pair(here, "links");
  of_programs_ = make_live_pair(here, "programs");
  of_redirects_ = make_live_pair(here, "redirects");
  const auto redirect = attach(load_redirect(target_.get()), of_redirects_.primary, BPF_NETKIT_PEER);
  flood(of_links_, "packets over links");
  flood(of_programs_, "packets over programs");
  flood(of_redirects_, "packets to another pod");
  for (const auto hook : kHooks) {
    start("changes of links", here_, [this, hook](Random& random) { change_links(hook, random); });
    start("changes of programs", here_, [this, hook](Random& random) { change_programs(hook, random); });
  }
  start("pods", here_, [this](Random& random) { churn(random); });
  std::this_thread::sleep_for(std::chrono::seconds(seconds));
  stop();
  // With our series those that found no target are not among them.
  if (sent_by_pod(of_redirects_) == 0) complain("nothing reached another pod");

  // A grace period later nothing of all that may run any more.
  std::this_thread::sleep_for(1s);
  const auto before = counts();
  flood(of_links_, "packets afterwards");
  flood(of_programs_, "packets afterwards");
  std::this_thread::sleep_for(2s);
  stop();
  for (std::size_t key = 0; key < kCounters; ++key) {
    if (before.at(key) == 0) complain("a program never ran");
  }
  if (counts() != before) complain("a program runs that is detached");
  return good_;
}

}  // namespace

bool stress(int seconds) { return Stress().run(seconds); }

}  // namespace netkite::tools
