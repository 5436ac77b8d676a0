// SPDX-License-Identifier: Apache-2.0
#include "agent/app/take_over.hpp"

#include <gmock/gmock.h>
#include <netinet/in.h>

namespace netkite::app {
namespace {

using testing::IsEmpty;
using testing::SizeIs;

Ip ip(const std::string& text) { return Ip::parse(text).value(); }

class TakeOver : public testing::Test {
 protected:
  TakeOver() {
    pod_.state = endpoint::State::ready;
    pod_.addresses = {ip("10.244.1.2"), ip("fd00::2")};
    uplink_.ifindex = 7;
    uplink_.addresses = {ip("192.0.2.1"), ip("2001:db8::1")};
  }
  [[nodiscard]] std::vector<datapath::MaskedConnection> taken() const {
    return taken_over({tracked_}, {pod_}, {uplink_}, {.first = 64402, .last = 65535});
  }

  endpoint::Endpoint pod_;
  node::Uplink uplink_;
  netlink::Tracked tracked_{.source = ip("10.244.1.2"),
                            .destination = ip("203.0.113.5"),
                            .source_port = 40000,
                            .destination_port = 443,
                            .seen_source = ip("192.0.2.1"),
                            .seen_port = 40001,
                            .protocol = IPPROTO_TCP,
                            .open = true};
};

TEST_F(TakeOver, AnOpenConnectionOfAPodByItsUplink) {
  ASSERT_THAT(taken(), SizeIs(1));
  const auto connection = taken().front();
  EXPECT_EQ(connection.from.source, ip("10.244.1.2"));
  EXPECT_EQ(connection.from.source_port, 40000);
  EXPECT_EQ(connection.from.destination, ip("203.0.113.5"));
  EXPECT_EQ(connection.from.destination_port, 443);
  EXPECT_EQ(connection.seen_source, ip("192.0.2.1"));
  EXPECT_EQ(connection.seen_port, 40001);
  EXPECT_EQ(connection.protocol, IPPROTO_TCP);
  EXPECT_EQ(connection.ifindex, 7U);
}

TEST_F(TakeOver, NotOneThatIsNotOpen) {
  tracked_.open = false;
  EXPECT_THAT(taken(), IsEmpty());
}

TEST_F(TakeOver, NotOneOfAPodThatNeedsTheStackOrIsNone) {
  pod_.stack_path = true;
  EXPECT_THAT(taken(), IsEmpty());
  pod_.stack_path = false;
  pod_.state = endpoint::State::removing;
  EXPECT_THAT(taken(), IsEmpty());
  pod_.state = endpoint::State::ready;
  tracked_.source = ip("10.244.1.3");
  EXPECT_THAT(taken(), IsEmpty());
}

TEST_F(TakeOver, NotOneByAnAddressThatNoUplinkHas) {
  tracked_.seen_source = ip("192.0.2.2");
  EXPECT_THAT(taken(), IsEmpty());
}

TEST_F(TakeOver, NotOneThatTheProgramsHaveLeftToTheStack) {
  tracked_.seen_port = 64402;
  EXPECT_THAT(taken(), IsEmpty());
  tracked_.seen_port = 64401;
  EXPECT_THAT(taken(), SizeIs(1));
}

}  // namespace
}  // namespace netkite::app
