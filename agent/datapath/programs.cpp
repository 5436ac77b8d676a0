// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/programs.hpp"

#include <arpa/inet.h>

#include <algorithm>

namespace netkite::datapath {
namespace {

std::string function_name(ProgramKind kind) { return "nk_" + std::string(to_string(kind)); }

}  // namespace

Result<const LoadedProgram*> Programs::get(const Variant& variant) {
  if (const auto known = loaded_.find(variant); known != loaded_.end()) return &known->second;
  Wanted wanted{.function = function_name(variant.kind), .config = {}, .traced = variant.traced};
  auto& config = wanted.config;
  config.netkit = variant.netkit ? 1 : 0;
  config.after_hooks = variant.after_hooks ? 1 : 0;
  config.fast_path = 1;
  config.peer = !variant.netkit || node_.peer_redirect ? 1 : 0;  // tcx at ingress always could
  config.services = node_.services ? 1 : 0;
  config.masquerade = node_.masquerade ? 1 : 0;
  config.express = node_.express ? 1 : 0;
  config.bandwidth = node_.bandwidth ? 1 : 0;
  if (node_.overlay) {
    config.vni = node_.overlay->vni;
    config.vxlan_port = htons(static_cast<std::uint16_t>(node_.overlay->port));
  }
  auto loaded = load_ours(source_.image(variant.kind), wanted, maps_);
  if (!loaded) return tl::make_unexpected(loaded.error());
  return &loaded_.emplace(variant, std::move(*loaded)).first->second;
}

bool Programs::has(std::uint32_t program_id) const {
  return std::ranges::any_of(loaded_, [=](const auto& each) { return each.second.info.id == program_id; });
}

std::string program_name(ProgramKind kind) { return kernel_name(function_name(kind)); }

bool is_our_program(std::string_view name) {
  return std::ranges::any_of(kProgramKinds, [=](ProgramKind kind) { return program_name(kind) == name; });
}

}  // namespace netkite::datapath
