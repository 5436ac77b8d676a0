// SPDX-License-Identifier: Apache-2.0
// Endpoints: a pod's addresses, device and programs, from prepare to removal, and across restarts of the agent.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "agent/config/options.hpp"
#include "agent/datapath/datapath.hpp"
#include "agent/endpoint/endpoint.hpp"
#include "agent/endpoint/host_link.hpp"
#include "agent/endpoint/store.hpp"
#include "agent/ipam/pool.hpp"
#include "agent/node/node.hpp"
#include "common/base/result.hpp"
#include "common/base/unique_fd.hpp"
#include "common/wire/agent_api.hpp"

namespace netkite::endpoint {

// What pods of this node can get.
struct Devices {
  wire::DeviceMode usual = wire::DeviceMode::netkit;
  bool netkit = true;  // the kernel has such devices
};

class Manager {
 public:
  // `datapath` outlives the manager. Every state change is written to <run_dir>/endpoints before it takes effect.
  Manager(const config::Options& options, Devices devices, datapath::Datapath& datapath);
  // With a stand-in for the kernel's side of the host ends.
  Manager(const config::Options& options, Devices devices, datapath::Datapath& datapath,
          std::unique_ptr<HostLink> host);
  ~Manager();

  // Reads the ledger, compares it with the kernel: adopts endpoints whose device lives (attaching again), removes
  // half-made ones and those whose device is gone, removes devices of ours that have no row, and works off the notes of
  // DELs made while the agent was away.
  [[nodiscard]] Result<void> restore();
  // The notes alone: deferred-del/*.json beside the socket, one attachment each. Once more after the socket is open,
  // for the DELs that came between, and now and then, for those that were turned away.
  void work_off_notes();
  // One line for each thing that went wrong or was put right where no caller could be told. Empties the list.
  [[nodiscard]] std::vector<std::string> take_reports();

  // The two phases of ADD. `netns` must be a network namespace and not the agent's own. Addresses that are asked for
  // are all that the pod gets; else it gets one of each pool. While an ADD or DEL is under way grace periods are
  // expedited. exists: the attachment is ready; unavailable: another ADD or DEL of it is under way; exhausted: pool or
  // bound full.
  [[nodiscard]] Result<wire::PrepareReply> prepare(const wire::PrepareRequest& request, const UniqueFd& netns);
  // A failure leaves nothing behind: it removes what prepare made as well.
  [[nodiscard]] Result<void> commit(const wire::CommitRequest& request);
  // The caller of prepare went away before commit: device, addresses and ledger row are removed.
  void abandon(const wire::Attachment& attachment);

  [[nodiscard]] Result<wire::RemoveBeginReply> remove_begin(const wire::RemoveRequest& request);
  [[nodiscard]] Result<void> remove_end(const wire::RemoveRequest& request);  // deletes the device if it is still there

  [[nodiscard]] Result<wire::CheckReply> check(const wire::Attachment& attachment);
  // The removed ones. ADDs and DELs under way are left alone. Errors are gathered: the rest is removed all the same.
  [[nodiscard]] Result<std::vector<wire::Attachment>> gc(const wire::GcRequest& request);
  [[nodiscard]] bool addresses_left() const;

  // The prefixes from which pods get their addresses from now on, one of each. unavailable: pods hold addresses of a
  // pool that would go, and nothing has changed.
  [[nodiscard]] Result<void> set_pools(const std::vector<Cidr>& prefixes);
  // While `reason` is not empty ADD answers with it: unavailable, try again.
  void suspend(std::string reason) { suspended_ = std::move(reason); }

  // What the cluster says of a pod, before or after its ADD.
  struct PodKey {
    std::string space, name;
    auto operator<=>(const PodKey&) const = default;
  };
  struct PodFacts {
    std::set<std::string> uids;  // as the runtime may call it; none: whatever it does
    Labels labels;
  };
  void set_pod(PodKey key, PodFacts facts) { pods_.insert_or_assign(std::move(key), std::move(facts)); }
  void forget_pod(const PodKey& key) { pods_.erase(key); }

  // Who is told of each pod that has ports of the node: now and once it is ready, and when it is not any more.
  using PortsListener = std::function<void(const Endpoint&)>;
  void follow_host_ports(PortsListener listener);

  // Called after each pod's end.
  void follow_ends(std::function<void()> listener) { ends_listener_ = std::move(listener); }

  void set_view(const node::View& view) { view_ = view; }  // MTU and GSO sizes for new pods
  [[nodiscard]] std::vector<Endpoint> list() const;
  [[nodiscard]] std::size_t size() const { return endpoints_.size(); }
  [[nodiscard]] std::vector<std::uint32_t> host_ifindexes() const;
  // Where a network namespace with this inode may be; empty: no pod of ours is there. The kernel gives inodes again, so
  // one may be that of a pod that has gone without a DEL.
  [[nodiscard]] std::vector<std::string> netns_paths(std::uint64_t inode) const;
  struct PoolReport {
    Cidr prefix;
    std::uint64_t capacity = 0, taken = 0;
  };
  [[nodiscard]] std::vector<PoolReport> pools() const;

 private:
  using Entry = std::map<wire::Attachment, Endpoint>::iterator;

  [[nodiscard]] wire::DeviceMode device_for(const wire::PrepareRequest& request) const;
  [[nodiscard]] Result<void> admit(const wire::PrepareRequest& request) const;
  [[nodiscard]] bool takes_stack(const wire::PrepareRequest& request) const;
  [[nodiscard]] bool keeps_limits(const wire::PrepareRequest& request) const;
  [[nodiscard]] bool serves_ports(const wire::PrepareRequest& request) const;
  [[nodiscard]] Result<void> check_ports(const wire::PrepareRequest& request, const std::vector<Ip>& addresses);
  void tell_ports(const Endpoint& endpoint) const;
  [[nodiscard]] Result<std::vector<Ip>> take_addresses(const std::vector<Ip>& requested);
  void free_addresses(const std::vector<Ip>& addresses);
  [[nodiscard]] ipam::Pool* pool_of(const Ip& address);
  [[nodiscard]] std::uint32_t free_id() const;
  [[nodiscard]] wire::PrepareReply reply_of(const Endpoint& endpoint) const;
  [[nodiscard]] Result<void> activate(Endpoint& endpoint);

  [[nodiscard]] Result<void> dismantle(const Endpoint& endpoint);
  void forget(Entry entry);
  [[nodiscard]] Result<void> remove(Entry entry);

  void adopt(Endpoint endpoint, const std::map<std::string, netlink::Link>& links);
  void remove_orphans(const std::map<std::string, netlink::Link>& links);  // those left when rows have found theirs
  void report(std::string line) { reports_.push_back(std::move(line)); }

  config::Options options_;
  Devices devices_;
  datapath::Datapath& datapath_;
  std::unique_ptr<HostLink> host_;
  Store store_;
  std::vector<ipam::Pool> pools_;
  std::map<wire::Attachment, Endpoint> endpoints_;
  std::map<PodKey, PodFacts> pods_;
  std::map<wire::Attachment, datapath::ExpediteRcu> in_flight_;  // ADDs and DELs between their two phases
  node::View view_;
  std::string suspended_;
  std::uint64_t last_order_ = 0;  // of an endpoint
  PortsListener ports_listener_;
  std::function<void()> ends_listener_ = [] {};
  std::vector<std::string> reports_;
};

}  // namespace netkite::endpoint
