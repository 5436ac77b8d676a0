// SPDX-License-Identifier: Apache-2.0
#include "agent/endpoint/manager.hpp"

#include <algorithm>
#include <set>

#include "agent/endpoint/limits.hpp"
#include "common/base/rollback.hpp"
#include "common/netlink/netns.hpp"

namespace netkite::endpoint {
namespace {

constexpr std::size_t kMaxInFlight = 512;
constexpr std::uint32_t kDefaultMtu = 1500;  // of a node that has no uplink

std::string name_of(const wire::Attachment& attachment) {
  return attachment.ifname + " of container " + attachment.container_id + " in network " + attachment.network;
}

// The agent's own namespace as a pod's would put the programs of pods in the host's way.
Result<netlink::NetnsId> foreign_netns(const UniqueFd& netns) {
  auto theirs = netlink::identify_netns(netns.get());
  if (!theirs) return wrap(theirs.error(), "netns");
  const auto ours = netlink::current_netns();
  if (!ours) return wrap(ours.error(), "netns");
  if (*ours == *theirs) return fail(Code::invalid, "netns: it is the node's own network namespace");
  return theirs;
}

Result<void> check_mac(const std::optional<Mac>& mac, wire::DeviceMode device) {
  if (!mac) return {};
  if (device == wire::DeviceMode::netkit) {
    return fail(Code::invalid,
                "requested_mac: netkit devices in L3 mode have no MAC; the device \"netkit-l2\" has one");
  }
  if (mac->is_zero() || mac->is_multicast()) {
    return fail(Code::invalid, "requested_mac: " + mac->to_string() + " is no unicast address");
  }
  return {};
}

}  // namespace

Manager::Manager(const config::Options& options, Devices devices, datapath::Datapath& datapath)
    : Manager(options, devices, datapath, make_host_link(options.sysctl_dir)) {}

Manager::Manager(const config::Options& options, Devices devices, datapath::Datapath& datapath,
                 std::unique_ptr<HostLink> host)
    : options_(options), devices_(devices), datapath_(datapath), host_(std::move(host)), store_(options.run_dir) {
  for (const auto& prefix : options.pools) pools_.emplace_back(prefix);
}

Manager::~Manager() = default;

// `auto` is free to give a pod the device that all of its wishes can be had with.
wire::DeviceMode Manager::device_for(const wire::PrepareRequest& request) const {
  if (request.device) return *request.device;
  const bool left_to_others = request.bandwidth && !options_.bandwidth.enabled;
  return left_to_others && options_.device == config::Device::automatic ? wire::DeviceMode::veth : devices_.usual;
}

Result<void> Manager::admit(const wire::PrepareRequest& request) const {
  if (!suspended_.empty()) return fail(Code::unavailable, suspended_);
  const auto& attachment = request.attachment;
  if (const auto found = endpoints_.find(attachment); found != endpoints_.end()) {
    if (found->second.state == State::ready) return fail(Code::exists, name_of(attachment) + " exists already");
    return fail(Code::unavailable, name_of(attachment) + ": another ADD or DEL of it is under way");
  }
  const auto host_ifname = wire::host_ifname(attachment);
  for (const auto& [other, endpoint] : endpoints_) {
    if (endpoint.host_ifname != host_ifname) continue;
    return fail(Code::exists, name_of(attachment) + ": its device " + host_ifname + " belongs to " + name_of(other));
  }
  if (in_flight_.size() >= kMaxInFlight) {
    return fail(Code::exhausted, std::to_string(kMaxInFlight) + " ADDs and DELs are under way already");
  }
  const auto device = device_for(request);
  if (device != wire::DeviceMode::veth && !devices_.netkit) {
    return fail(Code::unsupported,
                "device: this node's kernel has no netkit devices (Linux 6.7 and later with "
                "CONFIG_NETKIT=y); the pod can ask for \"veth\"");
  }
  return check_mac(request.requested_mac, device);
}

ipam::Pool* Manager::pool_of(const Ip& address) {
  const auto found =
      std::ranges::find_if(pools_, [&address](const ipam::Pool& pool) { return pool.prefix().contains(address); });
  return found == pools_.end() ? nullptr : &*found;
}

Result<std::vector<Ip>> Manager::take_addresses(const std::vector<Ip>& requested) {
  std::vector<Ip> taken;
  Rollback undo;
  undo.add([this, &taken] { free_addresses(taken); });
  for (const auto& address : requested) {
    auto* pool = pool_of(address);
    if (pool == nullptr)
      return fail(Code::invalid, "requested_ips: " + address.to_string() + " is in none of the pools");
    if (auto reserved = pool->reserve(address); !reserved) return wrap(reserved.error(), "requested_ips");
    taken.push_back(address);
  }
  if (requested.empty()) {
    for (auto& pool : pools_) {
      auto address = pool.allocate();
      if (!address) return tl::make_unexpected(address.error());
      taken.push_back(*address);
    }
  }
  undo.commit();
  return taken;
}

void Manager::free_addresses(const std::vector<Ip>& addresses) {
  for (const auto& address : addresses) {
    if (auto* pool = pool_of(address)) pool->release(address);
  }
}

std::uint32_t Manager::free_id() const {
  std::set<std::uint32_t> used;
  for (const auto& [attachment, endpoint] : endpoints_) used.insert(endpoint.id);
  std::uint32_t id = 1;
  for (const auto taken : used) {
    if (taken != id) break;
    ++id;
  }
  return id;
}

Result<wire::PrepareReply> Manager::prepare(const wire::PrepareRequest& request, const UniqueFd& netns) {
  const auto id = foreign_netns(netns);
  if (!id) return tl::make_unexpected(id.error());
  if (auto admitted = admit(request); !admitted) return tl::make_unexpected(admitted.error());
  auto addresses = take_addresses(request.requested_ips);
  if (!addresses) return tl::make_unexpected(addresses.error());

  Rollback undo;
  undo.add([this, addresses = *addresses] { free_addresses(addresses); });
  if (auto ports = check_ports(request, *addresses); !ports) return tl::make_unexpected(ports.error());
  Endpoint endpoint{
      .attachment = request.attachment,
      .state = State::preparing,
      .id = free_id(),
      .device = device_for(request),
      .host_ifname = wire::host_ifname(request.attachment),
      .addresses = *addresses,
      .pod_mac = {},
      .host_mac = {},
      .netns = *id,
      .netns_path = request.netns,
      .pod_namespace = request.pod_namespace,
      .pod_name = request.pod_name,
      .pod_uid = request.pod_uid,
      .stack_path = takes_stack(request),
      .bandwidth = keeps_limits(request) ? effective(*request.limits) : wire::Bandwidth(),
      .host_ports = serves_ports(request) ? request.port_mappings : std::vector<wire::PortMapping>(),
      .labels = {},
  };
  if (endpoint.device != wire::DeviceMode::netkit) {
    endpoint.pod_mac = request.requested_mac.value_or(Mac::derived(endpoint.host_ifname + "pod"));
    endpoint.host_mac = Mac::derived(endpoint.host_ifname + "host");
  }
  if (auto saved = store_.save(endpoint); !saved) return tl::make_unexpected(saved.error());
  auto reply = reply_of(endpoint);
  in_flight_.try_emplace(request.attachment);
  endpoints_.emplace(request.attachment, std::move(endpoint));
  undo.commit();
  return reply;
}

wire::PrepareReply Manager::reply_of(const Endpoint& endpoint) const {
  const std::uint32_t configured = options_.mtu != 0 ? options_.mtu : kDefaultMtu;
  wire::PrepareReply reply{
      .device = endpoint.device,
      .host_ifname = endpoint.host_ifname,
      .addresses = endpoint.addresses,
      .mtu = view_.pod_mtu != 0 ? view_.pod_mtu : configured,
      .gso_max_size = view_.gso_max_size,
      .gro_max_size = view_.gro_max_size,
      .headroom = view_.headroom,
      .scrub_none = true,
  };
  if (endpoint.device == wire::DeviceMode::netkit) return reply;
  reply.pod_mac = endpoint.pod_mac;
  reply.host_mac = endpoint.host_mac;
  if (std::ranges::any_of(endpoint.addresses, &Ip::is_v4)) reply.gateway4 = Ip::parse(kGateway4).value();
  if (std::ranges::any_of(endpoint.addresses, &Ip::is_v6)) reply.gateway6 = Ip::parse(kGateway6).value();
  return reply;
}

Result<void> Manager::commit(const wire::CommitRequest& request) {
  const auto found = endpoints_.find(request.attachment);
  if (found == endpoints_.end() || found->second.state != State::preparing) {
    return fail(Code::not_found, name_of(request.attachment) + " was not prepared");
  }
  Rollback undo;
  undo.add([this, &request] { abandon(request.attachment); });
  Endpoint& endpoint = found->second;
  endpoint.host_ifindex = request.host_ifindex;
  endpoint.pod_ifindex = request.pod_ifindex;
  if (auto active = activate(endpoint); !active) return wrap(active.error(), name_of(request.attachment));
  undo.commit();
  in_flight_.erase(request.attachment);
  return {};
}

Result<void> Manager::activate(Endpoint& endpoint) {
  const auto link = host_->find(endpoint.host_ifname);
  if (!link) return tl::make_unexpected(link.error());
  if (auto match = matches(*link, endpoint); !match) return match;
  // The index goes into the row before programs and map entries depend on it: a restart in between finds them by it.
  if (auto saved = store_.save(endpoint); !saved) return saved;
  if (auto attached = datapath_.attach_endpoint(device_of(endpoint)); !attached) return attached;
  if (auto configured = host_->configure(endpoint); !configured) return configured;
  Endpoint ready = endpoint;
  ready.state = State::ready;
  ready.order = last_order_ + 1;
  if (auto saved = store_.save(ready); !saved) return saved;
  ++last_order_;
  endpoint = std::move(ready);
  tell_ports(endpoint);
  return {};
}

Result<wire::CheckReply> Manager::check(const wire::Attachment& attachment) {
  wire::CheckReply reply;
  const auto found = endpoints_.find(attachment);
  if (found == endpoints_.end()) {
    reply.problem = "the agent knows nothing of " + name_of(attachment);
    return reply;
  }
  const Endpoint& endpoint = found->second;
  reply.device = endpoint.device;
  reply.host_ifname = endpoint.host_ifname;
  reply.host_ifindex = endpoint.host_ifindex;
  reply.addresses = endpoint.addresses;
  if (endpoint.state != State::ready) {
    reply.problem = name_of(attachment) + " is " + std::string(to_string(endpoint.state));
    return reply;
  }
  const auto link = host_->find(endpoint.host_ifname);
  const Result<void> there = link ? matches(*link, endpoint) : tl::make_unexpected(link.error());
  const Result<void> attached = there ? datapath_.verify_endpoint(device_of(endpoint)) : there;
  const Result<void> routed = attached ? host_->verify(endpoint) : attached;
  reply.attached = attached.has_value();
  if (!routed) reply.problem = routed.error().message;
  return reply;
}

bool Manager::addresses_left() const {
  return std::ranges::all_of(pools_, [](const ipam::Pool& pool) { return pool.taken() < pool.capacity(); });
}

std::vector<Endpoint> Manager::list() const {
  std::vector<Endpoint> all;
  for (const auto& [attachment, endpoint] : endpoints_) {
    auto& each = all.emplace_back(endpoint);
    const auto pod = pods_.find({endpoint.pod_namespace, endpoint.pod_name});
    if (pod == pods_.end()) continue;
    // One that is new under a name must not lend its labels to the one that is going.
    const auto& [uids, labels] = pod->second;
    if (uids.empty() || endpoint.pod_uid.empty() || uids.contains(endpoint.pod_uid)) each.labels = labels;
  }
  return all;
}

std::vector<std::uint32_t> Manager::host_ifindexes() const {
  std::vector<std::uint32_t> indexes;
  for (const auto& [attachment, endpoint] : endpoints_) {
    if (endpoint.host_ifindex != 0) indexes.push_back(endpoint.host_ifindex);
  }
  return indexes;
}

std::vector<std::string> Manager::netns_paths(std::uint64_t inode) const {
  std::vector<std::string> paths;
  for (const auto& [attachment, endpoint] : endpoints_) {
    if (endpoint.netns.inode == inode) paths.push_back(endpoint.netns_path);
  }
  return paths;
}

std::vector<Manager::PoolReport> Manager::pools() const {
  std::vector<PoolReport> reports;
  for (const auto& pool : pools_) {
    reports.push_back({.prefix = pool.prefix(), .capacity = pool.capacity(), .taken = pool.taken()});
  }
  return reports;
}

std::vector<std::string> Manager::take_reports() { return std::exchange(reports_, {}); }

}  // namespace netkite::endpoint
