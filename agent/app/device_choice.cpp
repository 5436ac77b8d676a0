// SPDX-License-Identifier: Apache-2.0
#include "agent/app/device_choice.hpp"

namespace netkite::app {

Result<wire::DeviceMode> choose_device(config::Device wanted, const datapath::Features& features) {
  if (!features.untried.empty()) {
    return fail(Code::denied, features.untried + ": the agent needs CAP_NET_ADMIN and CAP_SYS_ADMIN");
  }
  if (!features.tcx) {
    return fail(Code::unsupported,
                "this kernel has no tcx links (Linux 6.6 and later with CONFIG_NET_INGRESS and CONFIG_NET_EGRESS): the "
                "agent cannot run on it; there is no alternative");
  }
  switch (wanted) {
    case config::Device::veth:
      return wire::DeviceMode::veth;
    case config::Device::automatic:
      return features.netkit ? wire::DeviceMode::netkit : wire::DeviceMode::veth;
    case config::Device::netkit:
    case config::Device::netkit_l2:
      break;
  }
  if (!features.netkit) {
    return fail(Code::unsupported,
                "device: this kernel has no netkit devices (Linux 6.7 and later with CONFIG_NETKIT=y); set device to "
                "\"veth\" or \"auto\"");
  }
  const bool l2 = wanted == config::Device::netkit_l2;
  return l2 ? wire::DeviceMode::netkit_l2 : wire::DeviceMode::netkit;
}

}  // namespace netkite::app
