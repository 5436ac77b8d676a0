// SPDX-License-Identifier: Apache-2.0
// Medians over a hundred pairs, then a hundred pairs at once as a node with many new pods attaches them.
#include <atomic>
#include <chrono>
#include <cstdio>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include "common/netlink/link.hpp"
#include "common/netlink/link_veth.hpp"
#include "tests/tools/attach/attach.hpp"
#include "tests/tools/attach/device.hpp"
#include "tests/tools/statistics.hpp"

namespace netkite::tools {
namespace {

constexpr std::size_t kPairs = 100, kThreads = 8;

using Clock = std::chrono::steady_clock;
double since(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

void report(const char* name, double milliseconds) { std::printf("%s\t%.4f\n", name, milliseconds); }

template <typename Step>
void measure(const char* name, const Step& step) {
  std::vector<double> samples;
  for (std::size_t i = 0; i < kPairs; ++i) {
    const auto start = Clock::now();
    step(i);
    samples.push_back(since(start));
  }
  report(name, Summary::of(samples).p50);
}

std::string primary(std::size_t i) { return "nka" + std::to_string(i); }

std::vector<std::uint32_t> make_pairs(netlink::Socket& socket) {
  std::vector<std::uint32_t> indexes;
  for (std::size_t i = 0; i < kPairs; ++i) indexes.push_back(make_pair(socket, primary(i), "nkb" + std::to_string(i)));
  return indexes;
}

void look_at(const UniqueFd& link) {
  bpf_link_info info{};
  __u32 length = sizeof(info);
  if (bpf_obj_get_info_by_fd(link.get(), &info, &length) != 0) end_with_errno("link information");
}

// Pods with veth devices: a program on either side of the host's end.
void delete_veths(netlink::Socket& socket, const UniqueFd& program) {
  std::vector<UniqueFd> links;
  for (std::size_t i = 0; i < kPairs; ++i) {
    must(netlink::create_veth(socket, {.host_name = primary(i), .pod_name = "nkb" + std::to_string(i)}));
    const auto index = must(netlink::get_link(socket, primary(i))).index;
    for (const auto hook : {BPF_TCX_INGRESS, BPF_TCX_EGRESS}) links.push_back(attach(program, index, hook));
  }
  measure("delete a veth pair with two tcx links",
          [&](std::size_t i) { must(netlink::delete_link(socket, primary(i))); });
}

// All pairs, both sides, by as many threads as a busy agent has pods in hand; meanwhile somebody else asks for a link.
void burst(const std::vector<std::uint32_t>& indexes, const UniqueFd& program) {
  std::atomic<std::size_t> next = 0;
  std::atomic<bool> done = false;
  std::vector<double> waits;
  std::thread bystander([&] {
    auto socket = must(netlink::Socket::open());
    while (!done) {
      const auto start = Clock::now();
      std::ignore = must(netlink::get_link(socket, indexes[0]));
      waits.push_back(since(start));
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  });
  std::vector<UniqueFd> links(2 * kPairs);
  std::vector<std::thread> threads;
  const auto start = Clock::now();
  for (std::size_t i = 0; i < kThreads; ++i) {
    threads.emplace_back([&] {
      for (std::size_t pair = next++; pair < kPairs; pair = next++) {
        links[2 * pair] = attach(program, indexes[pair], BPF_NETKIT_PRIMARY);
        links[2 * pair + 1] = attach(program, indexes[pair], BPF_NETKIT_PEER);
      }
    });
  }
  for (auto& thread : threads) thread.join();
  const auto total = since(start);
  done = true;
  bystander.join();
  report("100 pairs x 2 links at once", total);
  report("meanwhile, another's link request", Summary::of(waits).p50);
}

}  // namespace

void bench() {
  auto socket = must(netlink::Socket::open());
  const auto one = load_program(0), two = load_program(-1), three = load_program(0);
  std::vector<UniqueFd> first(kPairs), second(kPairs), peer(kPairs);
  auto indexes = make_pairs(socket);
  measure("first attach, primary", [&](std::size_t i) { first[i] = attach(one, indexes[i], BPF_NETKIT_PRIMARY); });
  measure("first attach, peer", [&](std::size_t i) { peer[i] = attach(one, indexes[i], BPF_NETKIT_PEER); });
  measure("second attach", [&](std::size_t i) { second[i] = attach(two, indexes[i], BPF_NETKIT_PRIMARY, true); });
  measure("update in place", [&](std::size_t i) {
    if (bpf_link_update(first[i].get(), three.get(), nullptr) != 0) end_with_errno("update");
  });
  measure("link information", [&](std::size_t i) { look_at(first[i]); });
  measure("release", [&](std::size_t i) { second[i].reset(); });
  measure("release of the last", [&](std::size_t i) { first[i].reset(); });
  measure("attach after the last", [&](std::size_t i) { first[i] = attach(one, indexes[i], BPF_NETKIT_PRIMARY); });
  // Twice within a grace period, which no other pair's wait has covered.
  measure("second attach, released at once",
          [&](std::size_t i) { const auto link = attach(two, indexes[i], BPF_NETKIT_PRIMARY, true); });
  const auto at = [&](std::size_t i) { return static_cast<int>(indexes[i]); };
  for (std::size_t i = 0; i < kPairs; ++i) {
    if (bpf_prog_attach_opts(two.get(), at(i), BPF_NETKIT_PRIMARY, nullptr) != 0) end_with_errno("attach a program");
  }
  measure("detach of a program without a link", [&](std::size_t i) {
    if (bpf_prog_detach_opts(two.get(), at(i), BPF_NETKIT_PRIMARY, nullptr) != 0) end_with_errno("detach a program");
  });
  measure("tcx attach", [&](std::size_t i) { second[i] = attach(two, indexes[i], BPF_TCX_INGRESS); });
  measure("tcx link information", [&](std::size_t i) { look_at(second[i]); });
  measure("tcx release", [&](std::size_t i) { second[i].reset(); });
  measure("delete a pair with two links", [&](std::size_t i) { must(netlink::delete_link(socket, primary(i))); });
  first.clear();
  peer.clear();
  delete_veths(socket, two);
  burst(make_pairs(socket), one);
}

}  // namespace netkite::tools
