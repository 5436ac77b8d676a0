// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include "agent/endpoint/tests/manager_fixture.hpp"

namespace netkite::endpoint::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST_F(ManagerTest, RemovalInTwoPhases) {
  add(pod("a"));
  journal.calls.clear();
  const auto begun = manager->remove_begin({.attachment = pod("a")});
  ASSERT_TRUE(begun);
  EXPECT_TRUE(begun->known);
  EXPECT_NE(begun->netns_inode, 0U);
  EXPECT_TRUE(datapath.attached.empty());
  EXPECT_EQ(manager->pools().at(0).taken, 1U);  // while the device is there
  EXPECT_EQ(Store(options.run_dir).load()->endpoints.at(0).state, State::removing);
  links.clear();  // the plugin
  ASSERT_TRUE(manager->remove_end({.attachment = pod("a")}));
  EXPECT_EQ(journal.count("detach"), 1);
  expect_nothing_left();
}

TEST_F(ManagerTest, RemovingTheUnknownSucceeds) {
  const auto begun = manager->remove_begin({.attachment = pod("a")});
  ASSERT_TRUE(begun);
  EXPECT_FALSE(begun->known);
  EXPECT_TRUE(manager->remove_end({.attachment = pod("a")}));
  manager->abandon(pod("a"));
  EXPECT_TRUE(journal.calls.empty());
}

TEST_F(ManagerTest, RemoveEndDoesWhatThePluginDidNot) {
  add(pod("a"));
  ASSERT_TRUE(manager->remove_begin({.attachment = pod("a")}));
  ASSERT_TRUE(manager->remove_end({.attachment = pod("a")}));  // the device is still there
  expect_nothing_left();
  add(pod("b"));
  ASSERT_TRUE(manager->remove_end({.attachment = pod("b")}));  // without a beginning
  EXPECT_EQ(journal.count("detach"), 2);
  expect_nothing_left();
}

TEST_F(ManagerTest, ARemovalThatFailsKeepsItsAddressAndCanBeRepeated) {
  for (const auto* step : {"detach", "delete"}) {
    add(pod("a"));
    journal.failing = {step};
    const auto begun = manager->remove_begin({.attachment = pod("a")});
    const auto ended = manager->remove_end({.attachment = pod("a")});
    EXPECT_FALSE(begun && ended) << step;
    EXPECT_EQ(manager->pools().at(0).taken, 1U) << step;
    journal.failing.clear();
    ASSERT_TRUE(manager->remove_begin({.attachment = pod("a")})) << step;
    ASSERT_TRUE(manager->remove_end({.attachment = pod("a")})) << step;
    expect_nothing_left();
  }
}

TEST_F(ManagerTest, AbandoningUndoesAnUnfinishedAddOnly) {
  ASSERT_TRUE(prepare(pod("a")));
  manager->abandon(pod("a"));
  expect_nothing_left();

  ASSERT_TRUE(prepare(pod("a")));
  build(pod("a"));
  manager->abandon(pod("a"));  // the device too
  expect_nothing_left();

  add(pod("a"));
  manager->abandon(pod("a"));
  EXPECT_EQ(manager->list().at(0).state, State::ready);
  EXPECT_EQ(links.size(), 1U);
}

TEST_F(ManagerTest, DelOvertakesAnUnfinishedAdd) {
  ASSERT_TRUE(prepare(pod("a")));
  build(pod("a"));
  ASSERT_TRUE(manager->remove_begin({.attachment = pod("a")}));
  const auto late = commit(pod("a"));
  ASSERT_FALSE(late);
  EXPECT_EQ(journal.count("attach"), 0);
  manager->abandon(pod("a"));  // the ADD's connection ends: DEL owns it now
  EXPECT_EQ(manager->size(), 1U);
  ASSERT_TRUE(manager->remove_end({.attachment = pod("a")}));
  expect_nothing_left();
}

TEST_F(ManagerTest, GcRemovesWhatIsNotListedInItsNetwork) {
  add(pod("keep"));
  add(pod("gone"));
  add(pod("gone", "other"));
  ASSERT_TRUE(prepare(pod("busy")));
  ASSERT_TRUE(manager->gc({.network = "none", .valid = {}}));
  EXPECT_EQ(manager->size(), 4U);

  wire::GcRequest request{.network = "net", .valid = {pod("keep", ""), pod("never", "")}};
  const auto removed = manager->gc(request);
  ASSERT_TRUE(removed) << removed.error().message;
  EXPECT_THAT(*removed, ElementsAre(pod("gone")));
  EXPECT_EQ(manager->size(), 3U);
  EXPECT_FALSE(links.contains(name_of(pod("gone"))));
  EXPECT_TRUE(links.contains(name_of(pod("gone", "other"))));
  // The same container with another interface is another attachment.
  request.valid = {{.network = "", .container_id = "keep", .ifname = "eth1"}};
  EXPECT_THAT(*manager->gc(request), ElementsAre(pod("keep")));
}

TEST_F(ManagerTest, GcGoesOnPastErrors) {
  add(pod("a"));
  add(pod("b"));
  journal.failing = {"delete"};
  const auto removed = manager->gc({.network = "net", .valid = {}});
  ASSERT_FALSE(removed);
  EXPECT_THAT(removed.error().message, HasSubstr(name_of(pod("a"))));
  EXPECT_THAT(removed.error().message, HasSubstr(name_of(pod("b"))));
  journal.failing.clear();
  EXPECT_EQ(manager->gc({.network = "net", .valid = {}})->size(), 2U);
  expect_nothing_left();
}

}  // namespace
}  // namespace netkite::endpoint::testing
