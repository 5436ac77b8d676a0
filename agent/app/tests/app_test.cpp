// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <array>
#include <cstdlib>
#include <filesystem>

#include "agent/app/arguments.hpp"
#include "agent/app/device_choice.hpp"
#include "agent/app/process.hpp"
#include "agent/app/reload.hpp"
#include "agent/app/uplinks.hpp"
#include "agent/config/loader.hpp"
#include "agent/endpoint/tests/fakes.hpp"

namespace netkite::app {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

Result<Arguments> parse(std::vector<std::string> words) {
  std::vector<char*> pointers;
  for (auto& word : words) pointers.push_back(word.data());
  return parse_arguments(pointers);
}

TEST(Arguments, AreFewAndStrict) {
  EXPECT_EQ(parse({})->action, Action::run);
  EXPECT_EQ(parse({})->config_file, "/etc/netkite/agent.json");
  EXPECT_EQ(parse({"--config", "/x", "--check-config"})->config_file, "/x");
  EXPECT_EQ(parse({"--config", "/x", "--check-config"})->action, Action::check_config);
  EXPECT_EQ(parse({"--dump-config"})->action, Action::check_config);
  EXPECT_EQ(parse({"--cleanup"})->action, Action::cleanup);
  EXPECT_THAT(parse({"--config"}).error().message, HasSubstr("--config needs"));
  EXPECT_THAT(parse({"--konfig"}).error().message, HasSubstr("--konfig"));
  EXPECT_FALSE(parse({"--cleanup", "--check-config"}));
  EXPECT_FALSE(parse({"x"}));
}

datapath::Features features(bool netkit, bool tcx = true) {
  datapath::Features all;
  all.netkit = netkit;
  all.tcx = tcx;
  return all;
}

TEST(DeviceChoice, AutoSettlesForVeth) {
  EXPECT_EQ(choose_device(config::Device::automatic, features(true)), wire::DeviceMode::netkit);
  EXPECT_EQ(choose_device(config::Device::automatic, features(false)), wire::DeviceMode::veth);
}

TEST(DeviceChoice, AnExplicitModeIsNeverReplaced) {
  EXPECT_EQ(choose_device(config::Device::veth, features(true)), wire::DeviceMode::veth);
  EXPECT_EQ(choose_device(config::Device::netkit_l2, features(true)), wire::DeviceMode::netkit_l2);
  for (const auto device : {config::Device::netkit, config::Device::netkit_l2}) {
    const auto refused = choose_device(device, features(false));
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, Code::unsupported);
    EXPECT_THAT(refused.error().message, HasSubstr("CONFIG_NETKIT"));
    EXPECT_THAT(refused.error().message, HasSubstr("\"veth\""));
  }
  EXPECT_THAT(choose_device(config::Device::veth, features(true, false)).error().message, HasSubstr("tcx"));
}

TEST(DeviceChoice, AMissingRightIsNoMissingKernelFeature) {
  auto untried = features(false, false);
  untried.untried = "make a network namespace: Operation not permitted";
  const auto refused = choose_device(config::Device::automatic, untried);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::denied);
  EXPECT_THAT(refused.error().message, HasSubstr("CAP_SYS_ADMIN"));
}

config::Options base() {
  return config::parse(R"({"pools": ["10.0.0.0/24"], "prefilter": {"deny": ["192.0.2.0/24", "198.51.100.0/24"]}})")
      .value();
}

TEST(Reload, TakesOverWhatItMay) {
  const auto running = base();
  auto fresh = running;
  fresh.log_level = "debug";
  fresh.masquerade.enabled = false;
  fresh.peers.push_back({.name = "b", .addresses = {Ip::parse("192.0.2.2").value()}, .pod_ranges = {}});
  fresh.prefilter.deny = {Cidr::parse("198.51.100.0/24").value(), Cidr::parse("203.0.113.0/24").value()};
  const auto plan = plan_reload(running, fresh);
  ASSERT_TRUE(plan) << plan.error().message;
  EXPECT_EQ(config::dump(plan->options), config::dump(fresh));
  EXPECT_THAT(plan->deny, ElementsAre(Cidr::parse("203.0.113.0/24").value()));
  EXPECT_THAT(plan->undeny, ElementsAre(Cidr::parse("192.0.2.0/24").value()));
}

TEST(Reload, RefusesWhatNeedsARestartByName) {
  const auto running = base();
  auto fresh = running;
  fresh.log_level = "debug";
  fresh.device = config::Device::veth;
  fresh.datapath.max_endpoints = 5;
  fresh.masquerade.mode = config::MasqueradeMode::bpf;
  const auto plan = plan_reload(running, fresh);
  ASSERT_FALSE(plan);
  EXPECT_THAT(plan.error().message, HasSubstr("need a restart: datapath.max_endpoints, device, masquerade.mode"));
}

TEST(Uplinks, FollowTheView) {
  endpoint::testing::Journal journal;
  endpoint::testing::FakeDatapath datapath(journal);
  Uplinks uplinks(datapath);
  const node::Uplink a{.ifindex = 1, .name = "lo"};  // exists everywhere
  const node::Uplink b{.ifindex = 0x7ffffff0, .name = "b"};
  EXPECT_THAT(uplinks.follow({a}), IsEmpty());
  EXPECT_THAT(uplinks.follow({a}), IsEmpty());
  EXPECT_THAT(journal.calls, ElementsAre("uplink+ lo"));
  journal.failing = {"uplink+"};
  EXPECT_THAT(uplinks.follow({a, b}), ElementsAre(HasSubstr("uplink b: ")));
  EXPECT_FALSE(uplinks.has_all({a, b}));
  EXPECT_TRUE(uplinks.has_all({a}));
  journal.failing.clear();
  EXPECT_THAT(uplinks.follow({b}), IsEmpty());
  EXPECT_TRUE(uplinks.has_all({b}));
  EXPECT_EQ(journal.calls.back(), "uplink+ b");
  EXPECT_EQ(journal.count("uplink-"), 0);  // lo is no uplink any more, but it is there
  EXPECT_THAT(uplinks.follow({}), IsEmpty());
  EXPECT_EQ(journal.calls.back(), "uplink- b");
  EXPECT_THAT(uplinks.ifindexes(), ElementsAre(1U));
}

TEST(Process, OneInstanceForARunDir) {
  char name[] = "/tmp/netkite-app-XXXXXX";
  const std::string parent = ::mkdtemp(name);
  const auto directory = parent + "/run/a";
  {
    const auto first = lock_instance(directory);
    ASSERT_TRUE(first) << first.error().message;
    const auto second = lock_instance(directory);
    ASSERT_FALSE(second);
    EXPECT_EQ(second.error().code, Code::unavailable);
    EXPECT_THAT(second.error().message, HasSubstr(directory));
    EXPECT_TRUE(lock_instance(parent + "/run/b"));
  }
  EXPECT_TRUE(lock_instance(directory));
  std::filesystem::remove_all(parent);
}

TEST(Process, NotifiesItsSupervisor) {
  const std::string abstract = "@netkite-test-" + std::to_string(::getpid());
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  abstract.copy(address.sun_path, abstract.size());
  address.sun_path[0] = '\0';
  const UniqueFd socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ASSERT_EQ(::bind(socket.get(), reinterpret_cast<sockaddr*>(&address),
                   static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + abstract.size())),
            0);
  ::setenv("NOTIFY_SOCKET", abstract.c_str(), 1);
  notify_supervisor("READY=1");
  ::unsetenv("NOTIFY_SOCKET");
  notify_supervisor("unheard");
  std::array<char, 64> buffer{};
  const auto got = ::recv(socket.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
  EXPECT_EQ(std::string(buffer.data(), static_cast<std::size_t>(std::max<ssize_t>(got, 0))), "READY=1");
  EXPECT_LT(::recv(socket.get(), buffer.data(), buffer.size(), MSG_DONTWAIT), 0);
}

}  // namespace
}  // namespace netkite::app
