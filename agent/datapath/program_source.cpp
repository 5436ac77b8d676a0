// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/program_source.hpp"

#include <algorithm>
#include <filesystem>

#include "agent/datapath/compiler.hpp"
#include "skel/backstop.skel.h"
#include "skel/from_netdev.skel.h"
#include "skel/from_overlay.skel.h"
#include "skel/from_pod.skel.h"
#include "skel/guard.skel.h"
#include "skel/socket.skel.h"
#include "skel/stale_sockets.skel.h"
#include "skel/to_netdev.skel.h"
#include "skel/to_overlay.skel.h"
#include "skel/to_pod.skel.h"
#include "skel/xdp_prefilter.skel.h"

namespace netkite::datapath {
namespace {

struct Embedded {
  std::string_view name;
  const void* (*bytes)(size_t*);
};
constexpr std::array kEmbedded = std::to_array<Embedded>({{"from_pod", from_pod__elf_bytes},
                                                          {"to_pod", to_pod__elf_bytes},
                                                          {"from_netdev", from_netdev__elf_bytes},
                                                          {"to_netdev", to_netdev__elf_bytes},
                                                          {"xdp_prefilter", xdp_prefilter__elf_bytes},
                                                          {"backstop", backstop__elf_bytes},
                                                          {"guard", guard__elf_bytes},
                                                          {"from_overlay", from_overlay__elf_bytes},
                                                          {"to_overlay", to_overlay__elf_bytes},
                                                          {"socket", socket__elf_bytes},
                                                          {"stale_sockets", stale_sockets__elf_bytes}});

std::string_view file_of(ProgramKind kind) {
  return std::ranges::find(kSocketPrograms, kind) != kSocketPrograms.end() ? "socket" : to_string(kind);
}

ProgramSource embedded() {
  ProgramSource source;
  for (const auto& [name, bytes] : kEmbedded) {
    size_t size = 0;
    const auto* data = static_cast<const std::byte*>(bytes(&size));
    source.images.emplace(name, Image{.name = std::string(name), .bytes = {data, size}, .path = {}});
  }
  return source;
}

Result<ProgramSource> compiled(const config::Datapath& options) {
  auto compiler = Compiler::find(options);
  if (!compiler) return tl::make_unexpected(compiler.error());
  ProgramSource source;
  source.origin = "clang " + compiler->version();
  for (const auto& each : kEmbedded) {
    const std::string name(each.name);
    auto object = compiler->compile(options.source_dir + "/" + name + ".bpf.c");
    if (!object) return tl::make_unexpected(object.error());
    source.images.emplace(name, Image{.name = name, .bytes = {}, .path = std::move(*object)});
  }
  return source;
}

}  // namespace

std::string_view to_string(ProgramKind kind) {
  switch (kind) {
    case ProgramKind::from_pod:
      return "from_pod";
    case ProgramKind::to_pod:
      return "to_pod";
    case ProgramKind::from_netdev:
      return "from_netdev";
    case ProgramKind::to_netdev:
      return "to_netdev";
    case ProgramKind::xdp_prefilter:
      return "xdp_prefilter";
    case ProgramKind::backstop:
      return "backstop";
    case ProgramKind::guard:
      return "guard";
    case ProgramKind::from_overlay:
      return "from_overlay";
    case ProgramKind::to_overlay:
      return "to_overlay";
    case ProgramKind::recvmsg4:
      return "recvmsg4";
    case ProgramKind::recvmsg6:
      return "recvmsg6";
    case ProgramKind::peername4:
      return "peername4";
    case ProgramKind::peername6:
      return "peername6";
    case ProgramKind::connect4:
      return "connect4";
    case ProgramKind::connect6:
      return "connect6";
    case ProgramKind::sendmsg4:
      return "sendmsg4";
    case ProgramKind::sendmsg6:
      return "sendmsg6";
    case ProgramKind::stale_sockets:
      return "stale_sockets";
  }
  return "";
}

const Image& ProgramSource::image(ProgramKind kind) const { return images.find(file_of(kind))->second; }

Result<ProgramSource> choose_source(const config::Datapath& options) {
  if (options.compile == config::Compile::embedded) return embedded();
  if (options.compile == config::Compile::clang) return compiled(options);

  std::error_code none;
  if (!std::filesystem::is_directory(options.source_dir, none)) return embedded();
  auto source = compiled(options);
  if (source) return source;
  auto fallback = embedded();
  if (source.error().code != Code::not_found) {  // no clang at all is no problem here
    fallback.problems.push_back("compile: using the embedded programs: " + source.error().message);
  }
  return fallback;
}

}  // namespace netkite::datapath
