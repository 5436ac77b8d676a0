// SPDX-License-Identifier: Apache-2.0
// Users' own programs beside ours.
#include <bpf/bpf.h>
#include <gmock/gmock.h>
#include <unistd.h>

#include <filesystem>

#include "agent/datapath/tests/lab.hpp"

namespace netkite::datapath::lab {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// One source with all hooks, compiled once for all tests: clang takes its time in an emulated machine.
constexpr const char* kHead =
    "#include <linux/bpf.h>\n#include <bpf/bpf_helpers.h>\nchar L[] SEC(\"license\") = \"GPL\";\n";

std::string source_of_all() {
  std::string text = kHead;
  for (const std::string name : {"a", "b", "c", "d", "in", "in1", "in2", "out1", "out2", "new"}) {
    text += "SEC(\"tc\") int hook_" + name + "(struct __sk_buff *ctx) { return -1; }\n";
  }
  return text + "SEC(\"tc\") int hook_deny(struct __sk_buff *ctx) { return 2; }\n";
}

class HooksTest : public DeviceTest {
 protected:
  void add_hook(const std::string& name, config::HookPoint point, config::HookOrder order) {
    const auto path = shared_folder("hooks/all.bpf.c");
    if (!std::filesystem::exists(path)) write_file(path, source_of_all());
    options_.datapath.cache_dir = shared_folder("cache");
    options_.hooks.push_back(
        {.name = name, .source = path, .object = {}, .program = "hook_" + name, .attach = point, .order = order});
  }
  std::uint64_t runs(std::uint32_t ifindex, Hook hook, std::size_t place) const {
    return runs_of(chain(ifindex, hook).at(place).program_id);
  }
};
INSTANTIATE_TEST_SUITE_P(Devices, HooksTest,
                         testing::Values(wire::DeviceMode::veth, wire::DeviceMode::netkit, wire::DeviceMode::netkit_l2),
                         kind_name);

TEST_P(HooksTest, RunBeforeAndAfterInTheOrderOfTheConfiguration) {
  add_hook("a", config::HookPoint::pod_egress, config::HookOrder::before);
  add_hook("b", config::HookPoint::pod_egress, config::HookOrder::before);
  add_hook("c", config::HookPoint::pod_egress, config::HookOrder::after);
  add_hook("d", config::HookPoint::pod_egress, config::HookOrder::after);
  add_hook("in", config::HookPoint::pod_ingress, config::HookOrder::after);
  reopen();
  const auto pod = make_pod(GetParam(), "nkpod1", "10.1.0.2");
  const auto ifindex = pod.device.host_ifindex;
  ASSERT_TRUE(ok(datapath_->attach_endpoint(pod.device)));
  const auto order = ElementsAre("hook_a", "hook_b", "nk_from_pod", "hook_c", "hook_d");
  EXPECT_THAT(names(ifindex, from_hook()), order);
  EXPECT_THAT(names(ifindex, to_hook()), ElementsAre("nk_to_pod", "hook_in"));
  EXPECT_TRUE(leaves_pod(pod) && reaches_pod(pod));
  for (std::size_t i = 0; i < 5; ++i) EXPECT_GE(runs(ifindex, from_hook(), i), 1U) << i;
  EXPECT_GE(runs(ifindex, to_hook(), 1), 1U);
  EXPECT_TRUE(ok(datapath_->verify_endpoint(pod.device)));
  const auto before = chain(ifindex, from_hook());

  reopen();
  ASSERT_TRUE(ok(datapath_->attach_endpoint(pod.device)));
  EXPECT_THAT(names(ifindex, from_hook()), order);
  const auto after = chain(ifindex, from_hook());
  for (std::size_t i = 0; i < after.size(); ++i) {
    EXPECT_EQ(after[i].link_id, before[i].link_id) << i;
    EXPECT_NE(after[i].program_id, before[i].program_id) << i;
  }
  ASSERT_TRUE(ok(datapath_->detach_endpoint(pod.device)));
  EXPECT_THAT(chain(ifindex, from_hook()), IsEmpty());
  EXPECT_THAT(chain(ifindex, to_hook()), IsEmpty());
  EXPECT_THAT(pins("links"), IsEmpty());
}

TEST_P(HooksTest, FollowTheConfigurationAcrossRestarts) {
  add_hook("a", config::HookPoint::pod_egress, config::HookOrder::before);
  add_hook("b", config::HookPoint::pod_egress, config::HookOrder::before);
  reopen();
  const auto pod = make_pod(GetParam(), "nkpod1", "10.1.0.2");
  ASSERT_TRUE(ok(datapath_->attach_endpoint(pod.device)));
  const auto ours = chain(pod.device.host_ifindex, from_hook())[2].link_id;

  std::swap(options_.hooks[0], options_.hooks[1]);
  reopen();
  ASSERT_TRUE(ok(datapath_->attach_endpoint(pod.device)));
  EXPECT_THAT(names(pod.device.host_ifindex, from_hook()), ElementsAre("hook_b", "hook_a", "nk_from_pod"));

  options_.hooks.erase(options_.hooks.begin());
  add_hook("new", config::HookPoint::pod_egress, config::HookOrder::before);
  reopen();
  EXPECT_THAT(names(pod.device.host_ifindex, from_hook()), ElementsAre("hook_a", "nk_from_pod")) << "removed at once";
  ASSERT_TRUE(ok(datapath_->attach_endpoint(pod.device)));
  EXPECT_THAT(names(pod.device.host_ifindex, from_hook()), ElementsAre("hook_a", "hook_new", "nk_from_pod"));

  options_.hooks[0].order = config::HookOrder::after;
  reopen();
  ASSERT_TRUE(ok(datapath_->attach_endpoint(pod.device)));
  EXPECT_THAT(names(pod.device.host_ifindex, from_hook()), ElementsAre("hook_new", "nk_from_pod", "hook_a"));
  EXPECT_EQ(chain(pod.device.host_ifindex, from_hook())[1].link_id, ours) << "ours never moved";
  EXPECT_TRUE(leaves_pod(pod) && reaches_pod(pod));
}

TEST_P(HooksTest, LostPinsAreAdoptedByTheirInstructions) {
  add_hook("a", config::HookPoint::pod_egress, config::HookOrder::before);
  reopen();
  const auto pod = make_pod(GetParam(), "nkpod1", "10.1.0.2");
  ASSERT_TRUE(ok(datapath_->attach_endpoint(pod.device)));
  const auto before = chain(pod.device.host_ifindex, from_hook());
  std::vector<UniqueFd> held;
  for (const auto& entry : before) held.emplace_back(bpf_link_get_fd_by_id(entry.link_id));
  for (const auto& pin : pins("links")) ::unlink((options_.bpffs + "/links/" + pin).c_str());
  reopen();
  ASSERT_TRUE(ok(datapath_->attach_endpoint(pod.device)));
  const auto after = chain(pod.device.host_ifindex, from_hook());
  ASSERT_EQ(after.size(), 2U);
  EXPECT_EQ(after[0].link_id, before[0].link_id);
  EXPECT_EQ(after[1].link_id, before[1].link_id);
}

TEST_P(HooksTest, ABeforeHookCanRefuse) {
  add_hook("deny", config::HookPoint::pod_egress, config::HookOrder::before);
  reopen();
  const auto pod = make_pod(GetParam(), "nkpod1", "10.1.0.2");
  ASSERT_TRUE(ok(datapath_->attach_endpoint(pod.device)));
  EXPECT_FALSE(leaves_pod(pod));
  EXPECT_TRUE(reaches_pod(pod));
}

TEST_P(HooksTest, ABadOneLeavesEverythingAsItWas) {
  const auto pod = make_pod(GetParam(), "nkpod1", "10.1.0.2");
  ASSERT_TRUE(ok(datapath_->attach_endpoint(pod.device)));
  const auto before = chain(pod.device.host_ifindex, from_hook());
  datapath_.reset();
  struct Case {
    const char* name;
    std::string source, expected;
  };
  const std::string head = kHead;
  const Case cases[] = {
      {"syntax", head + "int broken(\n", "error: expected"},
      {"verifier", head + "SEC(\"tc\") int spin(struct __sk_buff *c) { return *(int *)(long)c->len; }\n",
       "R1 invalid mem access"},
      {"kind", head + "SEC(\"xdp\") int wrong(void *c) { return 2; }\n", "use SEC(\"tc\")"},
      {"two", head + "SEC(\"tc\") int one(void *c) { return 0; }\nSEC(\"tc\") int two(void *c) { return 0; }\n",
       "name one: one, two"},
  };
  for (const auto& each : cases) {
    const auto path = folder(std::string("hooks/") + each.name + ".bpf.c");
    write_file(path, each.source);
    options_.hooks = {{.name = each.name, .source = path, .object = {}, .program = {}}};
    const auto opened = Datapath::open(options_);
    ASSERT_FALSE(opened) << each.name;
    EXPECT_THAT(opened.error().message, HasSubstr(std::string("hook ") + each.name));
    EXPECT_THAT(opened.error().message, HasSubstr(each.expected));
  }
  const auto after = chain(pod.device.host_ifindex, from_hook());
  ASSERT_EQ(after.size(), 1U);
  EXPECT_EQ(after[0].program_id, before[0].program_id);
  EXPECT_TRUE(leaves_pod(pod) && reaches_pod(pod));

  options_.hooks[0].program = "two";
  reopen();
  ASSERT_TRUE(ok(datapath_->attach_endpoint(pod.device)));
  EXPECT_THAT(names(pod.device.host_ifindex, from_hook()), ElementsAre("two", "nk_from_pod"));
}

class UplinkHooksTest : public HooksTest {};
INSTANTIATE_TEST_SUITE_P(Devices, UplinkHooksTest, testing::Values(wire::DeviceMode::veth), kind_name);

TEST_P(UplinkHooksTest, StandOnBothDirections) {
  add_hook("in1", config::HookPoint::uplink_ingress, config::HookOrder::before);
  add_hook("in2", config::HookPoint::uplink_ingress, config::HookOrder::after);
  add_hook("out1", config::HookPoint::uplink_egress, config::HookOrder::before);
  add_hook("out2", config::HookPoint::uplink_egress, config::HookOrder::after);
  reopen();
  const auto uplink = make_uplink("nkup0");
  for (int restart = 0; restart < 2; ++restart) {
    ASSERT_TRUE(ok(datapath_->attach_uplink(uplink.ifindex, uplink.name)));
    EXPECT_THAT(names(uplink.ifindex, Hook::tcx_ingress), ElementsAre("hook_in1", "nk_from_netdev", "hook_in2"));
    EXPECT_THAT(names(uplink.ifindex, Hook::tcx_egress), ElementsAre("hook_out1", "hook_out2"));
    reopen();
  }
  ASSERT_TRUE(ok(datapath_->detach_uplink(uplink.ifindex, uplink.name)));
  EXPECT_THAT(pins("links"), IsEmpty());
}

}  // namespace
}  // namespace netkite::datapath::lab
