// SPDX-License-Identifier: Apache-2.0
#include "cni-plugin/net_conf.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace netkite::cni {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

json minimal() { return {{"cniVersion", "1.1.0"}, {"name", "pods"}, {"type", "netkite"}}; }

Outcome<NetConf> read(const json& conf, Command command = Command::add) {
  return read_net_conf(conf, command, kNewestVersion);
}

TEST(NetConf, MinimalHasDefaults) {
  const auto conf = read(minimal());
  ASSERT_TRUE(conf) << conf.error().message;
  EXPECT_EQ(conf->name, "pods");
  EXPECT_EQ(conf->agent_socket, "/run/netkite/agent.sock");
  EXPECT_TRUE(conf->wishes.ips.empty());
  EXPECT_EQ(conf->dns, json::object());
  EXPECT_TRUE(conf->prev_result.is_null());
}

TEST(NetConf, EverythingThatRuntimesAddIsAccepted) {
  json conf = minimal();
  conf.update({{"cniVersions", {"1.0.0", "1.1.0"}},
               {"agentSocket", "/run/other/agent.sock"},
               {"capabilities", {{"portMappings", true}, {"ips", true}}},
               {"runtimeConfig",
                {{"portMappings", json::array({{{"hostPort", 80}, {"containerPort", 80}, {"protocol", "tcp"}}})},
                 {"bandwidth", {{"ingressRate", 1000U}, {"ingressBurst", 1000U}}},
                 {"aliases", {{"pods", {"a"}}}}}},
               {"args", {{"cni", {{"labels", json::array()}}}}},
               {"ipam", json::object()},
               {"disableCheck", false},
               {"disableGC", true},
               {"loadOnlyInlinedPlugins", true},
               {"cni.dev/anything", 1},
               {"prevResult", {{"cniVersion", "1.1.0"}}}});
  const auto read_conf = read(conf);
  ASSERT_TRUE(read_conf) << read_conf.error().message;
  EXPECT_EQ(read_conf->agent_socket, "/run/other/agent.sock");
  EXPECT_TRUE(read_conf->prev_result.is_object());
}

TEST(NetConf, NullsCountAsAbsent) {
  json conf = minimal();
  conf.update(
      {{"ipam", nullptr}, {"dns", nullptr}, {"runtimeConfig", nullptr}, {"args", nullptr}, {"prevResult", nullptr}});
  EXPECT_TRUE(read(conf));
}

TEST(NetConf, WantedAddresses) {
  json conf = minimal();
  conf["args"] = {{"cni", {{"ips", {"10.0.0.9"}}}}};
  auto wishes = read(conf)->wishes;
  ASSERT_EQ(wishes.ips.size(), 1U);
  EXPECT_EQ(wishes.ips_field, "args.cni.ips");

  // The capability wins.
  conf["runtimeConfig"] = {{"ips", {"10.0.0.7/16", "fd00::7/64"}}, {"mac", "02:00:00:00:00:07"}};
  wishes = read(conf)->wishes;
  ASSERT_EQ(wishes.ips.size(), 2U);
  EXPECT_EQ(wishes.ips[0].to_string(), "10.0.0.7");
  EXPECT_EQ(wishes.ips[1].to_string(), "fd00::7");
  EXPECT_EQ(wishes.ips_field, "runtimeConfig.ips");
  EXPECT_EQ(wishes.mac->to_string(), "02:00:00:00:00:07");
}

TEST(NetConf, PluginsBehindUsNeedTheStack) {
  json conf = minimal();
  EXPECT_TRUE(read(conf)->wishes.port_mappings.empty());
  for (const char* nothing : {R"({"portMappings": null})", R"({"portMappings": []})", R"({"bandwidth": {}})"}) {
    conf["runtimeConfig"] = json::parse(nothing);
    EXPECT_TRUE(read(conf)->wishes.port_mappings.empty()) << nothing;
    EXPECT_FALSE(read(conf)->limits) << nothing;
  }
  conf["runtimeConfig"] =
      json::parse(R"({"portMappings": [{"hostPort": 80, "containerPort": 80, "protocol": "tcp"}]})");
  EXPECT_EQ(read(conf)->wishes.port_mappings.size(), 1U);
}

TEST(NetConf, Bandwidth) {
  json conf = minimal();
  const auto limits = [&conf](const char* bandwidth) {
    conf["runtimeConfig"] = {{"bandwidth", json::parse(bandwidth)}};
    return read(conf)->limits.value();
  };
  // What containerd makes of a pod's annotations.
  EXPECT_EQ(limits(R"({"IngressRate": 1000000, "IngressBurst": 4294967295, "EgressRate": 0, "EgressBurst": 0})"),
            (wire::Bandwidth{.ingress_rate = 1000000, .ingress_burst = 4294967295}));
  EXPECT_EQ(limits(R"({"ingressRate": 0, "ingressBurst": null, "egressRate": 1000, "egressBurst": 1})"),
            (wire::Bandwidth{.egress_rate = 1000, .egress_burst = 1}));
  EXPECT_EQ(limits(R"({"egressRate": 1000000000000000, "egressBurst": 34359738367})").egress_rate, wire::kMostRate);
}

TEST(NetConf, BandwidthThatMakesNoSense) {
  struct Row {
    const char *bandwidth, *message;
  };
  json conf = minimal();
  for (const auto& [bandwidth, message] : std::vector<Row>{
           {R"([1])", "runtimeConfig.bandwidth is [1]: it must be an object"},
           {R"({"egressRate": "1M"})",
            "runtimeConfig.bandwidth.egressRate is \"1M\": it must be a whole number of bits"},
           {R"({"egressRate": -1})", "runtimeConfig.bandwidth.egressRate is -1: it must be a whole number of bits"},
           {R"({"egressRate": 1e6})", "runtimeConfig.bandwidth.egressRate is 1000000.0: it must be a whole number"},
           {R"({"ingressRate": 1000})", "runtimeConfig.bandwidth.ingressBurst is 0: it must be from 1 to 34359738367"},
           {R"({"ingressBurst": 1000})", "runtimeConfig.bandwidth.ingressRate is 0: it must be from 1000 to"},
           {R"({"egressRate": 999, "egressBurst": 1})", "runtimeConfig.bandwidth.egressRate is 999: it must be from"},
           {R"({"egressRate": 1000, "egressBurst": 34359738368})",
            "runtimeConfig.bandwidth.egressBurst is 34359738368"},
       }) {
    conf["runtimeConfig"] = {{"bandwidth", json::parse(bandwidth)}};
    const auto refused = read(conf);
    ASSERT_FALSE(refused) << bandwidth;
    EXPECT_EQ(refused.error().code, ErrorCode::config);
    EXPECT_EQ(refused.error().message.substr(0, std::string(message).size()), message);
    EXPECT_TRUE(read(conf, Command::del)) << "DEL of what another version has added: " << bandwidth;
  }
}

TEST(NetConf, PortMappings) {
  json conf = minimal();
  conf["runtimeConfig"] = {{"portMappings", json::parse(R"([
    {"hostPort": 8080, "containerPort": 80}, {"hostPort": 53, "containerPort": 5353, "protocol": "UDP", "hostIP": ""},
    {"hostPort": 1, "containerPort": 65535, "protocol": "Sctp", "hostIP": "2001:db8::1"},
    {"HostPort": 2, "ContainerPort": 2, "Protocol": "", "HostIP": "0.0.0.0"}])")}};
  std::vector<std::string> texts;
  const auto wishes = read(conf)->wishes;
  for (const auto& each : wishes.port_mappings) texts.push_back(to_string(each));
  EXPECT_THAT(texts,
              ::testing::ElementsAre("8080:80/tcp", "53:5353/udp", "[2001:db8::1]:1:65535/sctp", "0.0.0.0:2:2/tcp"));
}

TEST(NetConf, APortMappingThatMakesNoSenseIsRefusedByItsField) {
  const std::vector<std::pair<const char*, const char*>> cases = {
      {R"(7)", "portMappings[1] is 7: it must be an object"},
      {R"({"containerPort": 80})", "portMappings[1].hostPort is missing"},
      {R"({"hostPort": 80})", "portMappings[1].containerPort is missing"},
      {R"({"hostPort": 0, "containerPort": 80})", "portMappings[1].hostPort is 0"},
      {R"({"hostPort": -1, "containerPort": 80})", "portMappings[1].hostPort is -1"},
      {R"({"hostPort": 80, "containerPort": 65536})", "portMappings[1].containerPort is 65536"},
      {R"({"hostPort": "80", "containerPort": 80})", "portMappings[1].hostPort is \"80\""},
      {R"({"hostPort": 80.5, "containerPort": 80})", "portMappings[1].hostPort is 80.5"},
      {R"({"hostPort": 80, "containerPort": 80, "protocol": "icmp"})", "portMappings[1].protocol is \"icmp\""},
      {R"({"hostPort": 80, "containerPort": 80, "protocol": 6})", "portMappings[1].protocol is 6"},
      {R"({"hostPort": 80, "containerPort": 80, "hostIP": "here"})", "portMappings[1].hostIP: "},
      {R"({"hostPort": 80, "containerPort": 80, "hostIP": "192.0.2.1/24"})", "portMappings[1].hostIP: "},
      {R"({"hostPort": 80, "containerPort": 80, "hostIP": 1})", "portMappings[1].hostIP is 1"},
  };
  json conf = minimal();
  for (const auto& [mapping, why] : cases) {
    conf["runtimeConfig"] = {
        {"portMappings", json::array({{{"hostPort", 1}, {"containerPort", 1}}, json::parse(mapping)})}};
    const auto refused = read(conf);
    ASSERT_FALSE(refused) << mapping;
    EXPECT_THAT(refused.error().message, HasSubstr(why));
  }
  conf["runtimeConfig"] = {{"portMappings", {{"hostPort", 80}}}};
  EXPECT_THAT(read(conf).error().message, HasSubstr("it must be an array"));
  conf["runtimeConfig"] = {{"portMappings", json(1025, json{{"hostPort", 1}, {"containerPort", 1}})}};
  EXPECT_THAT(read(conf).error().message, HasSubstr("at most 1024"));
}

TEST(NetConf, APodsAnnotationNamesItsDevice) {
  constexpr const char* kAnnotations = "io.kubernetes.cri.pod-annotations";
  json conf = minimal();
  for (const char* silent : {"null", "{}", R"({"example.org/device": 7})", R"({"netkite.io/device": null})"}) {
    conf["runtimeConfig"] = {{kAnnotations, json::parse(silent)}};
    const auto got = read(conf);
    ASSERT_TRUE(got) << silent;
    EXPECT_FALSE(got->wishes.device) << silent;
  }
  conf["runtimeConfig"] = {{kAnnotations, {{"netkite.io/device", "netkit-l2"}, {"example.org/other", "x"}}}};
  EXPECT_EQ(read(conf)->wishes.device, wire::DeviceMode::netkit_l2);
  for (const auto& bad : {json("macvlan"), json(""), json(7), json::array()}) {
    conf["runtimeConfig"] = {{kAnnotations, {{"netkite.io/device", bad}}}};
    const auto refused = read(conf);
    ASSERT_FALSE(refused) << bad;
    EXPECT_THAT(refused.error().message, HasSubstr("annotation netkite.io/device"));
  }
  conf["runtimeConfig"] = {{kAnnotations, "veth"}};
  EXPECT_FALSE(read(conf));
}

TEST(NetConf, DnsOfTheRuntimeOverridesKeyByKey) {
  json conf = minimal();
  conf["dns"] = {{"nameservers", {"10.0.0.1"}}, {"domain", "a.example"}, {"search", {"x.example"}}};
  EXPECT_EQ(read(conf)->dns, conf["dns"]);
  conf["runtimeConfig"] = {{"dns", {{"servers", {"10.0.0.2"}}, {"searches", {"y.example"}}, {"options", {"ndots:2"}}}}};
  EXPECT_EQ(read(conf)->dns, json({{"nameservers", {"10.0.0.2"}},
                                   {"domain", "a.example"},
                                   {"search", {"y.example"}},
                                   {"options", {"ndots:2"}}}));
}

TEST(NetConf, DelReadsOnlyWhatItNeeds) {
  json conf = minimal();
  conf.erase("type");
  conf.update({{"leftover", 1}, {"ipam", {{"type", "host-local"}}}, {"prevResult", "rubbish"}, {"dns", 5}});
  EXPECT_FALSE(read(conf));
  EXPECT_TRUE(read(conf, Command::del));
}

TEST(NetConf, ValidAttachmentsOfGc) {
  json conf = minimal();
  conf["cni.dev/valid-attachments"] = json::array({{{"containerID", "a"}, {"ifname", "eth0"}}});
  const auto read_conf = read(conf, Command::gc);
  ASSERT_TRUE(read_conf);
  ASSERT_EQ(read_conf->valid_attachments.size(), 1U);
  EXPECT_EQ(read_conf->valid_attachments[0], (wire::Attachment{.network = "", .container_id = "a", .ifname = "eth0"}));
}

TEST(NetConf, EmptyAndNullSetsOfGc) {
  for (const json& set : {json::array(), json(nullptr)}) {
    json conf = minimal();
    conf["cni.dev/valid-attachments"] = set;
    const auto read_conf = read(conf, Command::gc);
    ASSERT_TRUE(read_conf);
    EXPECT_TRUE(read_conf->valid_attachments.empty());
  }
}

TEST(NetConf, OlderNameOfTheSetAndItsPrecedence) {
  json conf = minimal();
  conf["cni.dev/attachments"] = json::array({{{"containerID", "old"}, {"ifname", "eth0"}}});
  EXPECT_EQ(read(conf, Command::gc)->valid_attachments.at(0).container_id, "old");
  conf["cni.dev/valid-attachments"] = json::array({{{"containerID", "new"}, {"ifname", "eth0"}}});
  EXPECT_EQ(read(conf, Command::gc)->valid_attachments.at(0).container_id, "new");
}

TEST(Version, AbsentMeansTheFirst) { EXPECT_EQ(*read_version(json::object()), SpecVersion::v0_1_0); }

TEST(Version, EverySupportedOneIsRead) {
  for (const auto version : kSpecVersions) {
    const auto read_back = read_version({{"cniVersion", version}});
    ASSERT_TRUE(read_back);
    EXPECT_EQ(to_string(*read_back), version);
  }
}

TEST(Version, VerbsComeWithTheirVersion) {
  EXPECT_TRUE(check_verb(Command::add, SpecVersion::v0_1_0));
  EXPECT_TRUE(check_verb(Command::del, SpecVersion::v0_1_0));
  EXPECT_FALSE(check_verb(Command::check, SpecVersion::v0_3_1));
  EXPECT_TRUE(check_verb(Command::check, SpecVersion::v0_4_0));
  for (const Command command : {Command::gc, Command::status}) {
    const auto refused = check_verb(command, SpecVersion::v1_0_0);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, ErrorCode::version);
    EXPECT_THAT(refused.error().message, HasSubstr("cniVersion 1.1.0"));
    EXPECT_TRUE(check_verb(command, SpecVersion::v1_1_0));
  }
}

}  // namespace
}  // namespace netkite::cni
