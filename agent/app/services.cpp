// SPDX-License-Identifier: Apache-2.0
#include "agent/app/services.hpp"

#include <boost/asio/post.hpp>

namespace netkite::app {
namespace {

// So many times what a write that failed has cost.
constexpr int kRest = 9;

service::Facts facts_of(const config::Options& options) {
  const auto& services = options.services;
  return {.addresses = {},
          .zone = {},
          .external_ips = services.external_ips,
          .maglev = services.maglev,
          .overlay = config::has_overlay(options),
          .dsr = services.dsr,
          .max_frontends = services.max_frontends};
}

}  // namespace

Services::Services(boost::asio::io_context& context, const config::Options& options, datapath::Datapath& datapath,
                   std::function<void()> ready, std::chrono::milliseconds pause)
    : context_(context),
      timer_(context),
      rest_(context),
      pause_(pause),
      datapath_(datapath),
      node_name_(options.node_name),
      options_(options.services),
      facts_(facts_of(options)),
      registry_(facts_),
      health_checks_(context, static_cast<std::uint16_t>(options.services.healthz_port)),
      ready_(std::move(ready)) {
  // What cannot be read now is read, and complained of, with the first write.
  const auto present = adopt();
  waits_ = !present || *present == 0;
  schedule();
}

std::vector<kube::Subscription> Services::subscriptions() {
  const auto followed = [this](bool& synced) {
    return [this, &synced] {
      synced = true;
      schedule();
    };
  };
  kube::Events services{
      .changed = [this](const std::string& key, const kube::Json& object) { take_service(key, object); },
      .removed =
          [this](const std::string& key) {
            unreadable_.erase("service " + key);
            registry_.remove_service(key);
            schedule();
          },
      .synced = followed(services_synced_),
      .state = {},
  };
  kube::Events slices{
      .changed = [this](const std::string& key, const kube::Json& object) { take_slice(key, object); },
      .removed =
          [this](const std::string& key) {
            unreadable_.erase("endpointslice " + key);
            registry_.remove_slice(key);
            schedule();
          },
      .synced = followed(slices_synced_),
      .state = {},
  };
  return {{.resource = kube::services(), .events = std::move(services)},
          {.resource = kube::endpoint_slices(), .events = std::move(slices)}};
}

void Services::set_own_node(const kube::Node& node) {
  node_known_ = true;
  leaving_ = node.leaving;
  recall_own_node(node);
}

void Services::go_on_without_own_node() {
  node_known_ = true;
  schedule();
}

void Services::recall_own_node(const kube::Node& node) {
  facts_.addresses = node.addresses;
  facts_.zone = node.zone;
  registry_.set_facts(facts_);
  schedule();
}

void Services::take_host_ports(const endpoint::Endpoint& endpoint) {
  const auto pod =
      endpoint.pod_name.empty() ? endpoint.attachment.container_id : endpoint.pod_namespace + "/" + endpoint.pod_name;
  for (std::size_t i = 0; i < endpoint.host_ports.size(); ++i) {
    const auto key = endpoint.host_ifname + "/" + std::to_string(i);
    const auto& mapping = endpoint.host_ports[i];
    if (endpoint.state == endpoint::State::ready) {
      registry_.set_host_port(key, {.pod = pod,
                                    .protocol = static_cast<kube::Protocol>(mapping.protocol),
                                    .port = mapping.host_port,
                                    .pod_port = mapping.container_port,
                                    .address = mapping.host_ip,
                                    .pod_addresses = endpoint.addresses,
                                    .order = endpoint.order});
    } else {
      registry_.remove_host_port(key);
    }
  }
  schedule();
}

// An object that makes no sense any more keeps what it said before: a mistake must not cut anybody off.
void Services::take_service(const std::string& key, const kube::Json& object) {
  auto service = kube::service_from(object);
  if (!service) {
    unreadable_["service " + key] = service.error().message;
    return;
  }
  unreadable_.erase("service " + key);
  *service ? registry_.set_service(key, **std::move(service)) : registry_.remove_service(key);
  schedule();
}

void Services::take_slice(const std::string& key, const kube::Json& object) {
  auto slice = kube::endpoint_slice_from(object, node_name_);
  if (!slice) {
    unreadable_["endpointslice " + key] = slice.error().message;
    return;
  }
  unreadable_.erase("endpointslice " + key);
  *slice ? registry_.set_slice(key, **std::move(slice)) : registry_.remove_slice(key);
  schedule();
}

// After all events that have come already: one write for a swarm of them.
void Services::schedule() {
  if (scheduled_ || stopped_) return;
  scheduled_ = true;
  const auto run = [this] {
    scheduled_ = false;
    if (!stopped_) work();
  };
  if (rested_ <= std::chrono::steady_clock::now()) return boost::asio::post(context_, run);
  rest_.expires_at(rested_);
  rest_.async_wait([run](const boost::system::error_code& cancelled) {
    if (!cancelled) run();
  });
}

void Services::work() {
  if (!attached_) {
    const auto attached = datapath_.attach_sockets();
    attached_ = attached.has_value();
    attach_trouble_ = attached ? std::string()
                               : "services: " + attached.error().message +
                                     "; until then pods are served by translating their packets, and the node's own "
                                     "processes are not";
  }
  const auto start = std::chrono::steady_clock::now();
  const auto written = write();
  const auto end = std::chrono::steady_clock::now();
  if (!written) {
    writes_.failed();
    // The next one reads and writes everything. The agent has other things to do.
    rested_ = end + kRest * (end - start);
  }
  if (written && *written) writes_.took(end - start);
  if (in_force_ && all_known() && std::exchange(waits_, false)) ready_();
  // Told of a failure, too: a load balancer must not go by what this node has had. Before all is known it only hears
  // whether there is something in force.
  health_checks_.follow(all_known() ? registry_.health_checks() : api::HealthChecks::Checks(),
                        {.healthy = in_force_ && !waits_, .leaving = leaving_});
  write_trouble_ = written ? std::string() : "services: " + written.error().message;
  if (attach_trouble_.empty() && write_trouble_.empty() && health_checks_.problems().empty()) return;
  timer_.expires_after(pause_);
  timer_.async_wait([this](const boost::system::error_code& cancelled) {
    if (!cancelled) schedule();
  });
}

Result<std::size_t> Services::adopt() {
  const auto present = datapath_.services();
  if (!present) return tl::make_unexpected(present.error());
  registry_.adopt(*present);
  adopted_ = true;
  return present->frontends.size();
}

Result<bool> Services::write() {
  in_force_ = false;
  if (!adopted_) {
    if (const auto present = adopt(); !present) return tl::make_unexpected(present.error());
  }
  const auto changes = all_known() ? registry_.flush() : registry_.flush_host_ports();
  in_force_ = true;
  if (changed_) changed_(!changes.gone_backends.empty());
  if (changes.empty()) return false;
  const auto done = datapath_.change_services(changes);
  adopted_ = done.has_value();
  // A full map has what fits: one service that is too large must not make the node useless to all others.
  in_force_ = done || done.error().code == Code::exhausted;
  return done.map([] { return true; });
}

void Services::stop() {
  stopped_ = true;
  timer_.cancel();
  rest_.cancel();
  health_checks_.stop();
}

std::vector<std::string> Services::problems() const {
  std::vector<std::string> lines;
  for (const auto& trouble : {attach_trouble_, write_trouble_}) {
    if (!trouble.empty()) lines.push_back(trouble);
  }
  for (const auto& [key, why] : unreadable_) lines.push_back("kubernetes: " + why);
  for (auto& line : registry_.problems()) lines.push_back("services: " + std::move(line));
  for (auto& line : health_checks_.problems()) lines.push_back("services: " + std::move(line));
  return lines;
}

}  // namespace netkite::app
