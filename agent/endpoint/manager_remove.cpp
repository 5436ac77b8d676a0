// SPDX-License-Identifier: Apache-2.0
// Removal: DEL in two phases, the end of an unfinished ADD, garbage collection. An address is free only after the
// device that carried it is gone.
#include <algorithm>

#include "agent/endpoint/manager.hpp"

namespace netkite::endpoint {

Result<void> Manager::dismantle(const Endpoint& endpoint) {
  const auto detached = datapath_.detach_endpoint(device_of(endpoint));
  const auto deleted = host_->remove(endpoint.host_ifname);
  return deleted ? detached : deleted;
}

void Manager::forget(Entry entry) {
  const auto& [attachment, endpoint] = *entry;
  if (auto removed = store_.remove(endpoint.host_ifname); !removed) report(removed.error().message);
  free_addresses(endpoint.addresses);
  in_flight_.erase(attachment);
  endpoints_.erase(entry);
  ends_listener_();
}

Result<void> Manager::remove(Entry entry) {
  Endpoint& endpoint = entry->second;
  const datapath::ExpediteRcu expedite;
  endpoint.state = State::removing;
  tell_ports(endpoint);
  // A row that cannot be written must not keep a pod from going: on a full file system the old one stands.
  if (auto saved = store_.save(endpoint); !saved) report(saved.error().message);
  if (auto gone = dismantle(endpoint); !gone) {
    in_flight_.erase(endpoint.attachment);
    return wrap(gone.error(), "removing " + endpoint.host_ifname);
  }
  forget(entry);
  return {};
}

void Manager::abandon(const wire::Attachment& attachment) {
  const auto found = endpoints_.find(attachment);
  if (found == endpoints_.end() || found->second.state != State::preparing) return;
  if (auto removed = remove(found); !removed) report(removed.error().message);
}

Result<wire::RemoveBeginReply> Manager::remove_begin(const wire::RemoveRequest& request) {
  const auto found = endpoints_.find(request.attachment);
  if (found == endpoints_.end()) return wire::RemoveBeginReply{};
  Endpoint& endpoint = found->second;
  in_flight_.try_emplace(request.attachment);
  endpoint.state = State::removing;
  tell_ports(endpoint);
  if (auto saved = store_.save(endpoint); !saved) report(saved.error().message);
  if (auto detached = datapath_.detach_endpoint(device_of(endpoint)); !detached) {
    in_flight_.erase(request.attachment);
    return wrap(detached.error(), "detaching " + endpoint.host_ifname);
  }
  return wire::RemoveBeginReply{.known = true, .netns_inode = endpoint.netns.inode};
}

Result<void> Manager::remove_end(const wire::RemoveRequest& request) {
  const auto found = endpoints_.find(request.attachment);
  if (found == endpoints_.end()) return {};
  const bool begun = found->second.state == State::removing && in_flight_.contains(request.attachment);
  if (!begun) return remove(found);
  // Detached already. The plugin has deleted the device, unless it died before.
  if (auto deleted = host_->remove(found->second.host_ifname); !deleted) {
    in_flight_.erase(request.attachment);
    return wrap(deleted.error(), "removing " + found->second.host_ifname);
  }
  forget(found);
  return {};
}

Result<std::vector<wire::Attachment>> Manager::gc(const wire::GcRequest& request) {
  std::vector<wire::Attachment> removed;
  std::string errors;
  for (auto entry = endpoints_.begin(); entry != endpoints_.end();) {
    const auto current = entry++;
    const auto& attachment = current->first;
    if (attachment.network != request.network || in_flight_.contains(attachment)) continue;
    const bool valid = std::ranges::any_of(request.valid, [&attachment](const wire::Attachment& other) {
      return other.container_id == attachment.container_id && other.ifname == attachment.ifname;
    });
    if (valid) continue;
    const auto copy = attachment;
    if (auto gone = remove(current)) {
      removed.push_back(copy);
    } else {
      errors += (errors.empty() ? "" : "; ") + gone.error().message;
    }
  }
  if (!errors.empty()) return fail(Code::io, "gc: " + errors);
  return removed;
}

}  // namespace netkite::endpoint
