// SPDX-License-Identifier: Apache-2.0
#include "cni-plugin/removal.hpp"

#include <utility>

#include "common/netlink/link.hpp"

namespace netkite::cni {

Result<void> delete_device(netlink::Socket& host, const wire::Attachment& attachment) {
  const std::string name = wire::host_ifname(attachment);
  if (auto deleted = netlink::delete_link_early(host, name); !deleted) {
    // Never Code::unavailable: that is the agent's.
    return fail(Code::io, "delete device " + name + ": " + deleted.error().message);
  }
  return {};
}

Result<void> remove_with_agent(AgentClient& client, netlink::Socket& host, const wire::Attachment& attachment,
                               Deadline deadline) {
  const auto request = wire::to_json(wire::RemoveRequest{.attachment = attachment});
  auto begun = client.call("remove_begin", request, deadline);
  if (!begun) return tl::make_unexpected(std::move(begun.error()));
  if (auto deleted = delete_device(host, attachment); !deleted) return deleted;
  auto ended = client.call("remove_end", request, deadline);
  // From remove_begin on the agent finishes alone when we are cut off from it.
  if (!ended && ended.error().code != Code::unavailable) return tl::make_unexpected(std::move(ended.error()));
  return {};
}

Result<void> remove_by_agent(const std::string& socket, netlink::Socket& host, const wire::Attachment& attachment,
                             Deadline deadline) {
  auto client = AgentClient::connect(socket, deadline);
  if (!client) return tl::make_unexpected(std::move(client.error()));
  return remove_with_agent(*client, host, attachment, deadline);
}

}  // namespace netkite::cni
