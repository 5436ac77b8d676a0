// SPDX-License-Identifier: Apache-2.0
// Translated connections through the socket, and their figures.
#include <gmock/gmock.h>

#include "agent/api/tests/server_fixture.hpp"
#include "agent/api/web_pages.hpp"

namespace netkite::api::testing {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::Not;

Ip ip(const char* text) { return Ip::parse(text).value(); }

datapath::ConnectionEntry entry(bool reply) {
  const datapath::Tuple there{
      .source = ip("203.0.113.9"), .destination = ip("192.0.2.10"), .source_port = 40000, .destination_port = 30080};
  const datapath::Tuple on{
      .source = ip("192.0.2.10"), .destination = ip("10.77.1.2"), .source_port = 61001, .destination_port = 8080};
  const auto back = [](const datapath::Tuple& of) {
    return datapath::Tuple{.source = of.destination,
                           .destination = of.source,
                           .source_port = of.destination_port,
                           .destination_port = of.source_port};
  };
  return {.from = reply ? back(on) : there,
          .to = reply ? back(there) : on,
          .protocol = "TCP",
          .use = "service",
          .state = "established",
          .reply = reply,
          .silent_s = reply ? 3U : 7U,
          .connection_silent_s = 3,
          .expires_s = 7997};
}

class ConnectionsTest : public ServerTest {
 protected:
  void SetUp() override {
    ServerTest::SetUp();
    datapath.connection_list = {entry(false), entry(true), entry(false)};
    datapath.connection_count = {.kinds = {{.use = "service", .protocol = "TCP", .connections = 2},
                                           {.use = "masquerade", .protocol = "UDP", .connections = 0}},
                                 .entries = 3,
                                 .max_entries = 2048,
                                 .expired = 5};
  }
};

TEST_F(ConnectionsTest, EntriesComeInSteps) {
  serve();
  Client client(path);
  const auto first = client.call("conntrack_list");
  ASSERT_EQ(code_of(first), "ok") << first;
  ASSERT_EQ(first["entries"].size(), 2U);
  EXPECT_EQ(first["used"], 3);
  EXPECT_EQ(first["room"], 2048);
  const auto& there = first["entries"][0];
  EXPECT_EQ(there["direction"], "original");
  EXPECT_EQ(there["from"], json::parse(R"({"source": "203.0.113.9", "source_port": 40000,
                                           "destination": "192.0.2.10", "destination_port": 30080})"));
  EXPECT_EQ(there["to"]["destination"], "10.77.1.2");
  EXPECT_EQ(there["idle_s"], 7);
  EXPECT_EQ(there["expires_s"], 7997);
  EXPECT_EQ(first["entries"][1]["direction"], "reply");
  const auto second = client.call("conntrack_list", {{"offset", first["next"]}});
  EXPECT_EQ(second["entries"].size(), 1U);
  EXPECT_FALSE(second.contains("next"));
}

TEST_F(ConnectionsTest, ATranslationIsOneLine) {
  serve();
  Client client(path);
  const auto reply = client.call("nat");
  ASSERT_EQ(reply["connections"].size(), 1U) << reply;
  EXPECT_EQ(reply["next"], 2);
  EXPECT_EQ(reply["connections"][0], json::parse(R"({"use": "service", "protocol": "TCP", "state": "established",
      "client": "203.0.113.9", "client_port": 40000, "entrance": "192.0.2.10", "entrance_port": 30080,
      "backend": "10.77.1.2", "backend_port": 8080, "source": "192.0.2.10", "source_port": 61001,
      "idle_s": 3, "expires_s": 7997})"));
}

TEST_F(ConnectionsTest, AFlushTellsWhereToGoOn) {
  serve();
  Client client(path);
  const auto first = client.call("conntrack_flush", {{"address", "fd00::1"}, {"port", 53}, {"protocol", "udp"}});
  EXPECT_EQ(first["removed"], 1) << first;
  EXPECT_EQ(first["next"], 9);
  on_agent([this] {
    EXPECT_EQ(datapath.last_filter.address, ip("fd00::1"));
    EXPECT_EQ(datapath.last_filter.port, 53);
    EXPECT_EQ(datapath.last_filter.protocol, 17);
  });
  const auto last = client.call("conntrack_flush", {{"offset", 9}});
  EXPECT_FALSE(last.contains("next"));
  on_agent([this] {
    EXPECT_FALSE(datapath.last_filter.address || datapath.last_filter.port || datapath.last_filter.protocol);
    EXPECT_THAT(journal.calls.back(), "flush 9");
  });
}

TEST_F(ConnectionsTest, MistakesNameTheField) {
  serve();
  Client client(path);
  const std::vector<std::pair<json, std::string>> mistakes = {{{{"address", "10.0.0.0/8"}}, "address"},
                                                              {{{"address", 7}}, "address must be a string"},
                                                              {{{"port", 0}}, "port must be"},
                                                              {{{"port", 65536}}, "port must be"},
                                                              {{{"port", "80"}}, "port must be"},
                                                              {{{"protocol", "sctp"}}, "protocol must be tcp, udp"},
                                                              {{{"protocol", 6}}, "protocol must be"},
                                                              {{{"offset", -1}}, "offset must be"},
                                                              {{{"offset", 1ULL << 32U}}, "offset is too large"}};
  for (const auto& [fields, words] : mistakes) {
    const auto reply = client.call("conntrack_flush", fields);
    EXPECT_EQ(code_of(reply), "invalid") << fields;
    EXPECT_THAT(message_of(reply), HasSubstr(words));
  }
  EXPECT_EQ(on_agent([this] { return journal.count("flush"); }), 0);
}

TEST_F(ConnectionsTest, WithoutServicesThereAreNone) {
  journal.failing = {"list", "counts"};
  serve();
  Client client(path);
  EXPECT_EQ(code_of(client.call("nat")), "io");
  on_agent([this] { EXPECT_FALSE(datapath.connection_counts()); });
}

TEST_F(ConnectionsTest, FiguresByUseAndProtocol) {
  const CallTimes none;
  const PageSources sources{.manager = *manager, .datapath = datapath, .adds = none, .dels = none};
  const auto page = web_page("/metrics", status, sources).body;
  EXPECT_THAT(page, HasSubstr("netkite_connections{use=\"service\",protocol=\"TCP\"} 2\n"));
  EXPECT_THAT(page, HasSubstr("netkite_connections{use=\"masquerade\",protocol=\"UDP\"} 0\n"));
  EXPECT_THAT(page, HasSubstr("netkite_connections_max 1024\n"));
  EXPECT_THAT(page, HasSubstr("netkite_connections_expired_total 5\n"));
  journal.failing = {"counts"};
  EXPECT_THAT(web_page("/metrics", status, sources).body, Not(HasSubstr("netkite_connections")));
}

}  // namespace
}  // namespace netkite::api::testing
