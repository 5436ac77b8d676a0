// SPDX-License-Identifier: Apache-2.0
// Our programs, each loaded once and shared by all devices. Room-internal.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "agent/datapath/loader.hpp"
#include "agent/datapath/program_source.hpp"

namespace netkite::datapath {

// A program and the constants that it is loaded with.
struct Variant {
  ProgramKind kind = ProgramKind::from_pod;
  bool netkit = false;       // netkit's verdicts, else tcx's
  bool after_hooks = false;  // other programs stand behind it
  std::string traced = {};   // guard: the kernel's function that it watches
  auto operator<=>(const Variant&) const = default;
};

class Programs {
 public:
  // What is the same for all programs of a node.
  struct Node {
    bool peer_redirect = false;              // see Features
    std::optional<config::Overlay> overlay;  // none: there is none
    bool services = false, masquerade = false;
    bool express = false;    // services at XDP, too
    bool bandwidth = false;  // what pods send is limited
  };
  // `maps` outlives this.
  Programs(ProgramSource source, Node node, MapStore& maps) : source_(std::move(source)), node_(node), maps_(maps) {}

  // Loads on first use. The reference stays good.
  [[nodiscard]] Result<const LoadedProgram*> get(const Variant& variant);
  [[nodiscard]] bool has(std::uint32_t program_id) const;  // of a loaded one
  [[nodiscard]] const std::string& origin() const { return source_.origin; }

 private:
  ProgramSource source_;
  Node node_;
  MapStore& maps_;
  std::map<Variant, LoadedProgram> loaded_;
};

// The function's name, cut as the kernel cuts it.
[[nodiscard]] std::string program_name(ProgramKind kind);
// Whether a program in the kernel bears the name of one of ours.
[[nodiscard]] bool is_our_program(std::string_view name);

}  // namespace netkite::datapath
