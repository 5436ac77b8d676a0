// SPDX-License-Identifier: Apache-2.0
#include "agent/kube/endpoint_slice.hpp"

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

Json object(const char* more = "{}") {
  auto json = Json::parse(R"({"metadata": {"namespace": "shop", "name": "web-x1",
      "labels": {"kubernetes.io/service-name": "web"}},
    "addressType": "IPv4", "ports": [{"name": "http", "protocol": "TCP", "port": 8080}],
    "endpoints": [{"addresses": ["10.0.0.1"], "nodeName": "a"}]})");
  json.merge_patch(Json::parse(more));
  return json;
}

EndpointSlice read(const Json& json) {
  const auto slice = endpoint_slice_from(json, "a");
  EXPECT_TRUE(slice) << slice.error().message;
  EXPECT_TRUE(slice && *slice) << json;
  return slice && *slice ? **slice : EndpointSlice();
}

const char* const kWhole = R"({
  "metadata": {"uid": "u", "labels": {"app": "web"}},
  "endpoints": [
    {"addresses": ["10.0.0.1", "10.0.0.9"], "nodeName": "a", "zone": "z",
     "conditions": {"ready": true, "serving": true, "terminating": false},
     "hints": {"forZones": [{"name": "z1"}, {"name": "z2"}], "forNodes": [{"name": "a"}]}, "targetRef": {"kind": "Pod"}},
    {"addresses": ["10.0.0.2"], "nodeName": "b", "conditions": {"ready": false, "serving": true, "terminating": true},
     "hints": {"forZones": [{"name": "z2"}], "forNodes": [{"name": "c"}]}}],
  "ports": [{"name": "http", "protocol": "TCP", "port": 8080}, {"name": "quic", "protocol": "UDP", "port": 8080}]})";

TEST(EndpointSlice, HasAllThatCounts) {
  const auto slice = read(object(kWhole));
  EXPECT_EQ(slice.service, "shop/web");
  EXPECT_EQ(slice.family, Family::v4);
  EXPECT_THAT(slice.ports, ElementsAre(EndpointPort{.name = "http", .protocol = Protocol::tcp, .port = 8080},
                                       EndpointPort{.name = "quic", .protocol = Protocol::udp, .port = 8080}));
  EXPECT_THAT(slice.zones, ElementsAre("z1", "z2"));
  EXPECT_THAT(
      slice.endpoints,
      ElementsAre(
          Endpoint{.address = ip("10.0.0.1"), .local = true, .for_nodes = true, .for_us = true, .zones = 0b11},
          Endpoint{.address = ip("10.0.0.2"), .ready = false, .terminating = true, .for_nodes = true, .zones = 0b10}));
}

// As it comes from the API server.
Json picked(const Json& json) {
  auto fields = endpoint_slices().fields;
  fields.merge({"metadata.name", "metadata.namespace"});
  Json picked;
  Picker picker(std::move(fields), {}, [&picked](Json document) { picked = std::move(document); });
  EXPECT_TRUE(JsonStream(picker).feed(json.dump()));
  return picked;
}

TEST(EndpointSlice, NeedsNoMoreThanTheFieldsThatAreAskedFor) {
  const auto json = picked(object(kWhole));
  EXPECT_FALSE(json["endpoints"][0].contains("targetRef"));
  EXPECT_EQ(read(json), read(object(kWhole)));
}

TEST(EndpointSlice, ConditionsHaveDefaults) {
  const struct {
    const char* conditions;
    bool ready, serving, terminating;
  } cases[] = {
      {"null", true, true, false},
      {"{}", true, true, false},
      {R"({"ready": null, "serving": null, "terminating": null})", true, true, false},
      {R"({"ready": true})", true, true, false},
      {R"({"ready": false})", false, false, false},
      {R"({"ready": false, "serving": true, "terminating": true})", false, true, true},
      {R"({"ready": false, "terminating": true})", false, false, true},
  };
  for (const auto& each : cases) {
    auto json = object();
    json["endpoints"][0]["conditions"] = Json::parse(each.conditions);
    const auto slice = read(json);
    ASSERT_EQ(slice.endpoints.size(), 1U);
    EXPECT_EQ(slice.endpoints[0].ready, each.ready) << each.conditions;
    EXPECT_EQ(slice.endpoints[0].serving, each.serving) << each.conditions;
    EXPECT_EQ(slice.endpoints[0].terminating, each.terminating) << each.conditions;
  }
}

TEST(EndpointSlice, NullsAndOtherThingsStandForNothing) {
  const auto slice = read(object(R"({"addressType": "IPv6",
    "ports": [{"name": null, "protocol": null, "port": 80}, {"name": "all", "port": null}, {"name": "none"}, 7],
    "endpoints": [{"addresses": ["fd00::1"], "conditions": null, "nodeName": null, "hints": null},
      {"addresses": []}, {"addresses": null}, 7, {"addresses": ["fd00::2"], "hints": {"forZones": [null, {"name": ""}]}}]})"));
  EXPECT_EQ(slice.family, Family::v6);
  EXPECT_THAT(slice.ports, ElementsAre(EndpointPort{.name = "", .protocol = Protocol::tcp, .port = 80}));
  EXPECT_THAT(slice.endpoints, ElementsAre(Endpoint{.address = ip("fd00::1")}, Endpoint{.address = ip("fd00::2")}));
  EXPECT_THAT(slice.zones, IsEmpty());
  const auto empty = read(object(R"({"ports": null, "endpoints": null})"));
  EXPECT_THAT(empty.ports, IsEmpty());
  EXPECT_THAT(empty.endpoints, IsEmpty());
}

TEST(EndpointSlice, TheOlderVersionNamesTheNodeElsewhere) {
  const auto json = object(R"({"apiVersion": "discovery.k8s.io/v1beta1", "endpoints": [
    {"addresses": ["10.0.0.1"], "topology": {"kubernetes.io/hostname": "a", "topology.kubernetes.io/zone": "z"}},
    {"addresses": ["10.0.0.2"], "topology": {"kubernetes.io/hostname": "b"}},
    {"addresses": ["10.0.0.3"], "topology": {"kubernetes.io/hostname": "b"}, "nodeName": "a"},
    {"addresses": ["10.0.0.4"], "topology": null}, {"addresses": ["10.0.0.5"], "topology": "a"}]})");
  const auto slice = read(picked(json));
  EXPECT_EQ(slice, read(json));
  std::vector<bool> local;
  for (const auto& each : slice.endpoints) local.push_back(each.local);
  EXPECT_THAT(local, ElementsAre(true, false, true, false, false));
}

TEST(EndpointSlice, NobodyIsLocalToANodeWithoutAName) {
  const auto slice = endpoint_slice_from(object(R"({"endpoints": [{"addresses": ["10.0.0.1"]}]})"), "");
  ASSERT_TRUE(slice && *slice);
  EXPECT_FALSE((*slice)->endpoints.at(0).local);
}

TEST(EndpointSlice, SomeAreNotServed) {
  for (const char* more : {
           R"({"addressType": "FQDN", "endpoints": [{"addresses": ["example.org"]}]})",
           R"({"metadata": {"labels": null}})",
           R"({"metadata": {"labels": {"kubernetes.io/service-name": ""}}})",
           R"({"metadata": {"labels": {"service.kubernetes.io/service-proxy-name": "mine"}}})",
           R"({"metadata": {"labels": {"service.kubernetes.io/headless": ""}}})",
       }) {
    const auto slice = endpoint_slice_from(object(more), "a");
    ASSERT_TRUE(slice) << more;
    EXPECT_FALSE(*slice) << more;
  }
  for (const char* text : {"null", "[]", "{}"}) {
    EXPECT_EQ(endpoint_slice_from(Json::parse(text), "a"), std::nullopt) << text;
  }
}

TEST(EndpointSlice, NonsenseIsNamed) {
  const struct {
    const char *more, *message;
  } cases[] = {
      {R"({"addressType": null})", "endpoint slice shop/web-x1: addressType: "},
      {R"({"addressType": "IPv5"})", "addressType: "},
      {R"({"ports": [{"port": 65536}]})", "ports: port: it is no number from 0 to 65535"},
      {R"({"ports": [{"port": 1, "protocol": "ICMP"}]})", "ports: protocol: "},
      {R"({"endpoints": [{"addresses": ["x"]}]})", "endpoints.addresses: \"x\" is not an IP"},
      {R"({"endpoints": [{"addresses": [7]}]})", "endpoints.addresses: it holds something"},
      {R"({"endpoints": [{"addresses": ["fd00::1"]}]})", "endpoints.addresses: fd00::1 is not of"},
      {R"({"endpoints": [{"addresses": ["127.0.0.1"]}]})", "endpoints.addresses: 127.0.0.1 cannot be"},
      {R"({"endpoints": [{"addresses": ["169.254.169.254"]}]})", "endpoints.addresses: 169.254.169.254 cannot be"},
      {R"({"endpoints": [{"addresses": ["0.0.0.0"]}]})", "endpoints.addresses: 0.0.0.0 cannot be"},
      {R"({"endpoints": [{"addresses": ["224.0.0.1"]}]})", "endpoints.addresses: 224.0.0.1 cannot be"},
      {R"({"addressType": "IPv6", "endpoints": [{"addresses": ["::ffff:7f00:1"]}]})", "cannot be"},
  };
  for (const auto& each : cases) {
    const auto slice = endpoint_slice_from(object(each.more), "a");
    ASSERT_FALSE(slice) << each.more;
    EXPECT_EQ(slice.error().code, Code::invalid);
    EXPECT_THAT(slice.error().message, HasSubstr(each.message)) << each.more;
  }
}

TEST(EndpointSlice, ListsHaveAnEnd) {
  auto json = object();
  for (int i = 0; i < 1000; ++i) json["endpoints"].push_back(json["endpoints"][0]);
  EXPECT_THAT(endpoint_slice_from(json, "a").error().message, HasSubstr("endpoints: more than 1000"));
  json["endpoints"].erase(0);
  EXPECT_EQ(read(json).endpoints.size(), 1000U);
  json = object();
  for (int i = 0; i < 1000; ++i) json["ports"].push_back(json["ports"][0]);
  EXPECT_THAT(endpoint_slice_from(json, "a").error().message, HasSubstr("ports: more than 1000"));
}

// The API lets each of 1000 endpoints have 100 addresses.
TEST(EndpointSlice, IsRefusedUnlessItIsWhole) {
  auto json = object();
  json["endpoints"] = Json::array_t(1000, {{"addresses", Json::array_t(100, "10.0.0.1")}});
  const auto slice = endpoint_slice_from(picked(json), "a");
  ASSERT_FALSE(slice);
  EXPECT_EQ(slice.error().code, Code::invalid);
  EXPECT_THAT(slice.error().message, HasSubstr("endpoint slice shop/web-x1: it holds more than is kept"));
  json["addressType"] = "FQDN";
  EXPECT_EQ(endpoint_slice_from(picked(json), "a"), std::nullopt);
}

TEST(EndpointSlice, TooManyZonesAreNoHints) {
  auto json = object();
  json["endpoints"].clear();
  for (int i = 0; i < 32; ++i) {
    json["endpoints"].push_back(
        {{"addresses", {"10.0.0.1"}}, {"hints", {{"forZones", {{{"name", "z" + std::to_string(i)}}}}}}});
  }
  auto slice = read(json);
  EXPECT_EQ(slice.zones.size(), 32U);
  EXPECT_EQ(slice.endpoints.back().zones, 1U << 31U);
  json["endpoints"][0]["hints"]["forZones"].push_back({{"name", "z"}});
  slice = read(json);
  EXPECT_THAT(slice.zones, IsEmpty());
  for (const auto& each : slice.endpoints) EXPECT_EQ(each.zones, 0U);
}

TEST(EndpointSlice, OthersAreNotAskedFor) {
  EXPECT_EQ(endpoint_slices().selector,
            "labelSelector=%21service.kubernetes.io%2Fservice-proxy-name%2C%21service.kubernetes.io%2Fheadless");
}

}  // namespace
}  // namespace netkite::kube
