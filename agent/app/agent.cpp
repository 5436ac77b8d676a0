// SPDX-License-Identifier: Apache-2.0
#include "agent/app/agent.hpp"

#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <csignal>
#include <set>

#include "agent/api/web_pages.hpp"
#include "agent/app/device_choice.hpp"
#include "agent/app/process.hpp"
#include "agent/app/take_over.hpp"
#include "agent/config/loader.hpp"
#include "agent/node/masquerade.hpp"
#include "agent/node/overlay.hpp"
#include "agent/node/pod_device.hpp"
#include "agent/node/queues.hpp"
#include "common/base/await.hpp"

namespace netkite::app {
namespace {

namespace asio = boost::asio;

// Changes come in swarms: one look at the kernel answers all of them.
constexpr auto kUplinkDebounce = std::chrono::milliseconds(50);
constexpr auto kRetry = std::chrono::seconds(10);
constexpr unsigned kMostRests = 15;

// For coroutines that live as long as the agent.
auto report_end(std::string_view what) {
  return [what](const std::exception_ptr& error) {
    if (error) spdlog::critical("{} ended with an exception", what);
  };
}

}  // namespace

Agent::Agent(config::Options options, std::string config_file)
    : options_(std::move(options)), config_file_(std::move(config_file)) {}

Agent::~Agent() = default;

Result<void> Agent::run() {
  if (auto started = start(); !started) return started;
  trim_memory();
  notify_supervisor("READY=1");
  spdlog::info("ready: {} on {}, {} endpoints, socket {}", options_.node_name, wire::to_string(device_),
               manager_->size(), options_.socket);
  context_.run();
  spdlog::info("stopped; the pods' traffic goes on");
  return {};
}

Result<void> Agent::start() {
  // From the first moment on: a reload that comes too early must not end the process.
  for (const int number : {SIGTERM, SIGINT, SIGHUP}) signals_.add(number);
  auto lock = lock_instance(options_.run_dir);
  if (!lock) return tl::make_unexpected(lock.error());
  lock_ = *std::move(lock);
  if (options_.kubernetes.enabled) recall_cluster();
  // The switch is the kernel's: agents with other run folders on it meet in the usual one.
  datapath::ExpediteRcu::configure(options_.datapath.expedite_rcu, config::Options().run_dir);
  const auto features = datapath::probe_features();
  // Nothing to wait for, nothing to expedite.
  if (features.quick_attach) datapath::ExpediteRcu::configure(false, config::Options().run_dir);
  const datapath::ExpediteRcu expedite;
  if (auto opened = open_datapath(features); !opened) return opened;
  if (auto forwarding = node::apply_forwarding(options_); !forwarding) return forwarding;
  // Before the first look, so that nothing changes unseen in between.
  auto monitor = node::Monitor::open();
  if (!monitor) return tl::make_unexpected(monitor.error());
  monitor_ = *std::move(monitor);
  uplinks_.emplace(*datapath_);
  manager_ = std::make_unique<endpoint::Manager>(
      options_, endpoint::Devices{.usual = device_, .netkit = features.netkit}, *datapath_);
  manager_->suspend(not_ready());
  // What is wrong with it now is the configuration's or the kernel's fault; later it is a problem like others.
  if (auto overlay = prepare_overlay().and_then([this] { return raise_overlay(); }); !overlay) return overlay;
  reconcile();
  if (auto removed = remove_unwanted(); !removed) return removed;
  masquerade_due_ = knows_nobody();
  if (auto masquerade = masquerade_due_ ? Result<void>() : node::apply_masquerade(options_); !masquerade)
    return masquerade;
  if (auto restored = restore(); !restored) return restored;
  return serve();
}

Result<void> Agent::open_datapath(const datapath::Features& features) {
  const auto note_missing = [this](const std::vector<std::string>& lines) {
    for (const auto& line : lines) spdlog::warn("{}", line);
    missing_.insert(missing_.end(), lines.begin(), lines.end());
  };
  note_missing(features.missing);
  const auto choice = choose_device(options_.device, features);
  if (!choice) return tl::make_unexpected(choice.error());
  device_ = *choice;
  auto datapath = datapath::Datapath::open(options_, features);
  if (!datapath) return tl::make_unexpected(datapath.error());
  datapath_ = *std::move(datapath);
  note_missing(datapath_->missing());
  spdlog::info("programs: {}", datapath_->program_origin());
  return {};
}

// What an agent with other options has left.
Result<void> Agent::remove_unwanted() {
  if (!config::has_overlay(options_)) {
    if (auto removed = node::remove_overlay(); !removed) return removed;
  }
  return options_.bandwidth.enabled ? Result<void>() : node::remove_queues();
}

// Programs before the first packet, and again when somebody has taken the device away. What they go by comes before
// them: after an upgrade they may have maps of their own.
Result<void> Agent::prepare_overlay() {
  if (!config::has_overlay(options_)) return {};
  const auto ifindex = node::ensure_overlay(options_, datapath::overlay_mac());
  if (!ifindex) return tl::make_unexpected(ifindex.error());
  if (*ifindex != overlay_) {
    const auto name = std::string(node::kOverlayDevice);
    const auto view = node::discover(options_, *ifindex);
    if (!view) return tl::make_unexpected(view.error());
    if (auto set = knows_nobody() ? Result<void>() : datapath_->set_remotes(view->remotes); !set) return set;
    if (auto attached = datapath_->attach_overlay(*ifindex, name); !attached) return wrap(attached.error(), "overlay");
    overlay_ = *ifindex;
  }
  return {};
}

Result<void> Agent::raise_overlay() {
  return overlay_ == 0 ? Result<void>() : node::raise_overlay(options_, overlay_, view_.overlay.mtu);
}

Result<void> Agent::restore() {
  if (auto restored = manager_->restore(); !restored) return restored;
  log_reports();
  stale_due_ = true;
  remove_stale();
  take_over_connections();
  return {};
}

// What cannot be taken over goes on in the stack, but for flows of datagrams, which are new ones then.
void Agent::take_over_connections() {
  if (!options_.masquerade.enabled || !config::masks_in_bpf(options_)) return;
  const auto taken = take_over(options_, manager_->list(), view_.uplinks, *datapath_);
  if (!taken) return spdlog::warn("connections stay with the stack: {}", taken.error().message);
  if (*taken > 0) spdlog::info("{} connections of pods to the outside are the programs' now", *taken);
}

Result<void> Agent::serve() {
  handlers_.emplace(*manager_, *datapath_, [this] { return status(); });
  events_.emplace(context_, *datapath_);
  auto server = api::Server::open(context_, options_.socket, *handlers_, *events_);
  if (!server) return tl::make_unexpected(server.error());
  server_ = *std::move(server);
  if (auto served = serve_web(); !served) return served;
  // Plugins that found no socket until now have left notes.
  manager_->work_off_notes();
  log_reports();
  changes_.emplace(context_, monitor_->fd());
  asio::co_spawn(context_, follow_changes(), report_end("the watch on devices and routes"));
  asio::co_spawn(context_, retry(), report_end("the retry timer"));
  asio::co_spawn(context_, obey_signals(), report_end("signal handling"));
  if (config::translates(options_)) connections_.emplace(context_, options_, *datapath_);
  if (!cluster_) return {};
  manager_->follow_ends([this] { follow_end(); });
  if (options_.services.enabled) {
    services_.emplace(context_, options_, *datapath_, [this] { follow_cluster(); });
    manager_->suspend(not_ready());
    if (remembered_) services_->recall_own_node(*remembered_);
    manager_->follow_host_ports([this](const endpoint::Endpoint& each) { services_->take_host_ports(each); });
    for (auto& subscription : services_->subscriptions()) cluster_->follow(std::move(subscription));
    const auto serves = [this](const datapath::StaleSocket& stale) {
      return !services_->all_known() ||
             services_->registry().serves(stale.service, stale.socket.remote, stale.socket.remote_port);
    };
    const auto netns_paths = [this](std::uint64_t inode) { return manager_->netns_paths(inode); };
    stale_sockets_.emplace(context_, *datapath_,
                           StaleSockets::Neighbourhood{.serves = serves, .netns_paths = netns_paths});
    services_->follow_changes([this](bool gone) { stale_sockets_->follow(gone); });
  }
  for (auto& task : cluster_->tasks())
    asio::co_spawn(context_, std::move(task), report_end("the watch on the cluster"));
  return {};
}

Result<void> Agent::serve_web() {
  if (options_.http_port == 0) return {};
  const auto answer = [this](std::string_view path) {
    return api::web_page(
        path, status(),
        {.manager = *manager_, .datapath = *datapath_, .adds = handlers_->adds(), .dels = handlers_->dels()});
  };
  const api::WebServer::Place place{.port = static_cast<std::uint16_t>(options_.http_port)};
  auto server = api::WebServer::open(context_, place, answer);
  if (!server) return wrap(server.error(), "http_port");
  web_ = *std::move(server);
  return {};
}

asio::awaitable<void> Agent::follow_changes() {
  asio::steady_timer timer(context_);
  for (;;) {
    const auto [error] = co_await changes_->async_wait(asio::posix::stream_descriptor::wait_read, kToken);
    if (error) co_return;
    auto changed = monitor_->drain();
    if (changed && !*changed) continue;
    if (!changed) spdlog::warn("{}", changed.error().message);
    timer.expires_after(kUplinkDebounce);
    co_await timer.async_wait(kToken);
    if (!changes_->is_open()) co_return;
    // What came meanwhile is answered by the same look.
    if (auto more = monitor_->drain(); !more) spdlog::warn("{}", more.error().message);
    reconcile();
  }
}

// What trying does not mend is tried more and more seldom: in a large cluster some object is always wrong. Whatever
// changes on the node or in the cluster is followed at once all the same.
asio::awaitable<void> Agent::retry() {
  std::vector<std::string> unmended;
  unsigned rest = 0;   // how often the timer ends without a try
  unsigned rests = 0;  // the same after the next one that mends nothing
  for (;;) {
    retry_timer_.expires_after(kRetry);
    const auto [cancelled] = co_await retry_timer_.async_wait(kToken);
    if (cancelled) co_return;
    // Bursts of pods leave holes in the heap, and may have had DELs turned away: those are noted, too.
    trim_memory();
    manager_->work_off_notes();
    log_reports();
    if (problems_ != unmended) rest = rests = 0;
    if (problems_.empty()) continue;
    if (rest > 0) {
      --rest;
      continue;
    }
    cluster_ ? follow_cluster() : reconcile();
    unmended = problems_;
    rest = rests;
    rests = std::min(2 * rests + 1, kMostRests);
  }
}

asio::awaitable<void> Agent::obey_signals() {
  for (;;) {
    const auto [error, number] = co_await signals_.async_wait(kToken);
    if (error) co_return;
    if (number != SIGHUP) {
      stop();
      co_return;
    }
    reload();
  }
}

// Makes kernel and programs agree with configuration and network as they are now. What fails is a problem, not an end.
void Agent::reconcile() {
  const datapath::ExpediteRcu expedite;
  std::vector<std::string> problems;
  if (auto prepared = prepare_overlay(); !prepared) problems.push_back(prepared.error().message);
  auto view = node::discover(options_, overlay_);
  if (!view) return set_problems({view.error().message});
  if (view->pod_mtu != view_.pod_mtu) spdlog::info("new pods get MTU {}", view->pod_mtu);
  view_ = *std::move(view);
  const bool known = !knows_nobody();
  if (known) {
    if (auto set = datapath_->set_remotes(view_.remotes); !set) problems.push_back(set.error().message);
  }
  std::ranges::move(uplinks_->follow(view_.uplinks), std::back_inserter(problems));
  datapath_->refresh_uplinks();
  remove_stale();
  if (auto raised = raise_overlay(); !raised) problems.push_back(raised.error().message);
  if (masquerade_due_ && known) {
    const auto applied = node::apply_masquerade(options_);
    if (!applied) problems.push_back(applied.error().message);
    masquerade_due_ = !applied;
  }
  if (config::masks_in_bpf(options_) && known) {
    auto set = datapath_->set_masquerade(node::masquerade_of(options_, view_.uplinks));
    if (!set) problems.push_back("masquerade: " + set.error().message);
  }
  if (options_.bandwidth.enabled) std::ranges::move(node::apply_queues(view_.uplinks), std::back_inserter(problems));
  const auto routes = known ? node::apply_routes(options_, view_) : Result<void>();
  if (!routes) problems.push_back(routes.error().message);
  manager_->set_view(view_);
  set_problems(std::move(problems));
  if (cluster_) cluster_->set_ready(api::unready(status()).empty());
}

void Agent::reload() {
  auto fresh = config::load_file(config_file_);
  if (!fresh) return spdlog::error("reload refused: {}", fresh.error().message);
  if (cluster_) {
    fresh->pools = options_.pools;
    fresh->peers = options_.peers;
  }
  auto plan = plan_reload(options_, *fresh);
  if (!plan) return spdlog::error("reload refused: {}", plan.error().message);
  if (auto changed = change_deny_list(*plan); !changed) {
    return spdlog::error("reload refused: {}", changed.error().message);
  }
  options_ = std::move(plan->options);
  spdlog::set_level(spdlog::level::from_str(options_.log_level));
  masquerade_due_ = true;
  reconcile();
  spdlog::info("configuration read again");
}

Result<void> Agent::change_deny_list(const Reload& plan) {
  if (!plan.deny.empty()) {
    if (auto denied = datapath_->deny(plan.deny); !denied) return denied;
  }
  if (plan.undeny.empty()) return {};
  const auto present = datapath_->denied();
  if (!present) return tl::make_unexpected(present.error());
  // Without those that somebody has taken out by hand.
  const std::set<Cidr> wanted(plan.undeny.begin(), plan.undeny.end());
  std::vector<Cidr> undeny;
  for (const auto& each : *present) {
    if (wanted.contains(each.prefix)) undeny.push_back(each.prefix);
  }
  return undeny.empty() ? Result<void>() : datapath_->undeny(undeny);
}

void Agent::stop() {
  notify_supervisor("STOPPING=1");
  if (cluster_) cluster_->stop();
  if (services_) services_->stop();
  if (stale_sockets_) stale_sockets_->stop();
  if (connections_) connections_->stop();
  events_->stop();
  server_->stop();
  if (web_) web_->stop();
  boost::system::error_code ignored;
  changes_->release();  // the monitor's own
  signals_.cancel(ignored);
  retry_timer_.cancel();
}

void Agent::log_reports() {
  for (const auto& line : manager_->take_reports()) spdlog::warn("{}", line);
}

api::NodeStatus Agent::status() const {
  const auto uptime = std::chrono::steady_clock::now() - started_;
  return {
      .version = NETKITE_VERSION,
      .node_name = options_.node_name,
      .device = device_,
      .uptime_s = static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::seconds>(uptime).count()),
      .routing = options_.routing,
      .peers = options_.peers.size(),
      .view = view_,
      .missing = missing_,
      .problems = open_problems(),
      // In a cluster a node that has no way to the others is not ready: pods would come to it.
      .uplinks_attached =
          uplinks_->has_all(view_.uplinks) && (!cluster_ || options_.peers.empty() || !view_.uplinks.empty()),
      .not_ready = not_ready(),
      .watches = cluster_ ? cluster_->watches() : std::vector<api::NodeStatus::Watch>(),
      .services = services_ ? &services_->registry() : nullptr,
      .service_writes = services_ ? &services_->writes() : nullptr,
  };
}

}  // namespace netkite::app
