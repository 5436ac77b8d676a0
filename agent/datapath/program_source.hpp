// SPDX-License-Identifier: Apache-2.0
// Where our programs come from: the objects embedded in this binary, or `datapath.source_dir` compiled. Room-internal.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
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
  to_netdev,
  xdp_prefilter,
  backstop,
  guard,
  from_overlay,
  to_overlay,
  // At a socket; all of them are in socket.bpf.c.
  recvmsg4,
  recvmsg6,
  peername4,
  peername6,
  connect4,
  connect6,
  sendmsg4,
  sendmsg6,
  // Of the sockets that those have served.
  stale_sockets
};
// The programs of a socket; those that answer come before those that ask.
inline constexpr std::array kSocketPrograms = {ProgramKind::recvmsg4,  ProgramKind::recvmsg6, ProgramKind::peername4,
                                               ProgramKind::peername6, ProgramKind::connect4, ProgramKind::connect6,
                                               ProgramKind::sendmsg4,  ProgramKind::sendmsg6};
inline constexpr std::array kProgramKinds = {
    ProgramKind::from_pod,      ProgramKind::to_pod,       ProgramKind::from_netdev, ProgramKind::to_netdev,
    ProgramKind::xdp_prefilter, ProgramKind::backstop,     ProgramKind::guard,       ProgramKind::from_overlay,
    ProgramKind::to_overlay,    ProgramKind::recvmsg4,     ProgramKind::recvmsg6,    ProgramKind::peername4,
    ProgramKind::peername6,     ProgramKind::connect4,     ProgramKind::connect6,    ProgramKind::sendmsg4,
    ProgramKind::sendmsg6,      ProgramKind::stale_sockets};
[[nodiscard]] std::string_view to_string(ProgramKind kind);  // "from_pod", …: the function is called nk_from_pod

struct ProgramSource {
  std::string origin = "embedded";                   // or "clang 19.1.7"
  std::map<std::string, Image, std::less<>> images;  // by the source file's name
  std::vector<std::string> problems;                 // why the embedded ones stand in for compiled ones

  [[nodiscard]] const Image& image(ProgramKind kind) const;
};

// Mode "clang": an error when there is no clang or it refuses. Mode "auto": compiles where sources and clang are there,
// and falls back to the embedded programs with a problem line.
[[nodiscard]] Result<ProgramSource> choose_source(const config::Datapath& options);

}  // namespace netkite::datapath
