// SPDX-License-Identifier: Apache-2.0
#include "agent/app/withdrawal.hpp"

#include <spdlog/spdlog.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <csignal>
#include <memory>
#include <utility>
#include <vector>

#include "agent/kube/access.hpp"
#include "agent/kube/exchange.hpp"
#include "common/base/await.hpp"

namespace netkite::app {
namespace {

namespace asio = boost::asio;
using kube::Json;

constexpr auto kPause = std::chrono::seconds(2);

// Requests and fields are made here: g++ 12 destroys what a coroutine makes in braces for a call twice.
kube::Request about(std::string target, bool remove = false) {
  return {.target = std::move(target), .patch = {}, .body = {}, .remove = remove};
}
kube::Request patch(std::string target, const Json& change) {
  return {.target = std::move(target), .patch = kube::kMergePatch, .body = change.dump()};
}
kube::Fields state_fields() { return {"metadata.generation", "status"}; }
kube::Fields uid_field() { return {"metadata.uid"}; }

// Where the objects of deploy/chart are.
struct Objects {
  std::string set, role;
  std::vector<std::string> others;  // that the role is to own
};
Objects objects_in(const std::string& pod_namespace) {
  const std::string core = "/api/v1/namespaces/" + pod_namespace, rbac = "/apis/rbac.authorization.k8s.io/v1/";
  const std::string set = "/apis/apps/v1/namespaces/" + pod_namespace + "/daemonsets/netkite";
  return {.set = set,
          .role = rbac + "clusterroles/netkite-agent",
          .others = {core + "/configmaps/netkite", core + "/serviceaccounts/netkite-agent",
                     rbac + "clusterrolebindings/netkite-agent", set}};
}

// Null: the role has no uid.
Json owned_by(const Json& role) {
  const Json::json_pointer uid("/metadata/uid");
  if (!role.contains(uid)) return {};
  const Json owner = {{"apiVersion", "rbac.authorization.k8s.io/v1"},
                      {"kind", "ClusterRole"},
                      {"name", "netkite-agent"},
                      {"uid", role.at(uid)}};
  Json change;
  change["metadata"]["ownerReferences"] = Json::array({owner});
  return change;
}

// Whether every node has a pod of the DaemonSet as it is now, and each of them has cleaned up: only then is it ready.
bool is_done(const Json& set) {
  const auto number = [&set](const char* path) {
    const Json::json_pointer place(path);
    return set.contains(place) && set.at(place).is_number_integer() ? set.at(place).get<std::int64_t>() : 0;
  };
  const auto nodes = number("/status/desiredNumberScheduled");
  return nodes > 0 && number("/status/observedGeneration") == number("/metadata/generation") &&
         number("/status/updatedNumberScheduled") == nodes && number("/status/numberReady") == nodes;
}

asio::awaitable<Result<void>> attempt(asio::io_context& context, kube::Source source, bool& done) {
  const auto access = kube::read_access(source);
  if (!access) co_return tl::make_unexpected(access.error());
  const auto pod_namespace = kube::read_credential(source.service_account + "/namespace");
  if (!pod_namespace) co_return tl::make_unexpected(pod_namespace.error());
  const auto connection = kube::Connection::make(context.get_executor(), *access);
  if (!connection) co_return tl::make_unexpected(connection.error());
  if (auto opened = co_await (*connection)->open(); !opened) co_return opened;
  const auto withdrawn = co_await withdraw_once(**connection, *pod_namespace);
  (*connection)->close();
  if (!withdrawn) co_return tl::make_unexpected(withdrawn.error());
  done = *withdrawn;
  co_return Result<void>();
}

asio::awaitable<void> run(asio::io_context& context, kube::Source source) {
  asio::steady_timer timer(context);
  std::string trouble;
  for (bool done = false; !done;) {
    const auto tried = co_await attempt(context, source, done);
    const auto now = tried ? std::string() : tried.error().message;
    if (!now.empty() && now != trouble) spdlog::warn("{}", now);
    trouble = now;
    timer.expires_after(kPause);
    co_await timer.async_wait(kToken);
  }
  spdlog::info("every node has cleaned up, and the cluster's objects go");
}

}  // namespace

asio::awaitable<Result<bool>> withdraw_once(kube::Connection& connection, std::string pod_namespace) {
  const auto objects = objects_in(pod_namespace);
  const auto set = co_await kube::exchange(connection, about(objects.set), state_fields());
  if (!set) co_return tl::make_unexpected(set.error());
  if (!is_done(*set)) co_return false;

  const auto role = co_await kube::exchange(connection, about(objects.role), uid_field());
  if (!role) co_return tl::make_unexpected(role.error());
  const auto owned = owned_by(*role);
  if (owned.is_null()) co_return fail(Code::unavailable, objects.role + ": the API server gives no uid");
  for (const auto& target : objects.others) {
    const auto patched = co_await kube::exchange(connection, patch(target, owned));
    if (!patched && patched.error().code != Code::not_found) co_return tl::make_unexpected(patched.error());
  }
  const auto removed = co_await kube::exchange(connection, about(objects.role + "?propagationPolicy=Background", true));
  if (!removed) co_return tl::make_unexpected(removed.error());
  co_return true;
}

void withdraw(const config::Options& options) {
  asio::io_context context;
  asio::signal_set signals(context, SIGTERM, SIGINT);
  signals.async_wait([&context](const boost::system::error_code&, int) { context.stop(); });
  asio::co_spawn(context,
                 run(context, {.kubeconfig = options.kubernetes.kubeconfig, .server = options.kubernetes.server}),
                 asio::detached);
  context.run();
}

}  // namespace netkite::app
