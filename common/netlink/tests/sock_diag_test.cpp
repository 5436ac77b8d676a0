// SPDX-License-Identifier: Apache-2.0
#include "common/netlink/sock_diag.hpp"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <optional>
#include <string>

#include "common/netlink/link.hpp"
#include "common/netlink/netns.hpp"
#include "common/netlink/tests/test_namespaces.hpp"

namespace netkite::netlink {
namespace {

constexpr std::uint16_t kPort = 9;

struct Connected {
  UniqueFd fd;
  UdpSocket name;
};

// What sock_diag and the socket's owner call it. `there`: an address of loopback's; with `mapped` as an IPv6 socket
// says.
Connected connect_to(const std::string& there, bool mapped = false) {
  const auto ip = Ip::parse(there);
  const bool v6 = mapped || ip->is_v6();
  Connected made{.fd = UniqueFd(::socket(v6 ? AF_INET6 : AF_INET, SOCK_DGRAM, 0)), .name = {}};
  sockaddr_storage address{};
  socklen_t length = v6 ? sizeof(sockaddr_in6) : sizeof(sockaddr_in);
  auto& v4_part = reinterpret_cast<sockaddr_in&>(address);
  auto& v6_part = reinterpret_cast<sockaddr_in6&>(address);
  address.ss_family = v6 ? AF_INET6 : AF_INET;
  v4_part.sin_port = htons(kPort);  // at the same place in both
  const auto text = mapped ? "::ffff:" + there : there;
  EXPECT_EQ(
      ::inet_pton(address.ss_family, text.c_str(), v6 ? static_cast<void*>(&v6_part.sin6_addr) : &v4_part.sin_addr), 1);
  EXPECT_EQ(::connect(made.fd.get(), reinterpret_cast<sockaddr*>(&address), length), 0) << there;
  length = sizeof(address);
  EXPECT_EQ(::getsockname(made.fd.get(), reinterpret_cast<sockaddr*>(&address), &length), 0);
  made.name = {.local = *ip, .remote = *ip, .local_port = ntohs(v4_part.sin_port), .remote_port = kPort, .v6 = v6};
  length = sizeof(made.name.cookie);
  EXPECT_EQ(::getsockopt(made.fd.get(), SOL_SOCKET, SO_COOKIE, &made.name.cookie, &length), 0);
  return made;
}

bool is_connected(const UniqueFd& fd) {
  sockaddr_storage peer{};
  socklen_t length = sizeof(peer);
  return ::getpeername(fd.get(), reinterpret_cast<sockaddr*>(&peer), &length) == 0;
}

class SockDiag : public ::testing::Test {
 protected:
  void SetUp() override {
    auto routes = Socket::open();
    auto kernel = Socket::open(NETLINK_SOCK_DIAG);
    ASSERT_TRUE(routes && kernel);
    must(change_link(*routes, 1, {.up = true}));
    kernel_.emplace(*std::move(kernel));
  }
  std::optional<Socket> kernel_;
};

TEST_F(SockDiag, TheOwnerOfAnAbortedSocketLearnsOfIt) {
  for (const auto& [address, mapped] : {std::pair("127.0.0.1", false), {"::1", false}, {"127.0.0.1", true}}) {
    const auto udp = connect_to(address, mapped);
    const auto other = connect_to(address, mapped);
    EXPECT_TRUE(must(abort_udp(*kernel_, udp.name))) << address;
    char byte = 0;
    EXPECT_EQ(::recv(udp.fd.get(), &byte, 1, 0), -1);
    EXPECT_EQ(errno, ECONNABORTED);
    EXPECT_EQ(::send(udp.fd.get(), "?", 1, 0), -1);
    EXPECT_EQ(errno, EDESTADDRREQ);
    EXPECT_FALSE(is_connected(udp.fd));
    EXPECT_TRUE(is_connected(other.fd)) << "another one was meant";
    EXPECT_FALSE(must(abort_udp(*kernel_, udp.name))) << "it is not connected any more";
    must(can_abort_udp(*kernel_));
  }
}

TEST_F(SockDiag, OneThatHasTakenThePortsIsLeftAlone) {
  const auto udp = connect_to("127.0.0.1");
  auto former = udp.name;
  ++former.cookie;
  EXPECT_FALSE(must(abort_udp(*kernel_, former)));
  EXPECT_TRUE(is_connected(udp.fd));
  former = udp.name;
  ++former.remote_port;
  EXPECT_FALSE(must(abort_udp(*kernel_, former)));
  EXPECT_TRUE(is_connected(udp.fd));
}

TEST_F(SockDiag, OneOfAnotherNamespaceIsNotFound) {
  const auto udp = connect_to("127.0.0.1");
  const auto netns = make_netns();
  must(in_netns(netns.get(), [&]() -> Result<void> {
    return Socket::open(NETLINK_SOCK_DIAG).map([&](Socket there) { EXPECT_FALSE(must(abort_udp(there, udp.name))); });
  }));
  EXPECT_TRUE(is_connected(udp.fd));
}

}  // namespace
}  // namespace netkite::netlink
