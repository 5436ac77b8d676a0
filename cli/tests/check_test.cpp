// SPDX-License-Identifier: Apache-2.0
#include "cli/check/check.hpp"

#include <gmock/gmock.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <set>

#include "cli/check/kernel_version.hpp"
#include "cli/tests/fake_agent.hpp"

namespace netkite::cli {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;
using testing::HasSubstr;

class CheckInstall : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "netkite-check-XXXXXX").string();
    folder_ = mkdtemp(pattern.data());
  }
  void TearDown() override { fs::remove_all(folder_); }
  void write(const std::string& name, const std::string& content) const {
    std::ofstream(folder_ + "/" + name) << content;
  }

  std::string folder_;
};

constexpr const char* kOurs =
    R"({"cniVersion": "1.0.0", "name": "n", "plugins": [{"type": "netkite"}, {"type": "portmap"}]})";

TEST_F(CheckInstall, TheFirstConfigurationMustBeOurs) {
  EXPECT_EQ(check_cni_config(folder_).grade, Grade::warn);
  write("10-netkite.conflist", kOurs);
  write("00-broken.conflist", "{");
  EXPECT_EQ(check_cni_config(folder_).grade, Grade::warn);  // the runtime would take the broken one first
  fs::remove(folder_ + "/00-broken.conflist");
  EXPECT_EQ(check_cni_config(folder_).grade, Grade::ok);
  write("05-other.conf", R"({"type": "bridge"})");
  const auto second = check_cni_config(folder_);
  EXPECT_EQ(second.grade, Grade::warn);
  EXPECT_THAT(second.detail, HasSubstr("05-other.conf"));
  EXPECT_EQ(check_cni_config("/nonexistent").grade, Grade::warn);
}

TEST_F(CheckInstall, ThePluginMustBeExecutable) {
  EXPECT_EQ(check_cni_plugin(folder_).grade, Grade::warn);
  write("netkite", "x");
  fs::permissions(folder_ + "/netkite", fs::perms::owner_all);
  EXPECT_EQ(check_cni_plugin(folder_).grade, Grade::ok);
}

TEST_F(CheckInstall, TheAgentJudgesTheConfigurationFile) {
  const std::string former = getenv("PATH");
  write("netkite-agent", "#!/bin/sh\necho \"$@\"\n[ \"$3\" = good.json ]\n");
  fs::permissions(folder_ + "/netkite-agent", fs::perms::owner_all);
  setenv("PATH", (folder_ + ":" + former).c_str(), 1);
  const auto good_file = check_config_file("good.json");
  const auto bad_file = check_config_file("bad.json");
  setenv("PATH", "/nonexistent", 1);
  const auto without = check_config_file("good.json");
  setenv("PATH", former.c_str(), 1);
  EXPECT_EQ(good_file.grade, Grade::ok) << good_file.detail;
  EXPECT_EQ(bad_file.grade, Grade::fail);
  EXPECT_EQ(bad_file.detail, "--check-config --config bad.json");
  EXPECT_EQ(without.grade, Grade::warn);
}

TEST(CheckAgent, TellsDownUnreadyAndTroubledApart) {
  const Result<Json> status = Json{{"problems", Json::array()}, {"uplinks", Json::array({"eth0"})}};
  const Result<Json> troubled = Json{{"problems", {"uplink eth9: no such device"}}};
  const Result<Json> ready = Json{{"ready", true}, {"addresses_left", true}};
  const Result<Json> full = Json{{"ready", true}, {"addresses_left", false}};
  const Result<Json> unready = Json{{"ready", false}, {"addresses_left", true}, {"message", "no programs"}};
  EXPECT_EQ(check_agent(status, ready).grade, Grade::ok);
  EXPECT_EQ(check_agent(status, full).grade, Grade::warn);
  EXPECT_EQ(check_agent(troubled, ready).grade, Grade::warn);
  EXPECT_THAT(check_agent(troubled, ready).detail, HasSubstr("eth9"));
  EXPECT_EQ(check_agent(status, unready).grade, Grade::fail);
  EXPECT_THAT(check_agent(status, unready).detail, HasSubstr("no programs"));
  EXPECT_EQ(check_agent(fail(Code::unavailable, "no agent"), ready).grade, Grade::fail);
}

TEST(CheckAgent, AnUplinkThatIsMissingIsNoFullPool) {
  const Json full{{"ready", true}, {"addresses_left", false}, {"message", "a pool has no address left"}};
  const Json alone{{"ready", true}, {"addresses_left", false}, {"message", "the node has no uplink"}};
  const auto pool = check_agent(Json{{"uplinks", Json::array({"eth0"})}}, full);
  EXPECT_EQ(pool.detail, "a pool has no address left");
  EXPECT_THAT(pool.fix, HasSubstr("pool"));
  const auto uplink = check_agent(Json{{"uplinks", Json::array()}}, alone);
  EXPECT_EQ(uplink.detail, "the node has no uplink");
  EXPECT_THAT(uplink.fix, HasSubstr("uplinks"));
}

TEST(KernelVersion, ComesFromTheReleaseOrFromDebiansVersion) {
  EXPECT_EQ(parse_kernel_version("6.12.95", "#1 SMP"), (KernelVersion{6, 12, 95}));
  EXPECT_EQ(parse_kernel_version("6.18.44-fc-v657", "#1 SMP"), (KernelVersion{6, 18, 44}));
  EXPECT_EQ(parse_kernel_version("6.1.0-30-amd64", "#1 SMP PREEMPT_DYNAMIC Debian 6.1.124-1 (2025-01-12)"),
            (KernelVersion{6, 1, 124}));
  EXPECT_EQ(parse_kernel_version("7.2-rc3", ""), (KernelVersion{7, 2, 0}));
  EXPECT_EQ(parse_kernel_version("strange", ""), std::nullopt);
  EXPECT_LT((KernelVersion{6, 12, 95}), (KernelVersion{6, 12, 114}));
  EXPECT_GT((KernelVersion{6, 13, 0}), (KernelVersion{6, 12, 114}));
}

TEST(Check, EveryItemIsThereOnceAndTheStatusFollowsTheGravest) {
  FakeAgent agent([](const Json& request) {
    if (request["op"] == "status") return std::vector<Json>{{{"ok", true}, {"uplinks", Json::array()}}};
    return std::vector<Json>{{{"ok", true}, {"ready", false}, {"message", "starting"}}};
  });
  const auto ran = run_cli({"check", "-o", "json"}, agent.path());
  const auto json = Json::parse(ran.out);
  std::set<std::string> names;
  for (const auto& row : json["checks"]) {
    EXPECT_TRUE(names.insert(row["item"]).second) << row["item"];
    EXPECT_TRUE(row["status"] == "ok" || !row["fix"].get<std::string>().empty()) << row;
  }
  EXPECT_EQ(names,
            (std::set<std::string>{"kernel", "netkit", "netkit-redirect", "netkit-detach", "tcx", "btf", "bpf-jit",
                                   "bpffs", "pins", "foreign-programs", "ipv4-forwarding", "ipv6-forwarding",
                                   "accept-ra", "masquerade", "agent", "cni-config", "cni-plugin"}));
  EXPECT_EQ(json["result"], "fail");  // the agent is not ready
  EXPECT_EQ(ran.status, 1);
}

}  // namespace
}  // namespace netkite::cli
