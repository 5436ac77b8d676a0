// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/loader.hpp"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <string_view>

#include "agent/datapath/libbpf_log.hpp"
#include "agent/datapath/map_names.hpp"

namespace netkite::datapath {
namespace {

using Object = std::unique_ptr<bpf_object, decltype(&bpf_object__close)>;

Result<Object> open_object(const Image& image, const char* map_folder) {
  capture_libbpf_log();
  LIBBPF_OPTS(bpf_object_open_opts, options, .object_name = image.name.c_str(), .pin_root_path = map_folder);
  bpf_object* raw = image.bytes.empty() ? bpf_object__open_file(image.path.c_str(), &options)
                                        : bpf_object__open_mem(image.bytes.data(), image.bytes.size(), &options);
  if (raw == nullptr) return fail_libbpf(errno, "open BPF object " + image.name);
  return Object(raw, &bpf_object__close);
}

MapInfo declaration(const bpf_map* map) {
  return {.name = bpf_map__name(map),
          .type = static_cast<std::uint32_t>(bpf_map__type(map)),
          .key_size = bpf_map__key_size(map),
          .value_size = bpf_map__value_size(map),
          .max_entries = bpf_map__max_entries(map),
          .flags = bpf_map__map_flags(map)};
}

Result<void> reuse(bpf_map* map, int fd) {
  if (const int status = bpf_map__reuse_fd(map, fd); status != 0) {
    return fail_libbpf(-status, std::string("use map ") + bpf_map__name(map));
  }
  return {};
}

Result<void> set_constants(bpf_map* map, const nk_config& config) {
  if (!std::string_view(bpf_map__name(map)).ends_with(".rodata")) return {};
  std::size_t size = 0;
  void* value = bpf_map__initial_value(map, &size);
  if (value == nullptr || size != sizeof(config)) {
    return fail(Code::invalid, "nk_config must be the only constant of the object");
  }
  std::memcpy(value, &config, sizeof(config));
  return {};
}

Result<LoadedProgram> load(const Image& image, bpf_object* object, const bpf_program* program) {
  if (const int status = bpf_object__load(object); status != 0) return fail_libbpf(-status, "load " + image.name);
  LoadedProgram loaded{.fd = UniqueFd(::fcntl(bpf_program__fd(program), F_DUPFD_CLOEXEC, 0)), .info = {}};
  if (!loaded.fd.valid()) return fail_errno(errno, "load " + image.name);
  auto info = program_info(loaded.fd.get());
  if (!info) return wrap(info.error(), image.name);
  loaded.info = std::move(*info);
  return loaded;
}

std::string program_names(const bpf_object* object) {
  std::string names;
  bpf_program* each = nullptr;
  bpf_object__for_each_program(each, object) names += std::string(names.empty() ? "" : ", ") + bpf_program__name(each);
  return names;
}

// What the program does not get to with its constants: the verifier takes those branches away, and it needs no map.
bool is_unused(const bpf_map* map, const nk_config& config) {
  const auto is_of = [map](const auto& names) { return std::ranges::find(names, bpf_map__name(map)) != names.end(); };
  if (is_of(kServiceMaps)) return config.services == 0;
  if (is_of(kMasqueradeMaps)) return config.masquerade == 0;
  if (is_of(kBandwidthMaps)) return config.bandwidth == 0;
  return is_of(kConnectionMaps) && config.services == 0 && config.masquerade == 0;
}

Result<void> leave_out(bpf_map* map) {
  if (const int status = bpf_map__set_autocreate(map, false); status != 0) {
    return fail_libbpf(-status, std::string("leave out map ") + bpf_map__name(map));
  }
  return {};
}

// The others need not even pass the verifier.
void load_only(bpf_object* object, const bpf_program* chosen) {
  bpf_program* each = nullptr;
  bpf_object__for_each_program(each, object) bpf_program__set_autoload(each, each == chosen);
}

Result<bpf_program*> choose_program(const Image& image, bpf_object* object, const std::string& wanted) {
  bpf_program* chosen = nullptr;
  bpf_program* each = nullptr;
  unsigned count = 0;
  bpf_object__for_each_program(each, object) {
    ++count;
    if (wanted.empty() || wanted == bpf_program__name(each)) chosen = each;
  }
  if (chosen == nullptr || (wanted.empty() && count > 1)) {
    return fail(Code::invalid,
                wanted.empty()
                    ? image.name + " has " + std::to_string(count) + " programs, name one: " + program_names(object)
                    : image.name + " has no program " + wanted + ": " + program_names(object));
  }
  load_only(object, chosen);
  if (bpf_program__type(chosen) != BPF_PROG_TYPE_SCHED_CLS) {
    return fail(Code::invalid,
                image.name + ": program " + bpf_program__name(chosen) + " is no tc program: use SEC(\"tc\")");
  }
  return chosen;
}

}  // namespace

Result<LoadedProgram> load_ours(const Image& image, const Wanted& wanted, MapStore& maps) {
  auto object = open_object(image, nullptr);
  if (!object) return tl::make_unexpected(object.error());
  bpf_map* map = nullptr;
  bpf_object__for_each_map(map, object->get()) {
    Result<void> done;
    if (bpf_map__is_internal(map)) {
      done = set_constants(map, wanted.config);
    } else if (is_unused(map, wanted.config)) {
      done = leave_out(map);
    } else {
      done = maps.open(declaration(map)).and_then([map](const MapHandle& handle) { return reuse(map, handle.fd); });
    }
    if (!done) return wrap(done.error(), image.name);
  }
  bpf_program* program = bpf_object__find_program_by_name(object->get(), wanted.function.c_str());
  if (program == nullptr) return fail(Code::invalid, image.name + " has no program " + wanted.function);
  load_only(object->get(), program);
  if (!wanted.traced.empty()) {
    if (const int status = bpf_program__set_attach_target(program, 0, wanted.traced.c_str()); status != 0) {
      return fail_libbpf(-status, "find " + wanted.traced + " in the kernel's BTF");
    }
  }
  return load(image, object->get(), program);
}

Result<LoadedProgram> load_users(const Image& image, const std::string& program, const std::string& map_folder,
                                 MapStore& maps) {
  auto object = open_object(image, map_folder.c_str());
  if (!object) return tl::make_unexpected(object.error());
  bpf_map* map = nullptr;
  bpf_object__for_each_map(map, object->get()) {
    const auto shared = maps.find(bpf_map__name(map));
    if (bpf_map__is_internal(map) || !shared || !shared->info.same_layout(declaration(map))) continue;
    if (auto done = reuse(map, shared->fd); !done) return wrap(done.error(), image.name);
  }
  auto chosen = choose_program(image, object->get(), program);
  if (!chosen) return tl::make_unexpected(chosen.error());
  return load(image, object->get(), *chosen);
}

}  // namespace netkite::datapath
