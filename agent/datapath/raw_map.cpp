// SPDX-License-Identifier: Apache-2.0
#include <bpf/bpf.h>

#include <algorithm>
#include <cerrno>

#include "agent/datapath/typed_map.hpp"

namespace netkite::datapath {

tl::unexpected<Error> RawMap::failure(int os_error, std::string_view action) const {
  const auto& info = handle_.info;
  if (os_error == E2BIG || os_error == ENOSPC || os_error == ENOMEM) {
    return tl::make_unexpected(Error{.code = Code::exhausted,
                                     .os_error = os_error,
                                     .message = "map " + info.name +
                                                (os_error == ENOMEM ? " gets no memory (" : " is full (") +
                                                std::to_string(info.max_entries) + " entries" +
                                                (handle_.option.empty() ? ")" : "): raise " + handle_.option)});
  }
  return fail_errno(os_error, std::string(action) + " map " + info.name);
}

Result<bool> RawMap::lookup(const void* key, void* value) const {
  if (bpf_map_lookup_elem(handle_.fd, key, value) == 0) return true;
  if (errno == ENOENT) return false;
  return failure(errno, "read");
}

Result<void> RawMap::update(const void* key, const void* value) const {
  if (bpf_map_update_elem(handle_.fd, key, value, BPF_ANY) != 0) return failure(errno, "write");
  return {};
}

Result<bool> RawMap::insert(const void* key, const void* value) const {
  if (bpf_map_update_elem(handle_.fd, key, value, BPF_NOEXIST) == 0) return true;
  if (errno == EEXIST) return false;
  return failure(errno, "write");
}

Result<bool> RawMap::erase(const void* key) const {
  if (bpf_map_delete_elem(handle_.fd, key) == 0) return true;
  if (errno == ENOENT) return false;
  return failure(errno, "erase from");
}

Result<bool> RawMap::take(const void* key, void* value) const {
  if (bpf_map_lookup_and_delete_elem(handle_.fd, key, value) == 0) return true;
  if (errno == ENOENT) return false;
  return failure(errno, "take from");
}

bool RawMap::empty() const {
  std::vector<std::byte> key(handle_.info.key_size);
  return bpf_map_get_next_key(handle_.fd, nullptr, key.data()) != 0;
}

RawMap::Refused RawMap::update_what_fits(const void* keys, const void* values, std::uint32_t count) const {
  const auto* key = static_cast<const std::byte*>(keys);
  const auto* value = static_cast<const std::byte*>(values);
  const auto& info = handle_.info;
  Refused refused;
  for (std::uint32_t done = 0; done < count; ++done) {
    std::uint32_t written = count - done;
    if (bpf_map_update_batch(handle_.fd, key + std::size_t{done} * info.key_size,
                             value + std::size_t{done} * info.value_size, &written, nullptr) == 0) {
      break;
    }
    if (!refused.first) refused.first = failure(errno, "write").value();
    // A call that the kernel does not begin with leaves the number as it was.
    if (written < count - done) done += written;
    refused.places.push_back(done);
  }
  return refused;
}

Result<void> RawMap::erase_batch(const void* keys, std::uint32_t count) const {
  if (count == 0 || bpf_map_delete_batch(handle_.fd, keys, &count, nullptr) == 0) return {};
  return failure(errno, "erase from");
}

Result<RawMap::Dump> RawMap::dump() const {
  const auto& info = handle_.info;
  std::uint32_t chunk = std::clamp<std::uint32_t>(info.max_entries, 1, 4096);
  std::vector<std::byte> cursor(std::max<std::size_t>(info.key_size, sizeof(std::uint64_t)));
  Dump dump;
  bool first = true;
  while (true) {
    dump.keys.resize((dump.count + chunk) * info.key_size);
    dump.values.resize((dump.count + chunk) * info.value_size);
    std::uint32_t count = chunk;
    const int status = bpf_map_lookup_batch(handle_.fd, first ? nullptr : cursor.data(), cursor.data(),
                                            dump.keys.data() + dump.count * info.key_size,
                                            dump.values.data() + dump.count * info.value_size, &count, nullptr);
    const int problem = status == 0 ? 0 : errno;
    if (problem == ENOSPC) {  // a hash bucket holds more than a chunk
      chunk *= 2;
      continue;
    }
    if (problem != 0 && problem != ENOENT) return failure(problem, "read");
    dump.count += count;
    first = false;
    if (problem == ENOENT) break;  // that was all
  }
  dump.keys.resize(dump.count * info.key_size);
  dump.values.resize(dump.count * info.value_size);
  return dump;
}

// The kernel goes by whole buckets, and `place` is the number of one.
Result<RawMap::Piece> RawMap::piece(std::uint32_t place, std::uint32_t most) const {
  const auto& info = handle_.info;
  Piece piece;
  for (std::uint32_t room = most;; room *= 2) {
    piece.keys.resize(std::size_t{room} * info.key_size);
    piece.values.resize(std::size_t{room} * info.value_size);
    std::uint32_t from = place;
    std::uint32_t next = 0;
    std::uint32_t count = room;
    const int status =
        bpf_map_lookup_batch(handle_.fd, &from, &next, piece.keys.data(), piece.values.data(), &count, nullptr);
    const int problem = status == 0 ? 0 : errno;
    if (problem == ENOSPC) continue;  // a bucket holds more
    if (problem != 0 && problem != ENOENT) return failure(problem, "read");
    piece.count = count;
    if (problem == 0) piece.next = next;
    return piece;
  }
}

}  // namespace netkite::datapath
