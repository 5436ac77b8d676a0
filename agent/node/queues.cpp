// SPDX-License-Identifier: Apache-2.0
#include "agent/node/queues.hpp"

#include <algorithm>

#include "common/base/rollback.hpp"

namespace netkite::node {
namespace {

constexpr std::uint32_t kMajor = 0xffff0000;

const netlink::Qdisc* root_of(const std::vector<netlink::Qdisc>& qdiscs, std::uint32_t ifindex) {
  const auto found = std::ranges::find_if(qdiscs, [ifindex](const netlink::Qdisc& each) {
    return each.ifindex == ifindex && each.parent == netlink::kQdiscRoot;
  });
  return found == qdiscs.end() ? nullptr : &*found;
}

std::vector<netlink::Qdisc> leaves_of(const std::vector<netlink::Qdisc>& qdiscs, const netlink::Qdisc& root) {
  std::vector<netlink::Qdisc> leaves;
  std::ranges::copy_if(qdiscs, std::back_inserter(leaves), [&root](const netlink::Qdisc& each) {
    return each.ifindex == root.ifindex && each.parent != netlink::kQdiscRoot && (each.parent & ~kMajor) != 0 &&
           (each.parent & kMajor) == root.handle;
  });
  return leaves;
}

bool is_of_uplink(const netlink::Qdisc& qdisc) {
  return qdisc.parent == netlink::kQdiscRoot && qdisc.handle == netlink::kQdiscHandle &&
         (qdisc.kind == "fq" || qdisc.kind == "mq");
}

Result<void> set_queues(netlink::Socket& socket, const std::vector<netlink::Qdisc>& qdiscs, std::uint32_t ifindex) {
  if (plan_queues(qdiscs, ifindex) == QueuePlan::fq) return netlink::set_fq(socket, ifindex, netlink::kQdiscRoot);
  // A card stops for a moment while its queues are changed: not in vain.
  if (auto there = netlink::probe_fq(socket, ifindex); !there) return there;
  if (auto made = netlink::set_mq(socket, ifindex); !made) return made;
  Rollback undo;
  undo.add([&socket, ifindex] { std::ignore = netlink::delete_our_qdisc(socket, ifindex); });
  for (const auto& leaf : leaves_of(qdiscs, *root_of(qdiscs, ifindex))) {
    const auto queue = netlink::kQdiscHandle | (leaf.parent & ~kMajor);
    if (auto made = netlink::set_fq(socket, ifindex, queue); !made) return made;
  }
  undo.commit();
  return {};
}

Result<void> remove_others(netlink::Socket& socket, const std::vector<netlink::Qdisc>& qdiscs,
                           const std::vector<Uplink>& uplinks) {
  Result<void> first;
  for (const auto& qdisc : qdiscs) {
    const bool wanted = std::ranges::find(uplinks, qdisc.ifindex, &Uplink::ifindex) != uplinks.end();
    if (wanted || !is_of_uplink(qdisc)) continue;
    auto removed = netlink::delete_our_qdisc(socket, qdisc.ifindex);
    if (first && !removed) first = std::move(removed);
  }
  return first;
}

std::string not_delayed(const Uplink& uplink, const std::string& why) {
  return "bandwidth: what pods send too fast is dropped and not delayed on " + uplink.name + ": " + why;
}

}  // namespace

QueuePlan plan_queues(const std::vector<netlink::Qdisc>& qdiscs, std::uint32_t ifindex) {
  const auto* root = root_of(qdiscs, ifindex);
  if (root == nullptr) return QueuePlan::fq;
  // The kernel's default may be fq as well, but too short a one: its flows take 100 packets.
  const bool has_queues = root->kind == "mq";
  if (root->handle == 0) return has_queues ? QueuePlan::mq : QueuePlan::fq;
  const auto is_fq = [](const netlink::Qdisc& qdisc) { return qdisc.kind == "fq"; };
  const auto leaves = leaves_of(qdiscs, *root);
  if (is_fq(*root) || (has_queues && !leaves.empty() && std::ranges::all_of(leaves, is_fq))) return QueuePlan::none;
  if (root->handle != netlink::kQdiscHandle) return QueuePlan::foreign;
  return has_queues ? QueuePlan::mq : QueuePlan::fq;
}

std::vector<std::string> apply_queues(const std::vector<Uplink>& uplinks) {
  auto socket = netlink::Socket::open();
  if (!socket) return {"bandwidth: " + socket.error().message};
  const auto qdiscs = netlink::list_qdiscs(*socket);
  if (!qdiscs) return {"bandwidth: " + qdiscs.error().message};
  std::vector<std::string> problems;
  if (auto removed = remove_others(*socket, *qdiscs, uplinks); !removed) {
    problems.push_back("bandwidth: " + removed.error().message);
  }
  for (const auto& uplink : uplinks) {
    const auto plan = plan_queues(*qdiscs, uplink.ifindex);
    if (plan == QueuePlan::none) continue;
    if (plan == QueuePlan::foreign) {
      problems.push_back(not_delayed(uplink, "its queueing discipline " + root_of(*qdiscs, uplink.ifindex)->kind +
                                                 " was set by somebody; make it fq or delete it"));
    } else if (auto set = set_queues(*socket, *qdiscs, uplink.ifindex); !set) {
      problems.push_back(not_delayed(uplink, set.error().message));
    }
  }
  return problems;
}

Result<void> remove_queues() {
  auto socket = netlink::Socket::open();
  if (!socket) return tl::make_unexpected(socket.error());
  const auto qdiscs = netlink::list_qdiscs(*socket);
  if (!qdiscs) return tl::make_unexpected(qdiscs.error());
  return remove_others(*socket, *qdiscs, {});
}

}  // namespace netkite::node
