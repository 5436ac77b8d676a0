// SPDX-License-Identifier: Apache-2.0
// A whole agent behind its socket, with the kernel's edges faked, on a thread of its own.
#pragma once

#include <boost/asio/post.hpp>
#include <future>
#include <thread>

#include "agent/api/server.hpp"
#include "agent/api/tests/client.hpp"
#include "agent/endpoint/tests/manager_fixture.hpp"

namespace netkite::api::testing {

class ServerTest : public endpoint::testing::ManagerTest {
 protected:
  // Runs `work` on the agent's thread and waits for it.
  template <typename Work>
  auto on_agent(Work work) {
    std::packaged_task<decltype(work())()> task(work);
    auto done = task.get_future();
    boost::asio::post(context, [&task] { task(); });
    return done.get();
  }
  void SetUp() override {
    ManagerTest::SetUp();
    if (!netns.valid()) return;
    status.version = "1.2.3";
    status.node_name = "node";
    status.uplinks_attached = true;
    status.view.uplinks = {{.ifindex = 2, .name = "eth0", .mtu = 1500}};
    path = options.run_dir + "/agent.sock";
  }
  void TearDown() override {
    if (!server) return;
    on_agent([this] {
      events->stop();
      server->stop();
    });
    thread.join();
    server.reset();
    events.reset();
  }

  void serve(Limits limits = {}) {
    handlers.emplace(*manager, datapath, [this] { return status; });
    events.emplace(context, datapath);
    auto opened = Server::open(context, path, *handlers, *events, limits);
    ASSERT_TRUE(opened) << opened.error().message;
    server = *std::move(opened);
    thread = std::thread([this] { context.run(); });
  }

  bool eventually(const std::function<bool()>& condition) {
    for (int i = 0; i < 500; ++i) {
      if (on_agent(condition)) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return false;
  }

  static nlohmann::json attachment_of(const std::string& id) { return {{"attachment", wire::to_json(pod(id))}}; }
  nlohmann::json prepare_on(Client& client, const std::string& id) {
    return client.call("prepare", attachment_of(id), {netns.get()});
  }
  nlohmann::json commit_on(Client& client, const std::string& id) {
    const auto index = on_agent([this, id] { return build(pod(id)); });
    auto request = attachment_of(id);
    request["host_ifindex"] = index;
    request["pod_ifindex"] = 2;
    return client.call("commit", request);
  }

  NodeStatus status;
  std::string path;
  boost::asio::io_context context{1};
  std::optional<Handlers> handlers;
  std::optional<EventHub> events;
  std::unique_ptr<Server> server;
  std::thread thread;
};

inline std::string code_of(const nlohmann::json& reply) {
  if (!reply.is_object()) return "closed";
  return reply.value("ok", false) ? "ok" : reply.value("/error/code"_json_pointer, "nothing");
}
inline std::string message_of(const nlohmann::json& reply) { return reply.value("/error/message"_json_pointer, ""); }

}  // namespace netkite::api::testing
