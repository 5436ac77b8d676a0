// SPDX-License-Identifier: Apache-2.0
// Sockets of this process, of which the kernel tells.
#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <thread>
#include <vector>

#include "agent/datapath/tests/services_fixture.hpp"
#include "common/netlink/netns.hpp"

namespace netkite::datapath::lab {
namespace {

using testing::IsEmpty;

class StaleSocketsTest : public GroupTest {
 protected:
  bool seen_held_while_sending(int fd);
};

// This process is in a group, as long as it lives.
class Member {
 public:
  explicit Member(const std::string& group) {
    std::ifstream own("/proc/self/cgroup");
    for (std::string line; std::getline(own, line);) {
      if (line.starts_with("0::")) before_ = hierarchy() + line.substr(3);
    }
    enter(group);
  }
  Member(const Member&) = delete;
  Member& operator=(const Member&) = delete;
  ~Member() { enter(before_); }

 private:
  static void enter(const std::string& group) {
    std::ofstream processes(group + "/cgroup.procs");
    processes << "0" << std::flush;
    EXPECT_TRUE(processes.good()) << group;
  }
  std::string before_;
};

UniqueFd connect_to(int type, const Ip& address, std::uint16_t port) {
  UniqueFd fd(::socket(AF_INET, type | SOCK_NONBLOCK, 0));
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(port);
  std::memcpy(&to.sin_addr, address.bytes().data(), sizeof(to.sin_addr));
  const int done = ::connect(fd.get(), reinterpret_cast<sockaddr*>(&to), sizeof(to));
  EXPECT_TRUE(done == 0 || errno == EINPROGRESS) << std::strerror(errno);
  return fd;
}

// Whoever sends in pieces (MSG_MORE) holds his socket as long as a piece takes to be copied.
bool StaleSocketsTest::seen_held_while_sending(int fd) {
  const std::jthread sender([fd](const std::stop_token& done) {
    const std::vector<char> much(60'000);
    while (!done.stop_requested()) {
      (void)!::send(fd, much.data(), much.size(), MSG_MORE | MSG_NOSIGNAL);
      (void)!::send(fd, much.data(), 0, MSG_NOSIGNAL);
    }
  });
  bool seen = false;
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (!seen && std::chrono::steady_clock::now() < end) {
    const auto list = datapath_->stale_sockets().value();
    seen = list.size() == 1 && list[0].held;
  }
  return seen;
}

TEST_F(StaleSocketsTest, TellsOfConnectedDatagramSocketsWhoseBackendHasGone) {
  const auto uplink = make_uplink("nkup0");
  const auto peer = ip("192.0.2.2"), first = ip("10.96.0.1"), second = ip("10.96.0.2");
  reopen();
  ASSERT_TRUE(ok(datapath_->attach_sockets()));
  EXPECT_THAT(datapath_->stale_sockets().value(), IsEmpty());
  service::Changes changes;
  changes.backends = {{1, {.set = 1, .address = peer, .port = 8053}},
                      {2, {.set = 2, .address = peer, .port = 8053}},
                      {3, {.set = 3, .address = peer, .port = 8080}}};
  changes.slots = {{{.set = 1, .index = 0}, 1}, {{.set = 2, .index = 0}, 2}, {{.set = 3, .index = 0}, 3}};
  const auto frontend = [](const Ip& address, std::uint16_t port, kube::Protocol protocol) {
    return service::Frontend{.address = address, .port = port, .protocol = protocol};
  };
  changes.frontends = {{frontend(first, 53, kube::Protocol::udp), {.set = 1, .count = 1}},
                       {frontend(second, 53, kube::Protocol::udp), {.set = 2, .count = 1}},
                       {frontend(first, 80, kube::Protocol::tcp), {.set = 3, .count = 1}}};
  ASSERT_TRUE(ok(datapath_->change_services(changes)));

  const Member member(groups_.front());
  const auto flow = connect_to(SOCK_DGRAM, first, 53), of_another_service = connect_to(SOCK_DGRAM, second, 53);
  const auto stream = connect_to(SOCK_STREAM, first, 80), straight = connect_to(SOCK_DGRAM, peer, 8053);
  const Udp datagrams(-1, ip("0.0.0.0"), 0);
  datagrams.send(first, 53, "?");
  const auto both = connect_to(SOCK_DGRAM, first, 53);  // and then with the same backend for the other service
  sockaddr_in to{.sin_family = AF_INET, .sin_port = htons(53), .sin_addr = {inet_addr("10.96.0.2")}, .sin_zero = {}};
  ASSERT_EQ(::connect(both.get(), reinterpret_cast<sockaddr*>(&to), sizeof(to)), 0);
  EXPECT_THAT(datapath_->stale_sockets().value(), IsEmpty());

  service::Changes gone;
  gone.gone_frontends = {frontend(first, 53, kube::Protocol::udp), frontend(first, 80, kube::Protocol::tcp)};
  gone.gone_slots = {{.set = 1, .index = 0}, {.set = 3, .index = 0}};
  gone.gone_backends = {1, 3};
  ASSERT_TRUE(ok(datapath_->change_services(gone)));
  const auto stale = datapath_->stale_sockets().value();
  ASSERT_EQ(stale.size(), 1U);
  sockaddr_in own{};
  socklen_t length = sizeof(own);
  ASSERT_EQ(::getsockname(flow.get(), reinterpret_cast<sockaddr*>(&own), &length), 0);
  std::uint64_t cookie = 0;
  length = sizeof(cookie);
  ASSERT_EQ(::getsockopt(flow.get(), SOL_SOCKET, SO_COOKIE, &cookie, &length), 0);
  EXPECT_EQ(stale[0].socket, (netlink::UdpSocket{.cookie = cookie,
                                                 .local = ip("192.0.2.1"),
                                                 .remote = peer,
                                                 .local_port = ntohs(own.sin_port),
                                                 .remote_port = 8053}));
  EXPECT_EQ(stale[0].service, frontend(first, 53, kube::Protocol::udp));
  EXPECT_EQ(stale[0].netns, netlink::current_netns().value().inode);
  EXPECT_FALSE(stale[0].held);
  EXPECT_TRUE(seen_held_while_sending(flow.get()));

  // The number again, for somebody else: an agent whose note of numbers was lost knows of no gone one.
  service::Changes again;
  again.backends = {{1, {.set = 4, .address = ip("192.0.2.9"), .port = 8053}}};
  ASSERT_TRUE(ok(datapath_->change_services(again)));
  EXPECT_EQ(datapath_->stale_sockets().value().size(), 1U);
}

}  // namespace
}  // namespace netkite::datapath::lab
