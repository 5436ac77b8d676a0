// SPDX-License-Identifier: Apache-2.0
// Where our programs come from: the objects embedded in this binary, or `datapath.source_dir` compiled. Room-internal.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "agent/config/options.hpp"
#include "agent/datapath/loader.hpp"

namespace netkite::datapath {

enum class ProgramKind : std::uint8_t {
  from_pod,
  to_pod,
  from_netdev,
  xdp_prefilter,
  backstop,
  guard,
  from_overlay,
  to_overlay
};
inline constexpr std::array kProgramKinds = {
    ProgramKind::from_pod, ProgramKind::to_pod, ProgramKind::from_netdev,  ProgramKind::xdp_prefilter,
    ProgramKind::backstop, ProgramKind::guard,  ProgramKind::from_overlay, ProgramKind::to_overlay};
[[nodiscard]] std::string_view to_string(ProgramKind kind);  // "from_pod", …: the source file's name

struct ProgramSource {
  std::string origin = "embedded";  // or "clang 19.1.7"
  std::array<Image, kProgramKinds.size()> images;
  std::vector<std::string> problems;  // why the embedded ones stand in for compiled ones

  [[nodiscard]] const Image& image(ProgramKind kind) const { return images.at(static_cast<std::size_t>(kind)); }
};

// Mode "clang": an error when there is no clang or it refuses. Mode "auto": compiles where sources and clang are there,
// and falls back to the embedded programs with a problem line.
[[nodiscard]] Result<ProgramSource> choose_source(const config::Datapath& options);

}  // namespace netkite::datapath
