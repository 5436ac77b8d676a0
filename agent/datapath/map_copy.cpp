// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/map_copy.hpp"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <vector>

#include "agent/datapath/kernel_objects.hpp"

namespace netkite::datapath {
namespace {

bool is_per_cpu(std::uint32_t type) {
  return type == BPF_MAP_TYPE_PERCPU_ARRAY || type == BPF_MAP_TYPE_PERCPU_HASH || type == BPF_MAP_TYPE_LRU_PERCPU_HASH;
}

bool is_array(std::uint32_t type) { return type == BPF_MAP_TYPE_ARRAY || type == BPF_MAP_TYPE_PERCPU_ARRAY; }

// Bytes of one value as system calls carry it: per-CPU maps give one for each possible CPU, rounded up to 8.
std::size_t value_bytes(const MapInfo& info) {
  if (!is_per_cpu(info.type)) return info.value_size;
  const auto cpus = static_cast<std::size_t>(std::max(libbpf_num_possible_cpus(), 1));
  return (std::size_t{info.value_size} + 7) / 8 * 8 * cpus;
}

}  // namespace

Result<void> copy_entries(int from_fd, int to_fd) {
  auto from = map_info(from_fd);
  auto to = map_info(to_fd);
  if (!from || !to) return tl::make_unexpected(from ? to.error() : from.error());
  if (from->type == BPF_MAP_TYPE_RINGBUF) return {};

  std::vector<std::byte> key(from->key_size);
  std::vector<std::byte> next(from->key_size);
  std::vector<std::byte> value(value_bytes(*from));
  const bool array = is_array(from->type);
  const void* previous = nullptr;
  for (std::uint32_t done = 0; bpf_map_get_next_key(from_fd, previous, next.data()) == 0; ++done) {
    if (array && done >= to->max_entries) break;  // a shorter array keeps what it has room for
    key.swap(next);
    previous = key.data();
    if (bpf_map_lookup_elem(from_fd, key.data(), value.data()) != 0) continue;  // gone meanwhile
    if (bpf_map_update_elem(to_fd, key.data(), value.data(), BPF_ANY) == 0) continue;
    if (errno == E2BIG || errno == ENOSPC) {
      return fail(Code::exhausted, "it holds more than " + std::to_string(done) + " entries now");
    }
    return fail_errno(errno, "copy entry");
  }
  return {};
}

}  // namespace netkite::datapath
