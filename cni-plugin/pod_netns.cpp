// SPDX-License-Identifier: Apache-2.0
#include "cni-plugin/pod_netns.hpp"

#include "cni-plugin/quote.hpp"
#include "common/netlink/netns.hpp"

namespace netkite::cni {

Outcome<UniqueFd> open_pod_netns(const std::string& path) {
  auto fd = netlink::open_netns(path);
  if (!fd) return refuse(ErrorCode::environment, "CNI_NETNS is " + quote(path) + ": " + fd.error().message);
  const auto pod = netlink::identify_netns(fd->get());
  if (!pod) return refuse(ErrorCode::environment, "CNI_NETNS is " + quote(path) + ": " + pod.error().message);
  const auto host = netlink::current_netns();
  if (!host) return tl::make_unexpected(from_kernel(host.error()));
  if (*pod == *host) {
    return refuse(ErrorCode::environment, "CNI_NETNS is " + quote(path) +
                                              ": this is the host's own network namespace, "
                                              "give the container one of its own");
  }
  return std::move(*fd);
}

}  // namespace netkite::cni
