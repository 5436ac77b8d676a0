// SPDX-License-Identifier: Apache-2.0
// Every combination of what a request may say, on hooks that hold nothing, a few programs and all that fit: the
// kernel's answer and the order that it leaves are compared with the model's.
#include <bpf/bpf.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <map>

#include "kernel-patches/tests/hook.hpp"
#include "kernel-patches/tests/model.hpp"

namespace netkite::kernel_tests {
namespace {

constexpr std::uint32_t kUnknown = 0x7ffffff0;

// Where packets meet the chain, and how many entries it has at first.
struct Place {
  bpf_attach_type hook{};
  std::size_t entries = 0;
};

// A, a link with B, C; more than three have others, without a letter of their own, before C.
Chain chain_of(std::size_t entries) {
  Chain chain{{.program = 'A'}, {.program = 'B', .link = true}, {.program = 'C'}};
  for (char other = 1; chain.size() < entries; ++other) chain.insert(chain.end() - 1, {.program = other});
  chain.resize(entries);
  return chain;
}

// Where a request may want to stand: beside nothing, beside each that is there, beside what is not.
struct Neighbour {
  By by = By::nothing;
  char relative = 0;
};
constexpr std::array kNeighbours{
    Neighbour{},
    Neighbour{By::program_fd, 'A'},
    Neighbour{By::program_fd, 'B'},
    Neighbour{By::program_fd, 'C'},
    Neighbour{By::program_fd, 'E'},
    Neighbour{By::program_id, 'A'},
    Neighbour{By::program_id, 'B'},
    Neighbour{By::program_id, 'C'},
    Neighbour{By::program_id, 'E'},
    Neighbour{By::link_fd, 'B'},
    Neighbour{By::link_fd, 'E'},
    Neighbour{By::link_id, 'B'},
    Neighbour{By::link_id, 'E'},
    Neighbour{By::unknown_id},
    Neighbour{By::unknown_link_id},
    Neighbour{By::no_link},
    Neighbour{By::wrong_kind},
};

class MprogTest : public testing::TestWithParam<Place> {
 protected:
  void SetUp() override {
    for (const char letter : {'A', 'B', 'C', 'D', 'E'}) load(letter);
    for (const auto& entry : chain_) {
      load(entry.program);
      ASSERT_EQ(attach_here({.entry = entry}), 0);
    }
    // E is not in the chain, nor is B when that is short; their links are on another hook of the device.
    const auto elsewhere = GetParam().hook == BPF_TCX_EGRESS ? BPF_TCX_INGRESS : BPF_TCX_EGRESS;
    for (const char letter : {'B', 'E'}) {
      auto& link = links_[letter];
      if (link.valid()) continue;
      link.reset(bpf_link_create(programs_[letter].get(), static_cast<int>(hook_.ifindex()), elsewhere, nullptr));
      ASSERT_TRUE(link.valid());
    }
  }

  void load(char letter) {
    if (programs_.contains(letter)) return;
    programs_[letter] = load_program();
    ids_[letter] = program_id(programs_[letter]);
  }

  int attach_here(const Request& request) {
    const auto call = call_of(request);
    return noted(request.entry.link ? hook_.attach_link(call, links_[request.entry.program]) : hook_.attach(call));
  }
  int detach_here(const Request& request) { return noted(hook_.detach(call_of(request))); }

  // Every change is the next revision. With its last program a tcx hook goes, and another begins anew.
  int noted(int error) {
    if (error != 0) return error;
    ++revision_;
    const auto hook = GetParam().hook;
    if ((hook == BPF_TCX_INGRESS || hook == BPF_TCX_EGRESS) && hook_.state().programs.empty()) revision_ = 1;
    return 0;
  }

  [[nodiscard]] Call call_of(const Request& request) {
    Call call;
    if (request.entry.program != 0) call.program = programs_[request.entry.program].get();
    if (request.before) call.flags |= BPF_F_BEFORE;
    if (request.after) call.flags |= BPF_F_AFTER;
    if (request.replaced) {
      call.flags |= BPF_F_REPLACE;
      call.replaced = programs_[*request.replaced].get();
    }
    name_neighbour(request, call);
    if (request.revision != Revision::any) {
      call.revision = revision_ + (request.revision == Revision::wrong ? 1 : 0);
    }
    return call;
  }

  void name_neighbour(const Request& request, Call& call) {
    const auto by = request.by;
    if (by == By::program_id || by == By::link_id || by == By::unknown_id || by == By::unknown_link_id) {
      call.flags |= BPF_F_ID;
    }
    if (by == By::link_fd || by == By::link_id || by == By::unknown_link_id || by == By::no_link ||
        by == By::wrong_kind) {
      call.flags |= BPF_F_LINK;
    }
    if (by == By::program_fd) call.relative = static_cast<std::uint32_t>(programs_[request.relative].get());
    if (by == By::program_id) call.relative = ids_[request.relative];
    if (by == By::link_fd) call.relative = static_cast<std::uint32_t>(links_[request.relative].get());
    if (by == By::link_id) call.relative = link_id(links_[request.relative]);
    if (by == By::unknown_id || by == By::unknown_link_id) call.relative = kUnknown;
    if (by == By::wrong_kind) call.relative = static_cast<std::uint32_t>(programs_['A'].get());
  }

  // The hook holds this chain, by its ids.
  void expect_chain(const Chain& chain) {
    std::vector<std::uint32_t> programs, links;
    for (const auto& entry : chain) {
      programs.push_back(ids_[entry.program]);
      links.push_back(entry.link ? link_id(links_[entry.program]) : 0);
    }
    const auto state = hook_.state();
    EXPECT_EQ(state.programs, programs) << to_string(chain);
    EXPECT_EQ(state.links, links) << to_string(chain);
  }

  // Back to chain_ from what one successful request left.
  void restore(const Chain& now) {
    for (std::size_t i = 0; i < now.size(); ++i) {
      if (now[i].program != 'D') continue;
      if (now.size() == chain_.size()) {
        ASSERT_EQ(attach_here({.entry = chain_[i], .replaced = 'D'}), 0);
      } else if (now[i].link) {
        links_['D'].reset();
        noted(0);
      } else {
        ASSERT_EQ(detach_here({.entry = {.program = 'D'}}), 0);
      }
    }
    for (std::size_t i = 0; now.size() < chain_.size() && i < chain_.size(); ++i) {
      if (i < now.size() && now[i] == chain_[i]) continue;
      Request back{.entry = chain_[i], .before = i == 0, .after = i > 0};
      if (i > 0) back.by = By::program_id, back.relative = chain_[i - 1].program;
      ASSERT_EQ(attach_here(back), 0);
      break;
    }
    expect_chain(chain_);
  }

  using Model = int (*)(Chain&, const Request&);
  // Asks both. The revision moves with a success and with nothing else; an empty hook does not tell it.
  void compare(const Request& request, Model model, const std::function<int()>& kernel) {
    SCOPED_TRACE(to_string(request));
    Chain chain = chain_;
    const int expected = model(chain, request);
    const int got = kernel();
    EXPECT_EQ(got, expected) << std::strerror(got) << ", should be " << std::strerror(expected);
    EXPECT_EQ(hook_.state().revision, chain.empty() ? 1 : revision_);
    expect_chain(chain);
    ++(got == 0 ? accepted_ : refused_);
    if (got == 0 && !HasFailure()) restore(chain);
  }

  // Every side, neighbour and revision.
  template <typename Each>
  void for_each_place(const Each& each) {
    for (const bool before : {false, true}) {
      for (const bool after : {false, true}) {
        for (const auto& neighbour : kNeighbours) {
          for (const auto revision : {Revision::any, Revision::right, Revision::wrong}) {
            each(Request{.entry = {},
                         .before = before,
                         .after = after,
                         .by = neighbour.by,
                         .relative = neighbour.relative,
                         .replaced = {},
                         .revision = revision});
            if (HasFatalFailure()) return;
          }
        }
      }
    }
  }

  const Chain chain_ = chain_of(GetParam().entries);
  Hook hook_{GetParam().hook};
  std::map<char, UniqueFd> programs_, links_;
  std::map<char, std::uint32_t> ids_;  // of the programs
  std::uint64_t revision_ = 1;
  int accepted_ = 0, refused_ = 0;
};

// Thousands of changes, for which a kernel without our series would wait 12 ms each.
class EveryRequest : public MprogTest {
 protected:
  void SetUp() override {
    expedite(true);
    MprogTest::SetUp();
  }
  void TearDown() override { expedite(false); }

 private:
  static void expedite(bool on) { std::ofstream("/sys/kernel/rcu_expedited") << on; }
};

TEST_P(EveryRequest, Attach) {
  for (const bool link : {false, true}) {
    for (const auto replaced : {std::optional<char>(), std::optional('A'), std::optional('B'), std::optional('E')}) {
      for_each_place([&](Request request) {
        request.entry = {.program = 'D', .link = link};
        request.replaced = replaced;
        compare(request, attach, [&] { return attach_here(request); });
      });
    }
  }
  EXPECT_GT(accepted_, 10);
  EXPECT_GT(refused_, 500);
}

TEST_P(MprogTest, AttachWhatIsThere) {
  for (const char program : {'A', 'B'}) {
    const Request request{.entry = {.program = program}};
    compare(request, attach, [&] { return attach_here(request); });
  }
  EXPECT_EQ(refused_, 2);
}

TEST_P(EveryRequest, Detach) {
  for (const char program : {'\0', 'A', 'B', 'C', 'E'}) {
    for (const auto replaced : {std::optional<char>(), std::optional('A'), std::optional('B'), std::optional('E')}) {
      for_each_place([&](Request request) {
        request.entry.program = program;
        request.replaced = replaced;
        compare(request, detach, [&] { return detach_here(request); });
      });
    }
  }
  EXPECT_EQ(accepted_ > 10, !chain_.empty());
  EXPECT_GT(refused_, 500);
}

TEST_P(MprogTest, ALinkIsUpdatedInItsPlace) {
  const auto& link = links_['B'];
  EXPECT_EQ(Hook::update_link(link, programs_['D'], &programs_['C']), EPERM) << "that is not its program";
  EXPECT_EQ(Hook::update_link(link, programs_['C']), EEXIST) << "one program, one place";
  expect_chain(chain_);
  EXPECT_EQ(Hook::update_link(link, programs_['B']), 0) << "the same again";
  expect_chain(chain_);
  EXPECT_EQ(Hook::update_link(link, programs_['D'], &programs_['B']), 0);
  std::swap(programs_['B'], programs_['D']);
  std::swap(ids_['B'], ids_['D']);
  expect_chain(chain_);
}

TEST_P(MprogTest, ADetachedLinkHasNoDevice) {
  const auto& link = links_['B'];
  EXPECT_EQ(hook_.link_ifindex(link), hook_.ifindex());
  EXPECT_EQ(Hook::detach_link(link), 0);
  EXPECT_EQ(hook_.link_ifindex(link), 0U);
  EXPECT_EQ(Hook::update_link(link, programs_['D']), ENOLINK);
  EXPECT_EQ(Hook::detach_link(link), 0) << "again";
  expect_chain({{.program = 'A'}, {.program = 'C'}});
}

TEST_P(MprogTest, ALinkOutlivesItsDevice) {
  const auto& link = links_['B'];
  hook_.delete_device();
  EXPECT_EQ(hook_.link_ifindex(link), 0U);
  EXPECT_EQ(Hook::update_link(link, programs_['D']), ENOLINK);
  EXPECT_EQ(Hook::detach_link(link), 0);
}

TEST_P(MprogTest, TheLastOneGoesAndOthersCome) {
  for (int round = 0; round < 3; ++round) {
    for (const char program : {'A', 'C'}) EXPECT_EQ(hook_.detach({.program = programs_[program].get()}), 0);
    links_['B'].reset();
    expect_chain({});
    EXPECT_EQ(hook_.detach({.program = programs_['A'].get()}), ENOENT);
    for (const auto& entry : chain_) EXPECT_EQ(attach_here({.entry = entry}), 0);
    expect_chain(chain_);
  }
}

// Filled from the front and the back in turn, then emptied from the middle.
TEST_P(MprogTest, SixtyThreeFitAndNoMore) {
  struct Entered {
    UniqueFd program, link;
    std::uint32_t id = 0;
  };
  const auto there = hook_.state().programs;
  std::vector<std::uint32_t> order = there;
  std::vector<Entered> places;
  for (std::size_t i = order.size(); i < kMaximum; ++i) {
    auto& place = places.emplace_back(load_program(), UniqueFd());
    place.id = program_id(place.program);
    const bool front = i % 2 == 0;
    ASSERT_EQ(
        hook_.attach_link({.program = place.program.get(), .flags = front ? BPF_F_BEFORE : BPF_F_AFTER}, place.link),
        0);
    order.insert(front ? order.begin() : order.end(), place.id);
  }
  EXPECT_EQ(hook_.state().programs, order);
  UniqueFd none;
  EXPECT_EQ(hook_.attach_link({.program = programs_['D'].get()}, none), ERANGE);
  EXPECT_EQ(hook_.attach({.program = programs_['D'].get()}), ERANGE);
  EXPECT_EQ(Hook::update_link(places.back().link, programs_['D']), 0) << "an update needs no room";
  std::ranges::replace(order, places.back().id, program_id(programs_['D']));
  EXPECT_EQ(hook_.state().programs, order);
  places.clear();
  EXPECT_EQ(hook_.state().programs, there);
}

std::string name_of(const testing::TestParamInfo<Place>& info) {
  static const std::map<bpf_attach_type, std::string> names{{BPF_NETKIT_PRIMARY, "primary"},
                                                            {BPF_NETKIT_PEER, "peer"},
                                                            {BPF_TCX_INGRESS, "tcx_ingress"},
                                                            {BPF_TCX_EGRESS, "tcx_egress"}};
  return names.at(info.param.hook) + "_" + std::to_string(info.param.entries);
}

std::vector<Place> everywhere(const std::vector<std::size_t>& sizes) {
  std::vector<Place> places;
  for (const auto hook : {BPF_NETKIT_PRIMARY, BPF_NETKIT_PEER, BPF_TCX_INGRESS, BPF_TCX_EGRESS}) {
    for (const auto size : sizes) places.push_back({.hook = hook, .entries = size});
  }
  return places;
}

INSTANTIATE_TEST_SUITE_P(Hooks, MprogTest, testing::ValuesIn(everywhere({3})), name_of);
INSTANTIATE_TEST_SUITE_P(Hooks, EveryRequest, testing::ValuesIn(everywhere({0, 1, 2, 3, kMaximum - 1, kMaximum})),
                         name_of);

}  // namespace
}  // namespace netkite::kernel_tests
