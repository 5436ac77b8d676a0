// SPDX-License-Identifier: Apache-2.0
// Bad input, each with the code it must give and what the message must name.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <functional>
#include <nlohmann/json.hpp>

#include "cni-plugin/run.hpp"
#include "common/base/unique_fd.hpp"

namespace netkite::cni {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

struct Case {
  std::string what;
  int code;
  std::string names;
  std::function<void(Environment&)> environment = [](Environment&) {};
  std::string input;  // empty: the minimal configuration
};

constexpr const char* kHostNetns = "/proc/self/ns/net";

Environment good_environment() {
  return {.command = "ADD", .container_id = "c1", .netns = kHostNetns, .ifname = "eth0", .args = ""};
}

std::string minimal() {
  return R"({"cniVersion": "1.1.0", "name": "pods", "type": "netkite", "agentSocket": "/nonexistent/agent.sock"})";
}

// The minimal configuration with one more or another value.
std::string with(const std::string& key, const std::string& value) {
  json conf = json::parse(minimal());
  conf[key] = json::parse(value);
  return conf.dump();
}

std::string without(const std::string& key) {
  json conf = json::parse(minimal());
  conf.erase(key);
  return conf.dump();
}

struct Answer {
  int status = 0;
  std::string output;
};

Answer call(const Environment& environment, const std::string& text) {
  const UniqueFd input(::memfd_create("input", MFD_CLOEXEC));
  const UniqueFd output(::memfd_create("output", MFD_CLOEXEC));
  EXPECT_EQ(::write(input.get(), text.data(), text.size()), static_cast<ssize_t>(text.size()));
  EXPECT_EQ(::lseek(input.get(), 0, SEEK_SET), 0);
  Answer answer;
  answer.status = run(environment, input.get(), output.get());
  answer.output.resize(65536);
  answer.output.resize(static_cast<std::size_t>(::pread(output.get(), answer.output.data(), answer.output.size(), 0)));
  return answer;
}

void expect_refused(const Case& bad) {
  SCOPED_TRACE(bad.what);
  Environment environment = good_environment();
  bad.environment(environment);
  const Answer answer = call(environment, bad.input.empty() ? minimal() : bad.input);
  EXPECT_EQ(answer.status, 1);
  const json error = json::parse(answer.output, nullptr, false);
  ASSERT_TRUE(error.is_object()) << answer.output;
  EXPECT_EQ(error.value("code", 0), bad.code) << answer.output;
  EXPECT_THAT(error.value("msg", ""), HasSubstr(bad.names));
  EXPECT_TRUE(error.contains("cniVersion"));
}

auto command(const char* verb) {
  return [verb](Environment& environment) { environment.command = verb; };
}
auto container_id(const std::string& id) {
  return [id](Environment& environment) { environment.container_id = id; };
}
auto ifname(const std::string& name) {
  return [name](Environment& environment) { environment.ifname = name; };
}
auto netns(const std::string& path) {
  return [path](Environment& environment) { environment.netns = path; };
}
auto cni_args(const std::string& args) {
  return [args](Environment& environment) { environment.args = args; };
}

TEST(BadInput, Environment) {
  const std::vector<Case> cases = {
      {"no command", 4, "CNI_COMMAND is not set", command(""), ""},
      {"unknown command", 4, "CNI_COMMAND is \"UPDATE\"", command("UPDATE"), ""},
      {"command in small letters", 4, "CNI_COMMAND", command("add"), ""},
      {"no container id", 4, "CNI_CONTAINERID is not set", container_id(""), ""},
      {"container id with a slash", 4, "CNI_CONTAINERID", container_id("../etc"), ""},
      {"container id begins with a dash", 4, "CNI_CONTAINERID", container_id("-c1"), ""},
      {"container id with a space", 4, "CNI_CONTAINERID", container_id("c 1"), ""},
      {"container id too long", 4, "CNI_CONTAINERID", container_id(std::string(256, 'a')), ""},
      {"no interface name", 4, "CNI_IFNAME is not set", ifname(""), ""},
      {"interface name too long", 4, "CNI_IFNAME", ifname("abcdefghijklmnop"), ""},
      {"interface name with a slash", 4, "CNI_IFNAME", ifname("eth/0"), ""},
      {"interface name with a colon", 4, "CNI_IFNAME", ifname("eth0:1"), ""},
      {"interface name with a space", 4, "CNI_IFNAME", ifname("eth 0"), ""},
      {"interface name with a pattern", 4, "CNI_IFNAME", ifname("eth%d"), ""},
      {"interface named .", 4, "CNI_IFNAME", ifname("."), ""},
      {"interface named ..", 4, "CNI_IFNAME", ifname(".."), ""},
      {"no netns", 4, "CNI_NETNS is not set", netns(""), ""},
      {"netns does not exist", 4, "CNI_NETNS", netns("/nonexistent/netns"), ""},
      {"netns is a plain file", 4, "CNI_NETNS", netns("/etc/passwd"), ""},
      {"netns is a folder", 4, "CNI_NETNS", netns("/"), ""},
      {"netns is a device", 4, "CNI_NETNS", netns("/dev/null"), ""},
      {"netns is another kind of namespace", 4, "CNI_NETNS", netns("/proc/self/ns/mnt"), ""},
      {"netns path too long", 4, "CNI_NETNS", netns("/" + std::string(5000, 'x')), ""},
      {"netns is the host's", 4, "CNI_NETNS is \"/proc/self/ns/net\": this is the host's own", netns(kHostNetns), ""},
      {"CNI_ARGS without =", 4, "CNI_ARGS: \"ABC\"", cni_args("ABC"), ""},
      {"CNI_ARGS without a key", 4, "CNI_ARGS", cni_args("=1"), ""},
      {"CNI_ARGS with an unknown key", 4, "CNI_ARGS: key \"COLOUR\"", cni_args("COLOUR=red"), ""},
      {"CNI_ARGS with a bad address", 4, "CNI_ARGS: IP", cni_args("IP=10.0.0.256"), ""},
      {"CNI_ARGS with a bad MAC", 4, "CNI_ARGS: MAC", cni_args("MAC=02:00"), ""},
      {"CNI_ARGS with a bad IgnoreUnknown", 4, "CNI_ARGS: IgnoreUnknown", cni_args("IgnoreUnknown=perhaps"), ""},
      {"CNI_ARGS with a long name", 4, "CNI_ARGS: K8S_POD_NAME", cni_args("K8S_POD_NAME=" + std::string(254, 'a')), ""},
  };
  for (const Case& bad : cases) expect_refused(bad);
}

TEST(BadInput, Encoding) {
  const std::vector<Case> cases = {
      {"nothing at all", 6, "is empty", {}, " \n"},
      {"not JSON", 6, "not JSON", {}, "name: pods"},
      {"cut short", 6, "not JSON", {}, R"({"name": "pods")"},
      {"rubbish behind", 6, "not JSON", {}, minimal() + "x"},
      {"two objects", 6, "not JSON", {}, minimal() + minimal()},
      {"not UTF-8", 6, "not JSON", {}, "{\"name\": \"\xff\"}"},
      {"an array", 6, "not a JSON object", {}, "[]"},
      {"a string", 6, "not a JSON object", {}, "\"pods\""},
      {"null", 6, "not a JSON object", {}, "null"},
      {"nested too deeply", 6, "nests deeper", {}, "{\"args\":" + std::string(500'000, '[')},
      {"half a million values",
       6,
       "more than 8192 values",
       {},
       "{\"args\":[0" +
           [] {
             std::string text;
             for (int i = 0; i < 500'000; ++i) text += ",0";
             return text;
           }() +
           "]}"},
      {"huge", 7, "larger than 1 MiB", {}, with("args", "{\"x\": \"" + std::string(1U << 20U, 'x') + "\"}")},
  };
  for (Case bad : cases) {
    bad.environment = [](Environment&) {};
    expect_refused(bad);
  }
}

TEST(BadInput, Versions) {
  const std::vector<Case> cases = {
      {"too new", 1, "cniVersion \"2.0.0\"", [](Environment&) {}, with("cniVersion", R"("2.0.0")")},
      {"unknown patch level", 1, "cniVersion \"1.0.1\"", [](Environment&) {}, with("cniVersion", R"("1.0.1")")},
      {"only a prefix", 1, "cniVersion \"1.0\"", [](Environment&) {}, with("cniVersion", R"("1.0")")},
      {"with a v", 1, "cniVersion \"v1.0.0\"", [](Environment&) {}, with("cniVersion", R"("v1.0.0")")},
      {"empty", 1, "cniVersion \"\"", [](Environment&) {}, with("cniVersion", R"("")")},
      {"a number", 7, "cniVersion", [](Environment&) {}, with("cniVersion", "1.0")},
      {"CHECK before 0.4.0", 1, "CHECK needs cniVersion 0.4.0", command("CHECK"), with("cniVersion", R"("0.3.1")")},
      {"CHECK without a version", 1, "CHECK needs cniVersion", command("CHECK"), without("cniVersion")},
      {"GC before 1.1.0", 1, "GC needs cniVersion 1.1.0", command("GC"), with("cniVersion", R"("1.0.0")")},
      {"STATUS before 1.1.0", 1, "STATUS needs cniVersion 1.1.0", command("STATUS"), with("cniVersion", R"("1.0.0")")},
      {"DEL with an unknown version", 1, "cniVersion", command("DEL"), with("cniVersion", R"("9.0.0")")},
  };
  for (const Case& bad : cases) expect_refused(bad);
}

TEST(BadInput, Configuration) {
  const auto any = [](Environment&) {};
  const std::vector<Case> cases = {
      {"no name", 7, "name is missing", any, without("name")},
      {"name is a number", 7, "name is 5", any, with("name", "5")},
      {"name is empty", 7, "name is \"\"", any, with("name", R"("")")},
      {"name with a slash", 7, "name is \"a/b\"", any, with("name", R"("a/b")")},
      {"name too long", 7, "name is", any, with("name", "\"" + std::string(256, 'a') + "\"")},
      {"no name for DEL", 7, "name is missing", command("DEL"), without("name")},
      {"no type", 7, "type is missing", any, without("type")},
      {"type is a list", 7, "type is []", any, with("type", "[]")},
      {"unknown key", 7, "logFile is \"/x\"", any, with("logFile", R"("/x")")},
      {"misspelt key", 7, "agentsocket", any, with("agentsocket", R"("/x")")},
      {"a list of plugins", 7, "plugins is []", any, with("plugins", "[]")},
      {"ipam given", 2, R"(ipam is {"type":"host-local"})", any, with("ipam", R"({"type": "host-local"})")},
      {"ipam is a string", 2, "ipam is \"x\"", any, with("ipam", R"("x")")},
      {"socket is a number", 7, "agentSocket is 5", any, with("agentSocket", "5")},
      {"socket is relative", 7, "agentSocket", any, with("agentSocket", R"("agent.sock")")},
      {"socket is empty", 7, "agentSocket", any, with("agentSocket", R"("")")},
      {"socket path too long", 7, "agentSocket", any, with("agentSocket", "\"/" + std::string(107, 'x') + "\"")},
      {"socket with a zero byte", 7, "agentSocket", any, with("agentSocket", R"("/x\u0000y")")},
      {"capabilities is a list", 7, "capabilities is []", any, with("capabilities", "[]")},
      {"runtimeConfig is a list", 7, "runtimeConfig is []", any, with("runtimeConfig", "[]")},
      {"args is a string", 7, "args is \"x\"", any, with("args", R"("x")")},
      {"args.cni is a list", 7, "args.cni is []", any, with("args", R"({"cni": []})")},
      {"args.cni.ips bad", 7, "args.cni.ips[0]", any, with("args", R"({"cni": {"ips": ["x"]}})")},
      {"ips is a string", 7, "runtimeConfig.ips", any, with("runtimeConfig", R"({"ips": "10.0.0.1"})")},
      {"ips has a number", 7, "runtimeConfig.ips", any, with("runtimeConfig", R"({"ips": [5]})")},
      {"second of ips bad", 7, "runtimeConfig.ips[1]", any,
       with("runtimeConfig", R"({"ips": ["10.0.0.1", "10.0.0"]})")},
      {"ips with a bad length", 7, "runtimeConfig.ips[0]", any, with("runtimeConfig", R"({"ips": ["10.0.0.1/40"]})")},
      {"too many ips", 7, "runtimeConfig.ips", any,
       with("runtimeConfig", json({{"ips", std::vector<std::string>(17, "10.0.0.1")}}).dump())},
      {"mac is a number", 7, "runtimeConfig.mac is 5", any, with("runtimeConfig", R"({"mac": 5})")},
      {"mac bad", 7, "runtimeConfig.mac", any, with("runtimeConfig", R"({"mac": "02:00:00"})")},
      {"dns is a list", 7, "dns is []", any, with("dns", "[]")},
      {"dns.nameservers bad", 7, "dns.nameservers", any, with("dns", R"({"nameservers": "x"})")},
      {"dns.domain bad", 7, "dns.domain", any, with("dns", R"({"domain": []})")},
      {"runtimeConfig.dns bad", 7, "runtimeConfig.dns.servers", any,
       with("runtimeConfig", R"({"dns": {"servers": [1]}})")},
      {"prevResult is a list", 7, "prevResult is []", any, with("prevResult", "[]")},
      {"prevResult.ips bad", 7, "prevResult.ips", any, with("prevResult", R"({"ips": 1})")},
      {"CHECK without prevResult", 7, "prevResult is missing", command("CHECK"), minimal()},
      {"CHECK without our interface", 7, "prevResult.interfaces", command("CHECK"), with("prevResult", "{}")},
      {"CHECK without our host interface", 7, "prevResult.interfaces does not list the host's device nk",
       command("CHECK"), with("prevResult", R"({"interfaces": [{"name": "eth0", "sandbox": "/x"}]})")},
  };
  for (const Case& bad : cases) expect_refused(bad);
}

TEST(BadInput, GarbageCollection) {
  const auto with_set = [](const std::string& set) { return with("cni.dev/valid-attachments", set); };
  const std::vector<Case> cases = {
      {"no set", 7, "cni.dev/valid-attachments is missing", {}, minimal()},
      {"set is an object", 7, "cni.dev/valid-attachments is {}", {}, with_set("{}")},
      {"entry is a string", 7, "cni.dev/valid-attachments[0]", {}, with_set(R"(["a"])")},
      {"entry without id",
       7,
       "cni.dev/valid-attachments[0].containerID is missing",
       {},
       with_set(R"([{"ifname": "eth0"}])")},
      {"entry with a bad id", 7, "[0].containerID", {}, with_set(R"([{"containerID": "/", "ifname": "eth0"}])")},
      {"entry without ifname", 7, "[0].ifname is missing", {}, with_set(R"([{"containerID": "a"}])")},
      {"second entry with a bad ifname",
       7,
       "cni.dev/valid-attachments[1].ifname",
       {},
       with_set(R"([{"containerID": "a", "ifname": "eth0"}, {"containerID": "b", "ifname": "eth/0"}])")},
      {"older name, bad", 7, "cni.dev/attachments", {}, with("cni.dev/attachments", "5")},
  };
  for (Case bad : cases) {
    bad.environment = command("GC");
    expect_refused(bad);
  }
}

TEST(BadInput, NoAgent) {
  const std::string socket = "/nonexistent/agent.sock";
  const std::vector<Case> cases = {
      {"STATUS", 50, socket, command("STATUS"), ""},
      {"GC", 11, socket, command("GC"), with("cni.dev/valid-attachments", "[]")},
  };
  for (const Case& bad : cases) expect_refused(bad);
}

// Errors are reported in the configuration's own version, once it is known to be one of ours.
TEST(BadInput, VersionOfErrors) {
  const auto version_of = [](const std::string& input) {
    return json::parse(call(good_environment(), input).output).at("cniVersion").get<std::string>();
  };
  json conf = json::parse(minimal());
  conf["cniVersion"] = "0.3.1";
  EXPECT_EQ(version_of(conf.dump()), "0.3.1");
  conf["cniVersion"] = "7.0.0";
  EXPECT_EQ(version_of(conf.dump()), "1.1.0");
  EXPECT_EQ(version_of("rubbish"), "1.1.0");
}

}  // namespace
}  // namespace netkite::cni
