// SPDX-License-Identifier: Apache-2.0
#include <poll.h>
#include <sys/socket.h>

#include "agent/node/node.hpp"
#include "agent/node/tests/lab.hpp"

namespace netkite::node {
namespace {

class RouteMonitor : public Lab {
 protected:
  void start() {
    auto monitor = Monitor::open();
    ASSERT_TRUE(monitor) << monitor.error().message;
    monitor_ = std::move(*monitor);
    EXPECT_FALSE(changed());
  }
  bool changed() {
    const auto drained = monitor_->drain();
    EXPECT_TRUE(drained) << drained.error().message;
    return drained.value_or(false);
  }
  [[nodiscard]] bool readable() const {
    pollfd wait{.fd = monitor_->fd(), .events = POLLIN, .revents = 0};
    return poll(&wait, 1, 0) == 1;
  }

  std::unique_ptr<Monitor> monitor_;
};

TEST_F(RouteMonitor, ReactsToLinksAddressesAndRoutes) {
  start();
  EXPECT_FALSE(readable());
  const auto up = add_device("up0");
  EXPECT_TRUE(readable());
  EXPECT_TRUE(changed());
  EXPECT_FALSE(changed());
  add_address(up, "192.0.2.1/24");
  EXPECT_TRUE(changed());
  add_route("0.0.0.0/0", up, "192.0.2.254");
  EXPECT_TRUE(changed());
  add_address(up, "2001:db8::1/64");
  EXPECT_TRUE(changed());
  ASSERT_TRUE(netlink::change_link(socket(), up, {.mtu = 1400}));
  EXPECT_TRUE(changed());
}

TEST_F(RouteMonitor, IgnoresOurRoutes) {
  const auto up = add_device("up0");
  add_address(up, "192.0.2.1/24");
  start();
  add_route("10.244.2.0/24", up, "192.0.2.2", netlink::kRouteProtocol);
  EXPECT_TRUE(readable());
  EXPECT_FALSE(changed());
}

TEST_F(RouteMonitor, IgnoresPodsDevices) {
  const auto old = add_device("nkold");
  start();
  add_address(old, "10.244.1.8/32");
  EXPECT_FALSE(changed());
  const auto pod = add_device("nknew");
  add_address(pod, "10.244.1.9/24");
  add_route("10.77.0.0/16", pod);
  EXPECT_TRUE(readable());
  EXPECT_FALSE(changed());
  ASSERT_TRUE(netlink::delete_link(socket(), pod));
  EXPECT_FALSE(changed());
}

TEST_F(RouteMonitor, LostMessagesCountAsAChange) {
  const auto up = add_device("up0");
  add_address(up, "192.0.2.1/24");
  start();
  const int smallest = 1;  // the kernel raises it to its minimum
  ASSERT_EQ(setsockopt(monitor_->fd(), SOL_SOCKET, SO_RCVBUF, &smallest, sizeof(smallest)), 0);
  for (int i = 0; i < 200; ++i) {
    add_route("10.50." + std::to_string(i) + ".0/24", up, "192.0.2.2", netlink::kRouteProtocol);
  }
  EXPECT_TRUE(changed());
  EXPECT_FALSE(changed());
}

}  // namespace
}  // namespace netkite::node
