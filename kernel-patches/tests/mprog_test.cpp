// SPDX-License-Identifier: Apache-2.0
// Every combination of what a request may say, on a hook that holds a program, a link and a program: the kernel's
// answer and the order that it leaves are compared with the model's.
#include <bpf/bpf.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <map>

#include "kernel-patches/tests/hook.hpp"
#include "kernel-patches/tests/model.hpp"

namespace netkite::kernel_tests {
namespace {

constexpr std::uint32_t kUnknown = 0x7ffffff0;
const Chain kChain{{.program = 'A'}, {.program = 'B', .link = true}, {.program = 'C'}};

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

class MprogTest : public testing::TestWithParam<bpf_attach_type> {
 protected:
  void SetUp() override {
    for (const char letter : {'A', 'B', 'C', 'D', 'E'}) programs_[letter] = load_program();
    for (const auto& entry : kChain) ASSERT_EQ(attach_here({.entry = entry}), 0);
    // E is not in the chain; its link is on another hook of the device.
    const auto elsewhere = GetParam() == BPF_TCX_EGRESS ? BPF_TCX_INGRESS : BPF_TCX_EGRESS;
    links_['E'].reset(bpf_link_create(programs_['E'].get(), static_cast<int>(hook_.ifindex()), elsewhere, nullptr));
    ASSERT_TRUE(links_['E'].valid());
  }

  int attach_here(const Request& request) {
    if (request.entry.link) return hook_.attach_link(call(request), links_[request.entry.program]);
    return hook_.attach(call(request));
  }

  [[nodiscard]] Call call(const Request& request) {
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
      call.revision = hook_.state().revision + (request.revision == Revision::wrong ? 1 : 0);
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
    if (by == By::program_id) call.relative = program_id(programs_[request.relative]);
    if (by == By::link_fd) call.relative = static_cast<std::uint32_t>(links_[request.relative].get());
    if (by == By::link_id) call.relative = link_id(links_[request.relative]);
    if (by == By::unknown_id || by == By::unknown_link_id) call.relative = kUnknown;
    if (by == By::wrong_kind) call.relative = static_cast<std::uint32_t>(programs_['A'].get());
  }

  // The hook holds this chain, by its ids.
  void expect_chain(const Chain& chain) {
    std::vector<std::uint32_t> programs, links;
    for (const auto& entry : chain) {
      programs.push_back(program_id(programs_[entry.program]));
      links.push_back(entry.link ? link_id(links_[entry.program]) : 0);
    }
    const auto state = hook_.state();
    EXPECT_EQ(state.programs, programs) << to_string(chain);
    EXPECT_EQ(state.links, links) << to_string(chain);
  }

  // Back to kChain from what one successful request left.
  void restore(const Chain& now) {
    for (std::size_t i = 0; i < now.size(); ++i) {
      if (now[i].program != 'D') continue;
      if (now.size() == kChain.size()) {
        ASSERT_EQ(attach_here({.entry = kChain[i], .replaced = 'D'}), 0);
      } else if (now[i].link) {
        links_['D'].reset();
      } else {
        ASSERT_EQ(hook_.detach({.program = programs_['D'].get()}), 0);
      }
    }
    for (std::size_t i = 0; now.size() < kChain.size() && i < kChain.size(); ++i) {
      if (i < now.size() && now[i] == kChain[i]) continue;
      Request back{.entry = kChain[i], .before = i == 0, .after = i > 0};
      if (i > 0) back.by = By::program_id, back.relative = kChain[i - 1].program;
      ASSERT_EQ(attach_here(back), 0);
      break;
    }
    expect_chain(kChain);
  }

  using Model = int (*)(Chain&, const Request&);
  // Asks both; the revision moves with a success and with nothing else.
  void compare(const Request& request, Model model, const std::function<int()>& kernel) {
    SCOPED_TRACE(to_string(request));
    Chain chain = kChain;
    const int expected = model(chain, request);
    const auto before = hook_.state().revision;
    const int got = kernel();
    EXPECT_EQ(got, expected) << std::strerror(got) << ", should be " << std::strerror(expected);
    EXPECT_EQ(hook_.state().revision, before + (got == 0 ? 1 : 0));
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

  Hook hook_{GetParam()};
  std::map<char, UniqueFd> programs_, links_;
  int accepted_ = 0, refused_ = 0;
};

TEST_P(MprogTest, Attach) {
  for (const bool link : {false, true}) {
    for (const auto replaced : {std::optional<char>(), std::optional('A'), std::optional('B'), std::optional('E')}) {
      for_each_place([&](Request request) {
        request.entry = {.program = 'D', .link = link};
        request.replaced = replaced;
        compare(request, attach, [&] { return attach_here(request); });
      });
    }
  }
  RecordProperty("accepted", accepted_);
  EXPECT_GT(accepted_, 50);
  EXPECT_GT(refused_, 500);
}

TEST_P(MprogTest, AttachWhatIsThere) {
  for (const char program : {'A', 'B'}) {
    const Request request{.entry = {.program = program}};
    compare(request, attach, [&] { return attach_here(request); });
  }
  EXPECT_EQ(refused_, 2);
}

TEST_P(MprogTest, Detach) {
  for (const char program : {'\0', 'A', 'B', 'C', 'E'}) {
    for_each_place([&](Request request) {
      request.entry.program = program;
      compare(request, detach, [&] { return hook_.detach(call(request)); });
    });
  }
  EXPECT_GT(accepted_, 20);
  EXPECT_GT(refused_, 500);
}

TEST_P(MprogTest, ALinkIsUpdatedInItsPlace) {
  const auto& link = links_['B'];
  EXPECT_EQ(Hook::update_link(link, programs_['D'], &programs_['C']), EPERM) << "that is not its program";
  EXPECT_EQ(Hook::update_link(link, programs_['C']), EEXIST) << "one program, one place";
  expect_chain(kChain);
  EXPECT_EQ(Hook::update_link(link, programs_['B']), 0) << "the same again";
  expect_chain(kChain);
  EXPECT_EQ(Hook::update_link(link, programs_['D'], &programs_['B']), 0);
  std::swap(programs_['B'], programs_['D']);
  expect_chain(kChain);
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
    for (const auto& entry : kChain) EXPECT_EQ(attach_here({.entry = entry}), 0);
    expect_chain(kChain);
  }
}

// Filled from the front and the back in turn, then emptied from the middle.
TEST_P(MprogTest, SixtyThreeFitAndNoMore) {
  struct Place {
    UniqueFd program, link;
    std::uint32_t id = 0;
  };
  const auto there = hook_.state().programs;
  std::vector<std::uint32_t> order = there;
  std::vector<Place> places;
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

std::string name_of(const testing::TestParamInfo<bpf_attach_type>& info) {
  switch (info.param) {
    case BPF_NETKIT_PRIMARY:
      return "primary";
    case BPF_NETKIT_PEER:
      return "peer";
    case BPF_TCX_INGRESS:
      return "tcx_ingress";
    default:
      return "tcx_egress";
  }
}

INSTANTIATE_TEST_SUITE_P(Hooks, MprogTest,
                         testing::Values(BPF_NETKIT_PRIMARY, BPF_NETKIT_PEER, BPF_TCX_INGRESS, BPF_TCX_EGRESS),
                         name_of);

}  // namespace
}  // namespace netkite::kernel_tests
