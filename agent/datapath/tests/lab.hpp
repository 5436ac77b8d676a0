// SPDX-License-Identifier: Apache-2.0
// A throw-away node for each test: network namespace, BPF file system, folders; pods and links with traffic over them.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "agent/datapath/datapath.hpp"
#include "agent/datapath/kernel_objects.hpp"
#include "common/base/unique_fd.hpp"
#include "common/netlink/link.hpp"

namespace netkite::datapath::lab {

// For EXPECT_TRUE: says what went wrong.
template <typename T>
[[nodiscard]] testing::AssertionResult ok(const Result<T>& result) {
  return result ? testing::AssertionSuccess() : testing::AssertionFailure() << result.error().message;
}

[[nodiscard]] Ip ip(const std::string& text);
[[nodiscard]] Cidr cidr(const std::string& text);
// A new network namespace, alive as long as the descriptor.
[[nodiscard]] UniqueFd new_netns();
// What the running kernel can do, probed once.
[[nodiscard]] const Features& features();

// A UDP socket bound to `address` in a namespace (-1: the node's). Port 0: any.
class Udp {
 public:
  Udp(int netns, const Ip& address, std::uint16_t port);
  void send(const Ip& to, std::uint16_t port, const std::string& text) const;
  // The next datagram, "" when none comes within `milliseconds`.
  [[nodiscard]] std::string receive(int milliseconds) const;
  [[nodiscard]] int fd() const { return fd_.get(); }

 private:
  UniqueFd fd_;
};

// A pod: a pair with addresses and routes on both sides, up; no programs.
struct Pod {
  UniqueFd netns;
  EndpointDevice device;
};

// A tc program that answers `verdict` (-1 lets the next one run) and counts its runs.
class Foreign {
 public:
  explicit Foreign(int verdict = -1, const char* name = "foreign");
  void attach(std::uint32_t ifindex, Hook hook, bool first);
  void attach_xdp(std::uint32_t ifindex);
  [[nodiscard]] std::uint32_t id() const;
  [[nodiscard]] std::uint64_t runs() const;

 private:
  UniqueFd program_, link_;
};
[[nodiscard]] std::uint64_t runs_of(std::uint32_t program_id);

class LabTest : public testing::Test {
 protected:
  void SetUp() override;
  void TearDown() override;

  // Ends the test when the datapath does not open.
  void reopen();
  // `kind`: netkit (or skip the test where the kernel has none), netkit-l2, veth.
  [[nodiscard]] Pod make_pod(wire::DeviceMode kind, const std::string& name, const std::string& address,
                             const std::string& address6 = "");
  // A veth pair to a namespace that plays the network: 192.0.2.1 here, 192.0.2.2 there.
  struct Uplink {
    UniqueFd netns;
    std::uint32_t ifindex = 0;
    std::string name;
  };
  [[nodiscard]] Uplink make_uplink(const std::string& name);

  [[nodiscard]] std::vector<std::string> pins(const std::string& folder) const;  // sorted names
  [[nodiscard]] UniqueFd pinned_map(const std::string& name) const;
  // nk_epoch_v1's one value.
  [[nodiscard]] std::uint64_t epoch() const;
  [[nodiscard]] std::string folder(const std::string& name) const { return root_ + "/" + name; }
  // The same for all tests of this process.
  [[nodiscard]] static std::string shared_folder(const std::string& name);
  void write_file(const std::string& path, const std::string& text) const;
  // Whether a datagram from the node reaches the pod, and the other way round.
  [[nodiscard]] bool reaches_pod(const Pod& pod) const;
  [[nodiscard]] bool leaves_pod(const Pod& pod) const;

  config::Options options_;
  std::unique_ptr<Datapath> datapath_;

 private:
  std::string root_;
  UniqueFd statistics_;
};

// The same test for each kind of device; skipped where the kernel has no netkit.
class DeviceTest : public LabTest, public testing::WithParamInterface<wire::DeviceMode> {
 protected:
  void SetUp() override;
  [[nodiscard]] Hook from_hook() const;
  [[nodiscard]] Hook to_hook() const;
};
[[nodiscard]] std::string kind_name(const testing::TestParamInfo<wire::DeviceMode>& info);

// Without the backstop of a veth.
[[nodiscard]] std::vector<Chain::Entry> chain(std::uint32_t ifindex, Hook hook);
// Program names of a chain, in order.
[[nodiscard]] std::vector<std::string> names(std::uint32_t ifindex, Hook hook);

// From the datapath's own reports; a large number when the report lacks the row.
[[nodiscard]] std::uint64_t entries_of(Datapath& datapath, const std::string& map);
[[nodiscard]] std::uint64_t drops_of(Datapath& datapath, const std::string& reason);

}  // namespace netkite::datapath::lab
