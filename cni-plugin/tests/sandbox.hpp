// SPDX-License-Identifier: Apache-2.0
// A host and a pod to call the built plugin in: two network namespaces of the test's own, and an agent that answers.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "cni-plugin/args.hpp"
#include "cni-plugin/tests/fake_agent.hpp"
#include "common/base/unique_fd.hpp"
#include "common/netlink/link.hpp"

namespace netkite::cni::testing {

// The value, as one of its own: a range-for over `*result()` would outlive it. An error ends the test.
template <typename T>
[[nodiscard]] T must(Result<T> result) {
  if (!result) throw std::runtime_error(result.error().message);
  return std::move(*result);
}

class Namespace {
 public:
  Namespace();  // new and empty
  [[nodiscard]] int fd() const { return fd_.get(); }
  [[nodiscard]] std::string path() const;  // any process may open it while this one lives
  [[nodiscard]] std::uint64_t inode() const;
  [[nodiscard]] netlink::Socket socket() const;
  void write_sysctl(const std::string& name, const std::string& value) const;  // "net/ipv6/conf/all/…"

 private:
  UniqueFd fd_;
};

struct Answer {
  int status = 0;
  std::string output;   // standard output as it is
  nlohmann::json json;  // the same, discarded when it is not JSON
};

inline constexpr int kClosed = -2;
// Runs the plugin. `output_fd` >= 0 takes the place of standard output; kClosed: it has none.
[[nodiscard]] Answer run_plugin(const Environment& environment, const std::string& input, int output_fd = -1);

// Links, addresses and routes of a namespace as text, for comparisons.
[[nodiscard]] std::string snapshot(netlink::Socket socket);
[[nodiscard]] std::string host_snapshot();

// The test's process lives in a host namespace of its own. Skips without root.
class Sandbox : public ::testing::Test {
 protected:
  void SetUp() override;
  void TearDown() override;

  // The environment and configuration of a call for container "c1", interface eth0.
  [[nodiscard]] Environment environment(const std::string& command) const;
  [[nodiscard]] nlohmann::json conf(const std::string& version = "1.1.0") const;
  [[nodiscard]] Answer call(const std::string& command, const nlohmann::json& conf) const;
  [[nodiscard]] Answer call(const std::string& command) const { return call(command, conf()); }
  [[nodiscard]] static wire::Attachment attachment(const std::string& ifname = "eth0");

  // What prepare answers: veth, one address a family.
  [[nodiscard]] static wire::PrepareReply veth_plan(const std::string& ifname = "eth0");
  // A check reply for a pod that was added.
  void let_check_pass();
  [[nodiscard]] std::string notes() const { return folder_.path() + "/deferred-del"; }

  TemporaryFolder folder_;
  std::string socket_path_ = folder_.path() + "/agent.sock";
  std::unique_ptr<FakeAgent> agent_;
  std::unique_ptr<Namespace> pod_;
};

// An answer that is an error of that code whose message has `names`.
void expect_error(const Answer& answer, int code, const std::string& names);

}  // namespace netkite::cni::testing
