// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/program_source.hpp"

#include <filesystem>

#include "agent/datapath/compiler.hpp"
#include "skel/backstop.skel.h"
#include "skel/from_netdev.skel.h"
#include "skel/from_overlay.skel.h"
#include "skel/from_pod.skel.h"
#include "skel/guard.skel.h"
#include "skel/to_overlay.skel.h"
#include "skel/to_pod.skel.h"
#include "skel/xdp_prefilter.skel.h"

namespace netkite::datapath {
namespace {

Image embedded_image(ProgramKind kind) {
  using Bytes = const void* (*)(size_t*);
  static constexpr std::array<Bytes, kProgramKinds.size()> kBytes = {
      &from_pod__elf_bytes, &to_pod__elf_bytes, &from_netdev__elf_bytes,  &xdp_prefilter__elf_bytes,
      &backstop__elf_bytes, &guard__elf_bytes,  &from_overlay__elf_bytes, &to_overlay__elf_bytes};
  size_t size = 0;
  const auto* data = static_cast<const std::byte*>(kBytes.at(static_cast<std::size_t>(kind))(&size));
  return {.name = std::string(to_string(kind)), .bytes = {data, size}, .path = {}};
}

ProgramSource embedded() {
  ProgramSource source;
  for (const auto kind : kProgramKinds) source.images.at(static_cast<std::size_t>(kind)) = embedded_image(kind);
  return source;
}

Result<ProgramSource> compiled(const config::Datapath& options) {
  auto compiler = Compiler::find(options);
  if (!compiler) return tl::make_unexpected(compiler.error());
  ProgramSource source;
  source.origin = "clang " + compiler->version();
  for (const auto kind : kProgramKinds) {
    const auto name = std::string(to_string(kind));
    auto object = compiler->compile(options.source_dir + "/" + name + ".bpf.c");
    if (!object) return tl::make_unexpected(object.error());
    source.images.at(static_cast<std::size_t>(kind)) = {.name = name, .bytes = {}, .path = std::move(*object)};
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
  }
  return "";
}

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
