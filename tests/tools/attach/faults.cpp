// SPDX-License-Identifier: Apache-2.0
// Every allocation on the way of a call fails once: the n-th one for n = 1, 2, … until the call needs fewer than n.
// Then all of it again, with some of the kernel's functions failing in their turn, too. After each the call has
// happened or it has not, and nothing else is left of it. What leaks memory finds kmemleak.
#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <string>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include "common/netlink/link.hpp"
#include "common/netlink/link_netkit.hpp"
#include "tests/tools/attach/attach.hpp"
#include "tests/tools/attach/device.hpp"

namespace netkite::tools {
namespace {

constexpr std::array kHooks{std::pair{BPF_NETKIT_PRIMARY, "netkit primary"}, std::pair{BPF_NETKIT_PEER, "netkit peer"},
                            std::pair{BPF_TCX_INGRESS, "tcx ingress"}, std::pair{BPF_TCX_EGRESS, "tcx egress"}};
// Of kernel-patches/tests/inject.c.
constexpr std::array kFunctions{"rtnl_create_link", "register_netdevice", "rtnl_configure_link", "bpf_link_prime",
                                "bpf_mprog_attach"};
constexpr int kMostFaults = 10000;

void set(const std::string& option, const char* value) {
  std::ofstream file("/sys/kernel/debug/" + option);
  file << value << std::flush;
  if (!file) end_with_error("/sys/kernel/debug/" + option + " cannot be set");
}

// The calling thread's fault (Documentation/fault-injection, "Systematic faults").
class Fault {
 public:
  Fault() : file_(::open("/proc/thread-self/fail-nth", O_RDWR | O_CLOEXEC)) {
    if (!file_.valid())
      end_with_error("this kernel injects no faults: CONFIG_FAULT_INJECTION (dev/kernel build --debug)");
    if (::unshare(CLONE_NEWNS) != 0 || ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
        (::mount("debugfs", "/sys/kernel/debug", "debugfs", 0, nullptr) != 0 && errno != EBUSY)) {  // mounted already
      end_with_errno("mount debugfs");
    }
    for (const std::string kind : {"failslab", "fail_page_alloc"}) {
      set(kind + "/ignore-gfp-wait", "N");  // those that may sleep, too
      set(kind + "/verbose", "0");
    }
    set("fail_function/verbose", "0");
    set("fail_page_alloc/min-order", "0");
    // The program's own pages are there: no fault goes to them.
    if (::mlockall(MCL_CURRENT | MCL_FUTURE) != 0) end_with_errno("mlockall");
  }

  // From now on these functions fail like allocations.
  static void functions() {
    for (const char* const name : kFunctions) set("fail_function/inject", name);
  }

  // `call` with this function failing once, whoever calls it.
  static void of(const char* function, const std::function<void()>& call) {
    set("fail_function/inject", function);
    set("fail_function/times", "1");
    set("fail_function/probability", "100");
    call();
    set("fail_function/probability", "0");
    set("fail_function/inject", "\n");  // none
  }

  // Whether `call` came as far as its n-th allocation or such function, which failed then.
  bool during(int n, const std::function<void()>& call) const {
    arm(n);
    call();
    std::array<char, 16> text{};
    if (::pread(file_.get(), text.data(), text.size() - 1, 0) <= 0) end_with_errno("read the fault");
    arm(0);
    return std::atoi(text.data()) == 0;
  }

 private:
  void arm(int n) const {
    const auto text = std::to_string(n);
    if (::pwrite(file_.get(), text.data(), text.size(), 0) < 0) end_with_errno("set a fault");
  }
  UniqueFd file_;
};

using Ids = std::vector<std::uint32_t>;

Ids all(int (*next)(std::uint32_t, std::uint32_t*)) {
  Ids ids;
  for (std::uint32_t id = 0; next(id, &id) == 0;) ids.push_back(id);
  return ids;
}

class Faults {
 public:
  bool run();

 private:
  // Repeats `call`; `check` says what is wrong afterwards, or nothing, and puts back what was before.
  void each(const std::string& name, const std::function<void()>& call, const std::function<std::string(bool)>& check);
  void pairs();
  void links(bpf_attach_type hook, const std::string& name);
  void programs(bpf_attach_type hook, const std::string& name);
  void up();
  void deletion();
  void calls();
  void functions();

  [[nodiscard]] netlink::Socket socket() const { return must(netlink::Socket::open()); }
  [[nodiscard]] std::uint32_t make() const {
    auto here = socket();
    return make_pair(here, "fault0", "eth0", pod_.get());
  }
  void remove() const {
    auto here = socket();
    must(netlink::delete_link(here, std::string("fault0")));
  }
  // Both ends or none; nothing beside them.
  [[nodiscard]] std::string state(bool& there) const;
  [[nodiscard]] Ids on(bpf_attach_type hook) const;

  Fault fault_;
  UniqueFd pod_ = new_netns(), program_ = load_program(0), other_ = load_program(-1);
  std::uint32_t index_ = 0;
  bool good_ = true;
};

void Faults::each(const std::string& name, const std::function<void()>& call,
                  const std::function<std::string(bool)>& check) {
  int n = 1;
  for (bool faulted = true; faulted; ++n) {
    faulted = fault_.during(n, call);
    const auto wrong = check(faulted);
    if (!wrong.empty()) {
      good_ = false;
      std::printf("WRONG: %s, fault %d: %s\n", name.c_str(), n, wrong.c_str());
    }
    if (n == kMostFaults) end_with_error(name + ": no end of faults");
  }
  std::printf("%s: %d faults\n", name.c_str(), n - 2);
  std::fflush(stdout);
}

std::string Faults::state(bool& there) const {
  auto here = socket();
  auto inside = must(netlink::Socket::open_in(pod_.get()));
  const bool primary = netlink::get_link(here, std::string("fault0")).has_value();
  const bool peer = netlink::get_link(inside, std::string("eth0")).has_value();
  there = primary && peer;
  if (primary != peer) return primary ? "the peer is missing" : "the primary is missing";
  const std::size_t wanted = there ? 2 : 1;  // lo
  if (must(netlink::list_links(here)).size() != wanted || must(netlink::list_links(inside)).size() != wanted) {
    return "another device";
  }
  return {};
}

Ids Faults::on(bpf_attach_type hook) const {
  Ids ids(8);
  LIBBPF_OPTS(bpf_prog_query_opts, query);
  query.prog_ids = ids.data();
  query.prog_cnt = static_cast<__u32>(ids.size());
  if (bpf_prog_query_opts(static_cast<int>(index_), hook, &query) != 0) end_with_errno("query");
  ids.resize(query.count);
  return ids;
}

// A request that was carried out, but whose answer found no memory.
bool answer_lost(const Result<void>& result) {
  return !result && result.error().message.find("receive") != std::string::npos;
}

void Faults::pairs() {
  auto here = socket();
  Result<void> result;
  const auto call = [&] {
    result = netlink::create_netkit(here, {.host_name = "fault0", .pod_name = "eth0", .pod_netns_fd = pod_.get()});
  };
  each("create a pair", call, [&](bool faulted) -> std::string {
    bool there = false;
    auto wrong = state(there);
    if (wrong.empty() && result && !there) wrong = "it is not there";
    if (wrong.empty() && !result && there && !answer_lost(result))
      wrong = "it is there after " + result.error().message;
    if (wrong.empty() && !faulted && !result) wrong = "refused without a fault: " + result.error().message;
    if (there) remove();
    here = socket();
    return wrong;
  });
}

void Faults::links(bpf_attach_type hook, const std::string& name) {
  UniqueFd link;
  for (const bool second : {false, true}) {
    UniqueFd first;
    if (second) first = attach(other_, index_, hook);
    const auto before = on(hook);
    const auto expect = [&](bool attached) -> std::string {
      if (on(hook).size() == before.size() + (attached ? 1 : 0)) return {};
      return attached ? "it is not there" : "it is there";
    };
    each(
        name + (second ? ", second link" : ", link"),
        [&] { link.reset(bpf_link_create(program_.get(), static_cast<int>(index_), hook, nullptr)); },
        [&](bool faulted) -> std::string {
          auto wrong = expect(link.valid());
          if (!faulted && !link.valid()) wrong = "refused without a fault";
          link.reset();
          return wrong.empty() ? expect(false) : wrong;
        });
    each(
        name + (second ? ", release of the second" : ", release"), [&] { link.reset(); },
        [&](bool) -> std::string {
          auto wrong = expect(false);
          link = attach(program_, index_, hook);
          return wrong;
        });
    // The other program has its place already, which the kernel is right to refuse.
    if (second) break;
    int result = 0;
    bool turn = false;
    each(
        name + ", update", [&] { result = bpf_link_update(link.get(), (turn ? program_ : other_).get(), nullptr); },
        [&](bool faulted) -> std::string {
          if (result == 0) turn = !turn;
          if (!faulted && result != 0) return "refused without a fault";
          return expect(true);
        });
    link.reset();
  }
}

void Faults::programs(bpf_attach_type hook, const std::string& name) {
  int result = 0;
  bool attached = false;
  LIBBPF_OPTS(bpf_prog_attach_opts, attaching);
  LIBBPF_OPTS(bpf_prog_detach_opts, detaching);
  const auto attach_it = [&] {
    result = bpf_prog_attach_opts(program_.get(), static_cast<int>(index_), hook, &attaching);
  };
  const auto detach_it = [&] {
    result = bpf_prog_detach_opts(program_.get(), static_cast<int>(index_), hook, &detaching);
  };
  const auto expect = [&]() -> std::string {
    return on(hook).size() == (attached ? 1 : 0) ? "" : "programs: " + std::to_string(on(hook).size());
  };
  each(name + ", program", attach_it, [&](bool faulted) -> std::string {
    attached = result == 0;
    if (!faulted && !attached) return "refused without a fault";
    auto wrong = expect();
    if (attached) detach_it();
    return wrong;
  });
  attached = true;
  attach_it();
  each(name + ", detach", detach_it, [&](bool faulted) -> std::string {
    attached = result != 0;
    if (!faulted && attached) return "refused without a fault";
    auto wrong = expect();
    if (!attached) attach_it();
    attached = true;
    return wrong;
  });
  detach_it();
}

// The end that comes up second activates both.
void Faults::up() {
  auto here = socket();
  auto inside = must(netlink::Socket::open_in(pod_.get()));
  const auto peer = must(netlink::get_link(inside, std::string("eth0"))).index;
  must(netlink::change_link(inside, peer, {.up = true, .ipv6_addr_gen_none = true}));
  Result<void> result;
  each(
      "up", [&] { result = netlink::change_link(here, index_, {.up = true}); },
      [&](bool faulted) -> std::string {
        here = socket();
        const auto now = must(netlink::get_link(here, index_)).up;
        std::string wrong;
        if (now != result.has_value() && !answer_lost(result)) wrong = now ? "it is up" : "it is down";
        if (!faulted && !result) wrong = "refused without a fault: " + result.error().message;
        must(netlink::change_link(here, index_, {.up = false}));
        return wrong;
      });
}

void Faults::deletion() {
  std::vector<UniqueFd> links;
  const auto fill = [&] {
    index_ = make();
    links.clear();
    for (const auto& [hook, name] : kHooks) links.push_back(attach(program_, index_, hook));
  };
  auto here = socket();
  Result<void> result;
  fill();
  each(
      "delete a pair with links", [&] { result = netlink::delete_link(here, std::string("fault0")); },
      [&](bool faulted) -> std::string {
        bool there = false;
        auto wrong = state(there);
        if (wrong.empty() && result && there) wrong = "it is still there";
        if (wrong.empty() && !result && !there && !answer_lost(result)) wrong = "gone after " + result.error().message;
        if (wrong.empty() && !faulted && !result) wrong = "refused without a fault: " + result.error().message;
        here = socket();
        if (!there) fill();
        return wrong;
      });
  links.clear();
  remove();
}

// Each of them fails when it is told to, and a pair or a link with it: else their turn would show nothing.
void Faults::functions() {
  index_ = make();
  auto here = socket();
  for (const char* const name : kFunctions) {
    Result<void> pair;
    UniqueFd link;
    Fault::of(name, [&] {
      pair = netlink::create_netkit(here, {.host_name = "fault1", .pod_name = "eth1", .pod_netns_fd = pod_.get()});
      link.reset(bpf_link_create(program_.get(), static_cast<int>(index_), BPF_NETKIT_PRIMARY, nullptr));
    });
    if (pair && link.valid()) {
      good_ = false;
      std::printf("WRONG: %s does not fail\n", name);
    }
    if (pair) must(netlink::delete_link(here, std::string("fault1")));
  }
  remove();
}

void Faults::calls() {
  pairs();
  index_ = make();
  for (const auto& [hook, name] : kHooks) {
    links(hook, name);
    programs(hook, name);
  }
  up();
  remove();
  deletion();
}

bool Faults::run() {
  const auto links_before = all(bpf_link_get_next_id), programs_before = all(bpf_prog_get_next_id);
  calls();
  functions();
  std::printf("the same, and functions that fail\n");
  Fault::functions();
  calls();

  // A grace period after the last descriptor both programs are gone: nobody has kept a reference.
  const auto wanted = programs_before.size() - 2;
  program_.reset();
  other_.reset();
  for (int i = 0; i < 100 && all(bpf_prog_get_next_id).size() > wanted; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
  if (all(bpf_prog_get_next_id).size() != wanted) {
    good_ = false;
    std::printf("WRONG: a program is left\n");
  }
  if (all(bpf_link_get_next_id) != links_before) {
    good_ = false;
    std::printf("WRONG: a link is left\n");
  }
  return good_;
}

}  // namespace

bool faults() { return Faults().run(); }

}  // namespace netkite::tools
