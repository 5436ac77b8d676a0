// SPDX-License-Identifier: Apache-2.0
#include "agent/kube/access.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>

namespace netkite::kube {
namespace {

using ::testing::HasSubstr;

constexpr const char* kConfig = R"(apiVersion: v1
kind: Config
current-context: here
contexts:
- name: elsewhere
  context: {cluster: two, user: nobody}
- name: here
  context:
    cluster: one
    user: agent
clusters:
- name: one
  cluster:
    server: https://[2001:db8::1]:6443/k8s/
    certificate-authority-data: Q0E=
users:
- name: agent
  user:
    client-certificate: client.crt
    client-key-data: S0VZ
    tokenFile: token
)";

class AccessTest : public ::testing::Test {
 protected:
  AccessTest() {
    write("client.crt", "CERTIFICATE");
    write("token", "secret\n");
  }
  ~AccessTest() override { std::filesystem::remove_all(folder_); }
  void write(const std::string& name, const std::string& text) const { std::ofstream(folder_ + "/" + name) << text; }

  std::string folder_ = [] {
    std::string name = std::filesystem::temp_directory_path() / "netkite-access.XXXXXX";
    return std::string(::mkdtemp(name.data()));
  }();
};

TEST_F(AccessTest, ReadsTheCurrentContext) {
  write("config", kConfig);
  const auto access = read_access({.kubeconfig = folder_ + "/config", .server = ""});
  ASSERT_TRUE(access) << access.error().message;
  EXPECT_EQ(access->host, "2001:db8::1");
  EXPECT_EQ(access->port, "6443");
  EXPECT_EQ(access->base, "/k8s");
  EXPECT_TRUE(access->tls);
  EXPECT_EQ(access->server_name, "2001:db8::1");
  EXPECT_EQ(access->ca, "CA");
  EXPECT_EQ(access->certificate, "CERTIFICATE");
  EXPECT_EQ(access->key, "KEY");
  EXPECT_EQ(access->token, "secret");
}

TEST_F(AccessTest, AnotherServerKeepsTheCredentials) {
  write("config", kConfig);
  const auto access = read_access({.kubeconfig = folder_ + "/config", .server = "http://127.0.0.1:8080"});
  ASSERT_TRUE(access) << access.error().message;
  EXPECT_EQ(access->host, "127.0.0.1");
  EXPECT_FALSE(access->tls);
  EXPECT_EQ(access->token, "secret");
}

TEST_F(AccessTest, EveryMistakeIsNamed) {
  const auto with = [this](const std::string& from, const std::string& to) {
    std::string text = kConfig;
    text.replace(text.find(from), from.size(), to);
    const auto access = parse_kubeconfig(text, folder_);
    return access ? "no error" : access.error().message;
  };
  EXPECT_THAT(with("current-context: here", "x: y"), HasSubstr("current-context"));
  EXPECT_THAT(with("current-context: here", "current-context: there"), HasSubstr("contexts has no entry \"there\""));
  EXPECT_THAT(with("cluster: one", "cluster: none"), HasSubstr("clusters has no entry \"none\""));
  EXPECT_THAT(with("user: agent", "user: none"), HasSubstr("users has no entry \"none\""));
  EXPECT_THAT(with("https://", "ftp://"), HasSubstr("neither https:// nor http://"));
  EXPECT_THAT(with(":6443", ":99999"), HasSubstr("port"));
  EXPECT_THAT(with("Q0E=", "Q?E="), HasSubstr("certificate-authority-data: no base64"));
  EXPECT_THAT(with("client-certificate: client.crt", "x: y"), HasSubstr("go together"));
  EXPECT_THAT(with("client.crt", "missing.crt"), HasSubstr("missing.crt"));
  EXPECT_THAT(with("client-key-data: S0VZ", "exec: {command: x}"), HasSubstr("\"exec\" is not supported"));
  EXPECT_THAT(with("certificate-authority-data: Q0E=", "insecure-skip-tls-verify: true"), HasSubstr("refused"));
  EXPECT_THAT(parse_kubeconfig("{", "").error().message, HasSubstr("no kubeconfig"));
  EXPECT_THAT(parse_kubeconfig("", "").error().message, HasSubstr("not a mapping"));
  EXPECT_THAT(parse_kubeconfig("clusters: 7\ncurrent-context: x\ncontexts: [1, [2], {name: {}}]", "").error().message,
              HasSubstr("contexts has no entry"));
}

TEST_F(AccessTest, APodFindsItselfInItsEnvironment) {
  write("ca.crt", "CA");
  ::unsetenv("KUBERNETES_SERVICE_HOST");
  const Source source{.kubeconfig = "", .server = "", .service_account = folder_};
  EXPECT_THAT(read_access(source).error().message, HasSubstr("set kubernetes.kubeconfig"));
  ::setenv("KUBERNETES_SERVICE_HOST", "10.96.0.1", 1);
  ::setenv("KUBERNETES_SERVICE_PORT", "443", 1);
  EXPECT_EQ(read_access(source)->token, "secret");
  EXPECT_EQ(read_access(source)->host, "10.96.0.1");
  // The token rotates under the same name.
  write("token", "newer");
  EXPECT_EQ(read_access(source)->token, "newer");
  std::filesystem::remove(folder_ + "/token");
  EXPECT_THAT(read_access(source).error().message, HasSubstr("/token"));
}

TEST(Base64, IsDecoded) {
  EXPECT_EQ(decode_base64("").value(), "");
  EXPECT_EQ(decode_base64("QQ==").value(), "A");
  EXPECT_EQ(decode_base64("QUI=").value(), "AB");
  EXPECT_EQ(decode_base64("QU\nJD").value(), "ABC");
  EXPECT_FALSE(decode_base64("Q"));
  EXPECT_FALSE(decode_base64("Q*=="));
}

TEST(Kubeconfig, DamageEndsWithAnAnswer) {
  std::mt19937 random(20'261'121);
  const std::string seed = kConfig;
  for (int round = 0; round < 3000; ++round) {
    std::string text = seed;
    for (int edit = 0; edit < 4; ++edit) {
      text[std::uniform_int_distribution<std::size_t>(0, text.size() - 1)(random)] =
          static_cast<char>(std::uniform_int_distribution<>(1, 255)(random));
    }
    const auto access = parse_kubeconfig(text, "/nonexistent");
    EXPECT_TRUE(access || !access.error().message.empty()) << text;
  }
}

}  // namespace
}  // namespace netkite::kube
