// SPDX-License-Identifier: Apache-2.0
#include "cni-plugin/tests/sandbox.hpp"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sched.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <sstream>
#include <stdexcept>
#include <thread>

#include "common/netlink/address.hpp"
#include "common/netlink/netns.hpp"
#include "common/netlink/route.hpp"

namespace netkite::cni::testing {
namespace {

void write_file(const std::string& path, const std::string& text) {
  std::ofstream file(path);
  file << text << std::flush;
  if (!file) throw std::runtime_error("write " + path);
}

// Once a process: the tests' host is a namespace of their own.
bool enter_private_host() {
  static const bool entered = ::geteuid() == 0 && ::unshare(CLONE_NEWNET) == 0;
  return entered;
}

std::vector<std::string> to_variables(const Environment& environment) {
  std::vector<std::string> variables = {"CNI_PATH=/opt/cni/bin"};
  const auto add = [&variables](const std::string& name, const std::string& value) {
    if (!value.empty()) variables.push_back(name + "=" + value);
  };
  add("CNI_COMMAND", environment.command);
  add("CNI_CONTAINERID", environment.container_id);
  add("CNI_NETNS", environment.netns);
  add("CNI_IFNAME", environment.ifname);
  add("CNI_ARGS", environment.args);
  return variables;
}

int spawn_and_wait(const Environment& environment, int input, int output) {
  auto variables = to_variables(environment);
  std::vector<char*> envp;
  for (auto& variable : variables) envp.push_back(variable.data());
  envp.push_back(nullptr);
  std::string program = NETKITE_CNI;
  std::array<char*, 2> argv = {program.data(), nullptr};
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_adddup2(&actions, input, STDIN_FILENO);
  if (output == kClosed) {
    ::posix_spawn_file_actions_addclose(&actions, STDOUT_FILENO);
  } else {
    ::posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
  }
  pid_t child = -1;
  const int error = ::posix_spawn(&child, program.c_str(), &actions, nullptr, argv.data(), envp.data());
  ::posix_spawn_file_actions_destroy(&actions);
  int status = 0;
  if (error != 0 || ::waitpid(child, &status, 0) != child) throw std::runtime_error("run " + program);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

}  // namespace

Namespace::Namespace() {
  std::thread([this] {
    if (::unshare(CLONE_NEWNET) == 0) fd_.reset(::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
  }).join();
  if (!fd_.valid()) throw std::runtime_error("new network namespace");
}

std::string Namespace::path() const {
  return "/proc/" + std::to_string(::getpid()) + "/fd/" + std::to_string(fd_.get());
}

std::uint64_t Namespace::inode() const { return netlink::identify_netns(fd_.get())->inode; }

netlink::Socket Namespace::socket() const { return must(netlink::Socket::open_in(fd_.get())); }

void Namespace::write_sysctl(const std::string& name, const std::string& value) const {
  const auto written = netlink::in_netns(fd_.get(), [&]() -> Result<void> {
    write_file("/proc/sys/" + name, value);
    return {};
  });
  if (!written) throw std::runtime_error(written.error().message);
}

Answer run_plugin(const Environment& environment, const std::string& input, int output_fd) {
  const UniqueFd in(::memfd_create("input", MFD_CLOEXEC));
  const UniqueFd out(::memfd_create("output", MFD_CLOEXEC));
  if (::write(in.get(), input.data(), input.size()) != static_cast<ssize_t>(input.size()))
    throw std::runtime_error("input");
  ::lseek(in.get(), 0, SEEK_SET);
  Answer answer;
  answer.status = spawn_and_wait(environment, in.get(), output_fd == -1 ? out.get() : output_fd);
  answer.output.resize(65536);
  answer.output.resize(static_cast<std::size_t>(::pread(out.get(), answer.output.data(), answer.output.size(), 0)));
  answer.json = nlohmann::json::parse(answer.output, nullptr, false);
  return answer;
}

std::string snapshot(netlink::Socket socket) {
  std::ostringstream text;
  for (const auto& link : must(netlink::list_links(socket)))
    text << link.index << ' ' << link.name << ' ' << link.up << '\n';
  for (const auto& each : must(netlink::list_addresses(socket)))
    text << each.ifindex << ' ' << each.address.to_string() << '\n';
  for (const auto& each : must(netlink::list_routes(socket)))
    text << each.destination.to_string() << ' ' << each.ifindex << '\n';
  return text.str();
}

std::string host_snapshot() { return snapshot(must(netlink::Socket::open())); }

void Sandbox::SetUp() {
  if (!enter_private_host()) GTEST_SKIP() << "needs root";
  agent_ = std::make_unique<FakeAgent>(socket_path_);
  pod_ = std::make_unique<Namespace>();
  agent_->answer("prepare", wire::to_json(veth_plan()));
}

void Sandbox::TearDown() {
  if (IsSkipped()) return;
  // They would go with the pod's namespace, but some time later.
  auto host = must(netlink::Socket::open());
  for (const auto& link : must(netlink::list_links(host))) {
    if (link.name.starts_with("nk")) {
      EXPECT_TRUE(netlink::delete_link(host, link.index));
    }
  }
}

Environment Sandbox::environment(const std::string& command) const {
  return {.command = command, .container_id = "c1", .netns = pod_->path(), .ifname = "eth0", .args = ""};
}

nlohmann::json Sandbox::conf(const std::string& version) const {
  return {{"cniVersion", version}, {"name", "pods"}, {"type", "netkite"}, {"agentSocket", socket_path_}};
}

Answer Sandbox::call(const std::string& command, const nlohmann::json& conf) const {
  return run_plugin(environment(command), conf.dump());
}

wire::Attachment Sandbox::attachment(const std::string& ifname) {
  return {.network = "pods", .container_id = "c1", .ifname = ifname};
}

wire::PrepareReply Sandbox::veth_plan(const std::string& ifname) {
  return {.device = wire::DeviceMode::veth,
          .host_ifname = wire::host_ifname(attachment(ifname)),
          .addresses = {*Ip::parse("10.0.0.5"), *Ip::parse("fd00::5")},
          .mtu = 1400,
          .pod_mac = *Mac::parse("02:00:00:00:00:02"),
          .host_mac = *Mac::parse("02:00:00:00:00:01"),
          .gateway4 = *Ip::parse("169.254.1.1"),
          .gateway6 = *Ip::parse("fe80::1")};
}

void Sandbox::let_check_pass() {
  auto host = must(netlink::Socket::open());
  const auto link = netlink::get_link(host, veth_plan().host_ifname);
  ASSERT_TRUE(link) << link.error().message;
  agent_->answer("check", wire::to_json(wire::CheckReply{.attached = true,
                                                         .problem = "",
                                                         .device = wire::DeviceMode::veth,
                                                         .host_ifname = link->name,
                                                         .host_ifindex = link->index,
                                                         .addresses = veth_plan().addresses}));
}

void expect_error(const Answer& answer, int code, const std::string& names) {
  EXPECT_EQ(answer.status, 1);
  ASSERT_TRUE(answer.json.is_object()) << answer.output;
  EXPECT_EQ(answer.json.value("code", 0), code) << answer.output;
  EXPECT_THAT(answer.json.value("msg", ""), ::testing::HasSubstr(names));
}

}  // namespace netkite::cni::testing
