// SPDX-License-Identifier: Apache-2.0
#include "agent/kube/service.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "agent/kube/picker.hpp"
#include "agent/kube/reflector.hpp"

namespace netkite::kube {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

Ip ip(const char* text) { return Ip::parse(text).value(); }

// A Service with what `more` says on top.
Json object(const char* more = "{}") {
  auto json = Json::parse(R"({"metadata": {"namespace": "shop", "name": "web"},
    "spec": {"type": "ClusterIP", "clusterIP": "10.96.0.1", "clusterIPs": ["10.96.0.1"],
             "ports": [{"name": "http", "protocol": "TCP", "port": 80, "targetPort": "http"}]}})");
  json.merge_patch(Json::parse(more));
  return json;
}

Service read(const Json& json) {
  const auto service = service_from(json);
  EXPECT_TRUE(service) << service.error().message;
  EXPECT_TRUE(service && *service) << json;
  return service && *service ? **service : Service();
}

const char* const kWhole = R"({
  "metadata": {"creationTimestamp": "2026-01-02T03:04:05Z", "uid": "u", "labels": {"app": "web"}},
  "spec": {"type": "LoadBalancer", "clusterIPs": ["10.96.0.1", "fd00::1"], "externalIPs": ["198.51.100.1"],
    "loadBalancerSourceRanges": [" 203.0.113.0/24", "192.0.2.1/24"], "externalTrafficPolicy": "Local",
    "internalTrafficPolicy": "Local", "publishNotReadyAddresses": true, "sessionAffinity": "ClientIP",
    "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 60}}, "healthCheckNodePort": 31000,
    "ports": [{"name": "http", "protocol": "TCP", "port": 80, "nodePort": 30080, "targetPort": 8080},
              {"name": "quic", "protocol": "UDP", "port": 80}, {"name": "sctp", "protocol": "SCTP", "port": 9}]},
  "status": {"loadBalancer": {"ingress": [{"ip": "203.0.113.1"}, {"ip": "203.0.113.2", "ipMode": "Proxy"},
    {"ip": "203.0.113.3", "ipMode": "VIP"}, {"hostname": "lb.example"}, {"ip": "127.0.0.1"}, {"ip": "x"}]}}})";

TEST(Service, HasAllThatCounts) {
  const auto service = read(object(kWhole));
  EXPECT_EQ(service.space, "shop");
  EXPECT_EQ(service.name, "web");
  EXPECT_EQ(service.created, "2026-01-02T03:04:05Z");
  EXPECT_THAT(service.cluster_ips, ElementsAre(ip("10.96.0.1"), ip("fd00::1")));
  EXPECT_THAT(service.external_ips, ElementsAre(ip("198.51.100.1")));
  EXPECT_THAT(service.load_balancer_ips, ElementsAre(ip("203.0.113.1"), ip("203.0.113.3")));
  EXPECT_THAT(service.source_ranges,
              ElementsAre(Cidr::parse("203.0.113.0/24").value(), Cidr::parse("192.0.2.0/24").value()));
  EXPECT_TRUE(service.external_local && service.internal_local && service.publish_not_ready);
  EXPECT_EQ(service.affinity_s, 60U);
  EXPECT_EQ(service.health_check_port, 31000);
  EXPECT_THAT(service.ports,
              ElementsAre(ServicePort{.name = "http", .protocol = Protocol::tcp, .port = 80, .node_port = 30080},
                          ServicePort{.name = "quic", .protocol = Protocol::udp, .port = 80, .node_port = 0},
                          ServicePort{.name = "sctp", .protocol = Protocol::sctp, .port = 9, .node_port = 0}));
}

// As it comes from the API server.
Json picked(const Json& json) {
  auto fields = services().fields;
  fields.merge({"metadata.name", "metadata.namespace"});
  Json picked;
  Picker picker(std::move(fields), {}, [&picked](Json document) { picked = std::move(document); });
  EXPECT_TRUE(JsonStream(picker).feed(json.dump()));
  return picked;
}

TEST(Service, NeedsNoMoreThanTheFieldsThatAreAskedFor) {
  const auto json = picked(object(kWhole));
  EXPECT_FALSE(json["metadata"].contains("uid"));
  EXPECT_EQ(read(json), read(object(kWhole)));
}

TEST(Service, HasDefaults) {
  const auto service = read(object(R"({"spec": {"sessionAffinity": "None"}})"));
  EXPECT_THAT(service.created, IsEmpty());
  EXPECT_FALSE(service.external_local || service.internal_local || service.publish_not_ready);
  EXPECT_EQ(service.affinity_s, 0U);
  EXPECT_EQ(read(object(R"({"spec": {"sessionAffinity": "ClientIP"}})")).affinity_s, 10800U);
  const auto bare = read(Json::parse(R"({"spec": {"clusterIP": "10.96.0.1", "ports": [{"port": 1}]}})"));
  EXPECT_THAT(bare.cluster_ips, ElementsAre(ip("10.96.0.1")));
  EXPECT_THAT(bare.ports, ElementsAre(ServicePort{.name = "", .protocol = Protocol::tcp, .port = 1, .node_port = 0}));
}

TEST(Service, NullsAndOtherThingsStandForNothing) {
  const auto service = read(Json::parse(R"({"metadata": {"namespace": null, "name": 7, "labels": null},
    "spec": {"type": null, "clusterIP": "10.96.0.1", "clusterIPs": null, "externalIPs": null,
      "loadBalancerSourceRanges": {}, "externalTrafficPolicy": null, "publishNotReadyAddresses": null,
      "sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": null}},
      "healthCheckNodePort": null, "ports": [{"name": null, "protocol": null, "port": 1, "nodePort": null}]},
    "status": {"loadBalancer": {"ingress": [null, 7, {"ip": null}]}}})"));
  Service expected;
  expected.cluster_ips = {ip("10.96.0.1")};
  expected.affinity_s = 10800;
  expected.ports = {{.name = "", .protocol = Protocol::tcp, .port = 1, .node_port = 0}};
  EXPECT_EQ(service, expected);
}

TEST(Service, SomeAreNotServed) {
  for (const char* more : {
           R"({"spec": {"type": "ExternalName", "externalName": "example.org"}})",
           R"({"spec": {"clusterIP": "None", "clusterIPs": ["None"]}})",
           R"({"spec": {"clusterIP": "None", "clusterIPs": null}})",
           R"({"spec": {"clusterIP": "", "clusterIPs": []}})",
           R"({"metadata": {"labels": {"service.kubernetes.io/service-proxy-name": "mine"}}})",
           R"({"metadata": {"labels": {"service.kubernetes.io/headless": ""}}})",
           R"({"spec": null})",
       }) {
    const auto service = service_from(object(more));
    ASSERT_TRUE(service) << more;
    EXPECT_FALSE(*service) << more;
  }
  for (const char* text : {"null", "[]", "{}"}) EXPECT_EQ(service_from(Json::parse(text)), std::nullopt) << text;
}

TEST(Service, NonsenseIsNamed) {
  const struct {
    const char *more, *message;
  } cases[] = {
      {R"({"spec": {"clusterIPs": ["x"]}})", "service shop/web: spec.clusterIPs: \"x\" is not an IP"},
      {R"({"spec": {"clusterIPs": [7]}})", "spec.clusterIPs: it holds something"},
      {R"({"spec": {"clusterIPs": ["127.0.0.1"]}})", "spec.clusterIPs: 127.0.0.1 cannot be"},
      {R"({"spec": {"externalIPs": ["169.254.169.254"]}})", "spec.externalIPs: 169.254.169.254 cannot be"},
      {R"({"spec": {"externalIPs": ["::ffff:127.0.0.1"]}})", "spec.externalIPs: ::ffff:127.0.0.1 cannot be"},
      {R"({"spec": {"loadBalancerSourceRanges": ["10.0.0.0"]}})", "spec.loadBalancerSourceRanges: "},
      {R"({"spec": {"loadBalancerSourceRanges": ["10.0.0.0/33"]}})", "spec.loadBalancerSourceRanges: "},
      {R"({"spec": {"loadBalancerSourceRanges": ["10.0.0.0/8x"]}})", "spec.loadBalancerSourceRanges: "},
      {R"({"spec": {"ports": [{"name": "a"}]}})", "spec.ports: port: missing"},
      {R"({"spec": {"ports": [7]}})", "spec.ports: port: missing"},
      {R"({"spec": {"ports": [{"port": 65536}]}})", "spec.ports: port: it is no number from 0 to 65535"},
      {R"({"spec": {"ports": [{"port": -1}]}})", "spec.ports: port: it is no number"},
      {R"({"spec": {"ports": [{"port": "80"}]}})", "spec.ports: port: it is no number"},
      {R"({"spec": {"ports": [{"port": 18446744073709551615}]}})", "spec.ports: port: it is no number"},
      {R"({"spec": {"ports": [{"port": 80, "nodePort": 1.5}]}})", "spec.ports: nodePort: it is no number"},
      {R"({"spec": {"ports": [{"port": 80, "protocol": "tcp"}]}})", "spec.ports: protocol: it is none of"},
      {R"({"spec": {"ports": [{"port": 80}, {"port": 80}]}})", "spec.ports: port 80/TCP is given twice"},
      {R"({"spec": {"healthCheckNodePort": true}})", "spec: healthCheckNodePort: it is no number"},
      {R"({"spec": {"sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 86401}}}})",
       "spec.sessionAffinityConfig.clientIP: timeoutSeconds: it is no number from 0 to 86400"},
  };
  for (const auto& each : cases) {
    const auto service = service_from(object(each.more));
    ASSERT_FALSE(service) << each.more;
    EXPECT_EQ(service.error().code, Code::invalid);
    EXPECT_THAT(service.error().message, HasSubstr(each.message)) << each.more;
  }
}

TEST(Service, ListsHaveAnEnd) {
  auto json = object();
  for (int i = 1; i <= 1001; ++i) json["spec"]["externalIPs"].push_back("198.51.100.1");
  EXPECT_THAT(service_from(json).error().message, HasSubstr("spec.externalIPs: it holds more than 1000"));
  json["spec"]["externalIPs"].erase(0);
  EXPECT_EQ(read(json).external_ips.size(), 1000U);
}

TEST(Service, IsRefusedByTheNameOfItsLongListHoweverLongThatIs) {
  for (const char* field : {"externalIPs", "loadBalancerSourceRanges", "ports"}) {
    auto json = object();
    json["spec"][field] = Json::array_t(60'000, "198.51.100.1/32");
    json = picked(json);
    EXPECT_TRUE(is_whole(json)) << field;
    EXPECT_THAT(service_from(json).error().message,
                HasSubstr("service shop/web: spec." + std::string(field) + ": it holds more than 1000"));
  }
}

TEST(Service, IsRefusedUnlessItIsWhole) {
  for (const char* more : {"{}", R"({"spec": {"clusterIP": "", "clusterIPs": []}})"}) {
    auto json = object(more);
    mark_as_part(json);
    EXPECT_THAT(service_from(json).error().message, HasSubstr("service shop/web: it holds more than is kept")) << more;
  }
}

TEST(Service, EachPortAtEachAddressHasAnEnd) {
  auto json = object(R"({"spec": {"clusterIPs": ["10.96.0.1", "fd00::1"], "ports": []}})");
  for (unsigned port = 1; port <= 1000; ++port) json["spec"]["ports"].push_back(Json::object({{"port", port}}));
  json["status"]["loadBalancer"]["ingress"] = Json::parse(R"([{"ip": "203.0.113.1"}, {"ip": "2001:db8::1"}])");
  EXPECT_EQ(read(json).ports.size(), 1000U);
  json["spec"]["externalIPs"] = {"198.51.100.1"};
  const auto refused = service_from(json);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::invalid);
  EXPECT_THAT(refused.error().message,
              HasSubstr("service shop/web: spec.ports: 1000 ports at 5 addresses (spec.clusterIPs, spec.externalIPs, "
                        "status.loadBalancer) are more than 4000 together: make several Services of it"));
}

TEST(Service, OthersAreNotAskedFor) {
  EXPECT_EQ(services().selector,
            "labelSelector=%21service.kubernetes.io%2Fservice-proxy-name%2C%21service.kubernetes.io%2Fheadless");
}

}  // namespace
}  // namespace netkite::kube
