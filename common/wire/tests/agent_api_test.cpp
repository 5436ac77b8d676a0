// SPDX-License-Identifier: Apache-2.0
#include "common/wire/agent_api.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace netkite::wire {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

const Attachment kAttachment{.network = "pods", .container_id = "c0ffee", .ifname = "eth0"};
Ip ip(std::string_view text) { return Ip::parse(text).value(); }

template <typename T>
Result<T> round_trip(const T& value) {
  return parse_object(to_text(to_json(value))).and_then([](const json& parsed) { return from_json<T>(parsed); });
}

TEST(AgentApi, RequestsSurviveTheWire) {
  const PrepareRequest prepare{
      .attachment = kAttachment,
      .netns = "/run/netns/a",
      .requested_ips = {ip("10.0.0.5"), ip("fd00::5")},
      .requested_mac = Mac::parse("02:00:00:00:00:01").value(),
      .pod_namespace = "default",
      .pod_name = "web-0",
      .pod_uid = "u-1",
      .stack_path = true,
      .port_mappings = {parse_port_mapping("8080:80/tcp").value()},
      .bandwidth = true,
      .limits = Bandwidth{.ingress_rate = 1000, .ingress_burst = 1, .egress_rate = 2000, .egress_burst = 2},
      .device = DeviceMode::veth};
  const auto back = round_trip(prepare);
  ASSERT_TRUE(back) << back.error().message;
  EXPECT_EQ(back->attachment, prepare.attachment);
  EXPECT_EQ(back->netns, prepare.netns);
  EXPECT_EQ(back->requested_ips, prepare.requested_ips);
  EXPECT_EQ(back->requested_mac, prepare.requested_mac);
  EXPECT_EQ(back->pod_namespace, prepare.pod_namespace);
  EXPECT_EQ(back->pod_name, prepare.pod_name);
  EXPECT_EQ(back->pod_uid, prepare.pod_uid);
  EXPECT_TRUE(back->stack_path);
  EXPECT_EQ(back->port_mappings, prepare.port_mappings);
  EXPECT_TRUE(back->bandwidth);
  EXPECT_EQ(back->limits, prepare.limits);
  EXPECT_EQ(back->device, DeviceMode::veth);

  const auto commit =
      round_trip(CommitRequest{.attachment = kAttachment, .host_ifindex = 7, .pod_ifindex = 4294967295});
  ASSERT_TRUE(commit) << commit.error().message;
  EXPECT_EQ(commit->host_ifindex, 7U);
  EXPECT_EQ(commit->pod_ifindex, 4294967295U);

  const auto remove = round_trip(RemoveRequest{.attachment = kAttachment});
  ASSERT_TRUE(remove);
  EXPECT_EQ(remove->attachment, kAttachment);

  const auto gc = round_trip(GcRequest{
      .network = "pods", .valid = {{.container_id = "a", .ifname = "eth0"}, {.container_id = "b", .ifname = "net1"}}});
  ASSERT_TRUE(gc) << gc.error().message;
  ASSERT_EQ(gc->valid.size(), 2U);
  EXPECT_EQ(gc->valid[1].container_id, "b");
  EXPECT_EQ(gc->valid[1].ifname, "net1");
}

TEST(AgentApi, RepliesSurviveTheWire) {
  const PrepareReply reply{.device = DeviceMode::netkit_l2,
                           .host_ifname = "nk0123456789ab",
                           .addresses = {ip("10.0.0.5")},
                           .mtu = 9000,
                           .gso_max_size = 196608,
                           .gro_max_size = 65536,
                           .headroom = 70,
                           .scrub_none = false,
                           .pod_mac = Mac::derived("pod"),
                           .host_mac = Mac::derived("host"),
                           .gateway4 = ip("169.254.1.1"),
                           .gateway6 = ip("fe80::1")};
  const auto back = round_trip(reply);
  ASSERT_TRUE(back) << back.error().message;
  EXPECT_EQ(back->device, reply.device);
  EXPECT_EQ(back->host_ifname, reply.host_ifname);
  EXPECT_EQ(back->addresses, reply.addresses);
  EXPECT_EQ(back->mtu, reply.mtu);
  EXPECT_EQ(back->gso_max_size, reply.gso_max_size);
  EXPECT_EQ(back->gro_max_size, reply.gro_max_size);
  EXPECT_EQ(back->headroom, reply.headroom);
  EXPECT_EQ(back->scrub_none, reply.scrub_none);
  EXPECT_EQ(back->pod_mac, reply.pod_mac);
  EXPECT_EQ(back->host_mac, reply.host_mac);
  EXPECT_EQ(back->gateway4, reply.gateway4);
  EXPECT_EQ(back->gateway6, reply.gateway6);

  const auto begun = round_trip(RemoveBeginReply{.known = true, .netns_inode = 0xffffffffffffffffU});
  ASSERT_TRUE(begun) << begun.error().message;
  EXPECT_TRUE(begun->known);
  EXPECT_EQ(begun->netns_inode, 0xffffffffffffffffU);

  const auto check = round_trip(CheckReply{.attached = true,
                                           .problem = "p",
                                           .device = DeviceMode::veth,
                                           .host_ifname = "nk0",
                                           .host_ifindex = 3,
                                           .addresses = {ip("fd00::1")}});
  ASSERT_TRUE(check) << check.error().message;
  EXPECT_TRUE(check->attached);
  EXPECT_EQ(check->problem, "p");
  EXPECT_EQ(check->device, DeviceMode::veth);
  EXPECT_EQ(check->host_ifname, "nk0");
  EXPECT_EQ(check->host_ifindex, 3U);
  EXPECT_EQ(check->addresses.size(), 1U);

  const auto status = round_trip(CniStatusReply{.ready = true, .addresses_left = true, .message = "m"});
  ASSERT_TRUE(status);
  EXPECT_TRUE(status->ready);
  EXPECT_TRUE(status->addresses_left);
  EXPECT_EQ(status->message, "m");
}

json good_prepare() { return to_json(PrepareRequest{.attachment = kAttachment}); }

TEST(AgentApi, RefusalsNameTheField) {
  const struct {
    const char* patch;  // JSON merge patch (RFC 7396) onto a good request; null removes a member
    const char* message;
  } cases[] = {
      {R"({"attachment": null})", "attachment.network is missing"},
      {R"({"attachment": 7})", "attachment must be an object"},
      {R"({"attachment": {"network": null}})", "attachment.network is missing"},
      {R"({"attachment": {"network": "-a"}})", "attachment.network must begin with"},
      {R"({"attachment": {"network": "a/b"}})", "attachment.network must begin with"},
      {R"({"attachment": {"container_id": null}})", "attachment.container_id is missing"},
      {R"({"attachment": {"container_id": "../../etc"}})", "attachment.container_id must begin with"},
      {R"({"attachment": {"container_id": ["x"]}})", "attachment.container_id must be a string"},
      {R"({"attachment": {"ifname": ""}})", "attachment.ifname is missing"},
      {R"({"attachment": {"ifname": "sixteencharacter"}})", "attachment.ifname is not an interface name"},
      {R"({"attachment": {"ifname": "eth%d"}})", "attachment.ifname is not an interface name"},
      {R"({"attachment": {"ifname": "eth0\u0000"}})", "attachment.ifname contains a zero byte"},
      {R"({"requested_ips": "10.0.0.1"})", "requested_ips must be an array"},
      {R"({"requested_ips": ["10.0.0.1", "10.0.0.1/24"]})", "requested_ips[1]: \"10.0.0.1/24\" is not an IP address"},
      {R"({"requested_ips": [1]})", "requested_ips[0] must be a string"},
      {R"({"requested_mac": "x"})", "requested_mac: \"x\" is not a MAC"},
      {R"({"netns": {}})", "netns must be a string"},
      {R"({"pod_name": true})", "pod_name must be a string"},
  };
  for (const auto& each : cases) {
    json request = good_prepare();
    request.merge_patch(json::parse(each.patch));
    const auto read = from_json<PrepareRequest>(request);
    ASSERT_FALSE(read) << each.patch;
    EXPECT_EQ(read.error().code, Code::invalid);
    EXPECT_THAT(read.error().message, HasSubstr(each.message)) << each.patch;
  }
  ASSERT_TRUE(from_json<PrepareRequest>(good_prepare()));
}

TEST(AgentApi, NumbersAreChecked) {
  for (const char* bad : {"-1", "4294967296", "18446744073709551616", "1.5", "1e3", "\"7\"", "true", "null", "[7]"}) {
    json request = to_json(CommitRequest{.attachment = kAttachment, .host_ifindex = 1, .pod_ifindex = 1});
    request["host_ifindex"] = json::parse(bad);
    const auto read = from_json<CommitRequest>(request);
    ASSERT_FALSE(read) << bad;
    EXPECT_THAT(read.error().message, HasSubstr("host_ifindex must be a whole number from 0 to 4294967295")) << bad;
  }
  json request = to_json(CommitRequest{.attachment = kAttachment, .host_ifindex = 1, .pod_ifindex = 1});
  request["pod_ifindex"] = 0;
  EXPECT_THAT(from_json<CommitRequest>(request).error().message, HasSubstr("pod_ifindex is missing"));
}

TEST(AgentApi, WideNumbersAreCheckedToo) {
  for (const char* bad : {"-1", "18446744073709551616", "-9223372036854775808"}) {
    const auto read = from_json<RemoveBeginReply>(json{{"known", true}, {"netns_inode", json::parse(bad)}});
    ASSERT_FALSE(read) << bad;
    EXPECT_THAT(read.error().message, HasSubstr("netns_inode must be a whole number"));
  }
}

TEST(AgentApi, BoundsAreChecked) {
  json request = good_prepare();
  request["attachment"]["container_id"] = std::string(256, 'a');
  EXPECT_THAT(from_json<PrepareRequest>(request).error().message,
              HasSubstr("attachment.container_id is longer than 255"));
  request = good_prepare();
  request["netns"] = std::string(5000, 'a');
  EXPECT_THAT(from_json<PrepareRequest>(request).error().message, HasSubstr("netns is longer than 4096"));
  request = good_prepare();
  request["requested_ips"] = json(std::vector<std::string>(17, "10.0.0.1"));
  EXPECT_THAT(from_json<PrepareRequest>(request).error().message, HasSubstr("requested_ips has more than 16"));
}

TEST(AgentApi, OtherMessagesAreCheckedToo) {
  EXPECT_THAT(from_json<GcRequest>(json{{"network", "pods"},
                                        {"valid", {{{"container_id", "a"}, {"ifname", "e"}}, {{"container_id", "b"}}}}})
                  .error()
                  .message,
              HasSubstr("valid[1].ifname is missing"));
  EXPECT_THAT(from_json<GcRequest>(json{{"valid", json::array()}}).error().message, HasSubstr("network is missing"));
  EXPECT_THAT(from_json<RemoveRequest>(json::array()).error().message, HasSubstr("the message must be an object"));
  EXPECT_THAT(from_json<Attachment>(json::object()).error().message, HasSubstr("network is missing"));
  const PrepareReply reply{.host_ifname = "nk0", .addresses = {ip("10.0.0.1")}, .mtu = 1500};
  for (const auto& [patch, message] : {std::pair{R"({"device": "tun"})", "device: not a device mode"},
                                       {R"({"mtu": 0})", "mtu is missing"},
                                       {R"({"addresses": []})", "addresses is empty"},
                                       {R"({"host_ifname": "a/b"})", "host_ifname is not an interface name"},
                                       {R"({"scrub_none": 1})", "scrub_none must be true or false"}}) {
    json patched = to_json(reply);
    patched.merge_patch(json::parse(patch));
    const auto read = from_json<PrepareReply>(patched);
    ASSERT_FALSE(read) << patch;
    EXPECT_THAT(read.error().message, HasSubstr(message));
  }
}

TEST(AgentApi, UnknownKeysAreIgnored) {
  json request = good_prepare();
  request["from_the_future"] = 1;
  EXPECT_TRUE(from_json<PrepareRequest>(request));
}

TEST(AgentApi, ErrorsSurviveTheWire) {
  for (const Code code : {Code::invalid, Code::not_found, Code::exists, Code::exhausted, Code::unavailable,
                          Code::unsupported, Code::denied, Code::io}) {
    const auto reply = unpack_reply(to_text(to_json(Error{.code = code, .os_error = 0, .message = "why"})));
    ASSERT_FALSE(reply);
    EXPECT_EQ(reply.error().code, code);
    EXPECT_EQ(reply.error().message, "why");
  }
  const auto fields = unpack_reply(to_text(success({{"known", true}})));
  ASSERT_TRUE(fields);
  EXPECT_EQ(*fields, json({{"known", true}}));
  EXPECT_EQ(unpack_reply(to_text(success())).value(), json::object());
}

TEST(AgentApi, MalformedRepliesAreIoErrors) {
  for (const char* reply :
       {"", "{", "[]", "{}", "7", R"({"ok": 1})", R"({"ok": false})", R"({"ok": false, "error": "x"})",
        R"({"ok": false, "error": {}})", R"({"ok": false, "error": {"code": "io"}})",
        R"({"ok": false, "error": {"code": 1, "message": "x"}})"}) {
    const auto unpacked = unpack_reply(reply);
    ASSERT_FALSE(unpacked) << reply;
    EXPECT_EQ(unpacked.error().code, Code::io) << reply;
  }
  const auto newer = unpack_reply(R"({"ok": false, "error": {"code": "novel", "message": "why"}})");
  ASSERT_FALSE(newer);
  EXPECT_EQ(newer.error().message, "why");
}

TEST(AgentApi, TextIsAlwaysValid) {
  const std::string text = to_text(to_json(Error{.code = Code::io, .os_error = 0, .message = "open \xff\xfe"}));
  ASSERT_FALSE(json::parse(text, nullptr, false).is_discarded());
  EXPECT_FALSE(parse_object(std::string(60000, '[')));
}

TEST(HostIfname, DependsOnEveryPart) {
  const std::string name = host_ifname(kAttachment);
  EXPECT_THAT(name, ::testing::MatchesRegex("nk[0-9a-f]{12}"));
  EXPECT_EQ(name, host_ifname(kAttachment));
  EXPECT_NE(name, host_ifname({.network = "pod", .container_id = "sc0ffee", .ifname = "eth0"}))
      << "parts are delimited";
  EXPECT_NE(name, host_ifname({.network = "pods2", .container_id = "c0ffee", .ifname = "eth0"}));
  EXPECT_NE(name, host_ifname({.network = "pods", .container_id = "c0ffef", .ifname = "eth0"}));
  EXPECT_NE(name, host_ifname({.network = "pods", .container_id = "c0ffee", .ifname = "eth1"}));
}

TEST(Names, FollowTheSpecification) {
  for (const char* good : {"a", "A9", "0", "a.b-c_d", "k8s-pod-network"}) EXPECT_TRUE(is_valid_name(good)) << good;
  for (const char* bad : {"", ".a", "-a", "_a", "a b", "a/b", "ä", "a\n"}) EXPECT_FALSE(is_valid_name(bad)) << bad;
  for (const char* good : {"e", "eth0", "fifteencharacte", "a.b", "..."}) EXPECT_TRUE(is_valid_ifname(good)) << good;
  for (const char* bad : {"", ".", "..", "sixteencharacter", "a/b", "a:b", "a b", "a\tb", "eth%d", "é"}) {
    EXPECT_FALSE(is_valid_ifname(bad)) << bad;
  }
}

TEST(DeviceMode, HasThreeNames) {
  for (const DeviceMode mode : {DeviceMode::netkit, DeviceMode::netkit_l2, DeviceMode::veth}) {
    EXPECT_EQ(parse_device_mode(to_string(mode)).value(), mode);
  }
  EXPECT_FALSE(parse_device_mode("auto"));
}

}  // namespace
}  // namespace netkite::wire
