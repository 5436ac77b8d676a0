// SPDX-License-Identifier: Apache-2.0
// From a BPF object (embedded, compiled at run time, or a user's) to a program in the kernel. Room-internal.
#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "agent/datapath/kernel_objects.hpp"
#include "agent/datapath/map_store.hpp"
#include "bpf/abi/netkite.h"

namespace netkite::datapath {

// An object's bytes or file.
struct Image {
  std::string name;                  // for messages
  std::span<const std::byte> bytes;  // empty: read `path`
  std::string path;
};

struct LoadedProgram {
  UniqueFd fd;
  ProgramInfo info;
};

// One of our programs.
struct Wanted {
  std::string function;  // its name in the object
  nk_config config;
  std::string traced;  // the kernel's function that a tracing program is for, else empty
};
// Its constants set, its maps those of the store. The object's memory is freed before returning.
[[nodiscard]] Result<LoadedProgram> load_ours(const Image& image, const Wanted& wanted, MapStore& maps);

// A user's tc program. `program` empty: the object's only one. Its maps are its own, except those that have the name
// and layout of one of ours. Maps that it declares as pinned are pinned below `map_folder`.
[[nodiscard]] Result<LoadedProgram> load_users(const Image& image, const std::string& program,
                                               const std::string& map_folder, MapStore& maps);

}  // namespace netkite::datapath
