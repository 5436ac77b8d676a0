// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include <fstream>

#include "agent/endpoint/tests/manager_fixture.hpp"

namespace netkite::endpoint::testing {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

TEST_F(ManagerTest, RestartAdoptsLivingPods) {
  add(pod("a"));
  add(pod("b"));
  const auto before = manager->list();
  journal.calls.clear();
  restart();
  const auto after = manager->list();
  ASSERT_THAT(after, SizeIs(2));
  for (std::size_t i = 0; i < 2; ++i) EXPECT_EQ(to_json(after[i]), to_json(before[i]));
  EXPECT_EQ(journal.count("attach"), 2);
  EXPECT_EQ(journal.count("configure"), 2);
  EXPECT_EQ(journal.count("detach"), 0);
  EXPECT_EQ(journal.count("delete"), 0);
  EXPECT_THAT(manager->take_reports(), IsEmpty());
  // Its addresses and numbers are taken.
  const auto next = prepare(pod("c"));
  ASSERT_TRUE(next);
  EXPECT_EQ(next->addresses.at(0).to_string(), "10.0.0.3");
  EXPECT_EQ(manager->list().at(2).id, 3U);
}

TEST_F(ManagerTest, RestartKeepsAPodsDeviceMode) {
  add(pod("a"));
  restart(wire::DeviceMode::veth);
  EXPECT_EQ(manager->list().at(0).device, wire::DeviceMode::netkit);
  EXPECT_EQ(prepare(pod("b"))->device, wire::DeviceMode::veth);
}

TEST_F(ManagerTest, RestartRemovesHalfMadePods) {
  ASSERT_TRUE(prepare(pod("a")));
  ASSERT_TRUE(prepare(pod("b")));
  build(pod("b"));
  add(pod("c"));
  ASSERT_TRUE(manager->remove_begin({.attachment = pod("c")}));
  restart();
  EXPECT_THAT(manager->take_reports(), SizeIs(3));
  expect_nothing_left();
}

TEST_F(ManagerTest, RestartRemovesPodsWhoseDeviceIsGoneOrAnother) {
  add(pod("a"));
  add(pod("b"));
  add(pod("c"));
  links.erase(name_of(pod("a")));
  links.at(name_of(pod("b"))).index = 77;
  links.at(name_of(pod("c"))).kind = "dummy";
  restart();
  EXPECT_EQ(manager->size(), 0U);
  EXPECT_EQ(rows(), 0U);
  EXPECT_TRUE(datapath.attached.empty());
  EXPECT_EQ(manager->pools().at(0).taken, 0U);
}

TEST_F(ManagerTest, RestartRemovesDevicesWithoutARowAndNoOthers) {
  add(pod("a"));
  const auto orphan = wire::host_ifname(pod("orphan"));
  links[orphan] = netkit_link(orphan, 50);
  for (const auto* name : {"eth0", "nk0", "nk00000000000g", "nk0000000000000", "nkabcdefabcde"}) {
    links[name] = netkit_link(name, 60);
  }
  links["nk00000000000a"] = netkit_link("nk00000000000a", 70);
  links["nk00000000000a"].kind = "bridge";
  restart();
  EXPECT_FALSE(links.contains(orphan));
  EXPECT_THAT(links, SizeIs(7));
  EXPECT_THAT(manager->take_reports(), ElementsAre(HasSubstr(orphan)));
}

TEST_F(ManagerTest, ARowThatCannotBeReadIsReported) {
  add(pod("a"));
  std::ofstream(options.run_dir + "/endpoints/nk000000000001.json") << "{";
  restart();
  EXPECT_EQ(manager->size(), 1U);
  EXPECT_THAT(manager->take_reports(), ElementsAre(HasSubstr("nk000000000001.json.corrupt")));
}

TEST_F(ManagerTest, APodThatCannotBeTakenOverIsLeftRunning) {
  add(pod("a"));
  journal.failing = {"attach"};
  restart();
  EXPECT_EQ(manager->list().at(0).state, State::ready);
  EXPECT_TRUE(links.contains(name_of(pod("a"))));
  EXPECT_THAT(manager->take_reports(), ElementsAre(HasSubstr("could not be taken over")));
}

TEST_F(ManagerTest, RestartSurvivesAChangeOfPools) {
  add(pod("a"));
  options.pools = {Cidr::parse("192.0.2.0/24").value()};
  restart();
  EXPECT_EQ(manager->size(), 1U);
  EXPECT_THAT(manager->take_reports(), Contains(HasSubstr("10.0.0.1 is in none of the pools")));
  ASSERT_TRUE(manager->remove_end({.attachment = pod("a")}));
  expect_nothing_left();
}

TEST_F(ManagerTest, NotesOfDelsMeanwhileAreWorkedOff) {
  add(pod("a"));
  add(pod("b"));
  const auto folder = options.run_dir + "/deferred-del";
  std::filesystem::create_directory(folder);
  const auto note = [&](const std::string& name, const std::string& content) {
    std::ofstream(folder + "/" + name) << content;
  };
  note("1.json", wire::to_text(wire::to_json(pod("a"))));
  note("2.json", wire::to_text(wire::to_json(pod("unknown"))));
  note("3.json", "{\"network\": 4}");
  note("half.new", "{");
  links.erase(name_of(pod("a")));  // the plugin deleted it
  restart();
  EXPECT_EQ(manager->size(), 1U);
  EXPECT_EQ(manager->pools().at(0).taken, 1U);
  EXPECT_FALSE(std::filesystem::exists(folder + "/1.json"));
  EXPECT_FALSE(std::filesystem::exists(folder + "/2.json"));
  EXPECT_FALSE(std::filesystem::exists(folder + "/3.json"));
  EXPECT_THAT(manager->take_reports(), Contains(HasSubstr("3.json thrown away")));

  note("4.json", wire::to_text(wire::to_json(pod("b"))));
  journal.failing = {"delete"};
  manager->work_off_notes();
  EXPECT_TRUE(std::filesystem::exists(folder + "/4.json"));
  journal.failing.clear();
  manager->work_off_notes();
  EXPECT_FALSE(std::filesystem::exists(folder + "/4.json"));
  expect_nothing_left();
}

}  // namespace
}  // namespace netkite::endpoint::testing
