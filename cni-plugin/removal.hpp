// SPDX-License-Identifier: Apache-2.0
// Taking an attachment away with the agent's help: what DEL does, and what ADD does when it failed half-way.
// The pod's end is never touched: the host's end has a name of its own, and deleting it deletes both. So CNI_NETNS need
// not exist any more, and a path that leads to another pod's namespace by now does no harm there.
#pragma once

#include <string>

#include "cni-plugin/agent_client.hpp"
#include "common/base/result.hpp"
#include "common/netlink/socket.hpp"
#include "common/wire/agent_api.hpp"

namespace netkite::cni {

// The host's end, by the name that follows from the attachment. Gone already: success.
[[nodiscard]] Result<void> delete_device(netlink::Socket& host, const wire::Attachment& attachment);

// remove_begin, delete_device, remove_end. With Code::unavailable the agent did not take part, the device is untouched.
[[nodiscard]] Result<void> remove_with_agent(AgentClient& client, netlink::Socket& host,
                                             const wire::Attachment& attachment, Deadline deadline);

// The same over a connection of its own.
[[nodiscard]] Result<void> remove_by_agent(const std::string& socket, netlink::Socket& host,
                                           const wire::Attachment& attachment, Deadline deadline);

}  // namespace netkite::cni
