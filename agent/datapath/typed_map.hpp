// SPDX-License-Identifier: Apache-2.0
// System calls on one map, with its key and value types. Borrows the map from the store. Room-internal.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

#include "agent/datapath/map_store.hpp"

namespace netkite::datapath {

// The untyped part. A full map is Code::exhausted with its name and the option that sizes it.
class RawMap {
 public:
  RawMap() = default;
  explicit RawMap(MapHandle handle) : handle_(std::move(handle)) {}

  [[nodiscard]] const MapHandle& handle() const { return handle_; }
  [[nodiscard]] Result<bool> lookup(const void* key, void* value) const;  // false: no such key
  [[nodiscard]] Result<void> update(const void* key, const void* value) const;
  // False: the key is there, and keeps its value. (LPM tries of kernels before 6.6.66 and 6.12.5 overwrite it.)
  [[nodiscard]] Result<bool> insert(const void* key, const void* value) const;
  [[nodiscard]] Result<bool> erase(const void* key) const;  // false: no such key
  // Erases and gives what was there, in one.
  [[nodiscard]] Result<bool> take(const void* key, void* value) const;
  [[nodiscard]] bool empty() const;

  // What could not be written, by its places among the keys, and why the first was not.
  struct Refused {
    std::vector<std::uint32_t> places;
    std::optional<Error> first;
  };
  // All that can be, whatever is refused in between. It costs a system call, and one more for each that is refused.
  [[nodiscard]] Refused update_what_fits(const void* keys, const void* values, std::uint32_t count) const;
  [[nodiscard]] Result<void> erase_batch(const void* keys, std::uint32_t count) const;
  // Every entry, keys and values side by side. Not for per-CPU maps and ring buffers.
  struct Dump {
    std::vector<std::byte> keys, values;
    std::size_t count = 0;
  };
  [[nodiscard]] Result<Dump> dump() const;
  // Hash maps: about `most` entries from `place` on, which is 0 at first. Entries that stay come exactly once.
  struct Piece : Dump {
    std::optional<std::uint32_t> next;  // the place to go on from; none: that was all
  };
  [[nodiscard]] Result<Piece> piece(std::uint32_t place, std::uint32_t most) const;

 private:
  [[nodiscard]] tl::unexpected<Error> failure(int os_error, std::string_view action) const;
  MapHandle handle_;
};

template <typename Key, typename Value>
  requires std::is_trivially_copyable_v<Key> && std::is_trivially_copyable_v<Value>
class TypedMap : public RawMap {
 public:
  using Entry = std::pair<Key, Value>;
  using RawMap::RawMap;

  // Code::not_found when the store has no such map, invalid when its sizes are others.
  [[nodiscard]] static Result<TypedMap> open(const MapStore& store, std::string_view name) {
    auto handle = store.find(name);
    if (!handle) return fail(Code::not_found, "no map " + std::string(name));
    if (handle->info.key_size != sizeof(Key) || handle->info.value_size != sizeof(Value)) {
      return fail(Code::invalid, "map " + std::string(name) + " has other sizes than this agent knows");
    }
    return TypedMap(std::move(*handle));
  }

  [[nodiscard]] Result<std::optional<Value>> lookup(const Key& key) const {
    Value value{};
    return RawMap::lookup(&key, &value).map([&](bool found) { return found ? std::optional(value) : std::nullopt; });
  }
  [[nodiscard]] Result<void> update(const Key& key, const Value& value) const { return RawMap::update(&key, &value); }
  [[nodiscard]] Result<bool> insert(const Key& key, const Value& value) const { return RawMap::insert(&key, &value); }
  [[nodiscard]] Result<bool> erase(const Key& key) const { return RawMap::erase(&key); }
  [[nodiscard]] Result<std::optional<Value>> take(const Key& key) const {
    Value value{};
    return RawMap::take(&key, &value).map([&](bool found) { return found ? std::optional(value) : std::nullopt; });
  }

  // As many values as keys, in their order.
  [[nodiscard]] Refused update_what_fits(std::span<const Key> keys, std::span<const Value> values) const {
    return RawMap::update_what_fits(keys.data(), values.data(), static_cast<std::uint32_t>(keys.size()));
  }
  [[nodiscard]] Result<void> erase_all(std::span<const Key> keys) const {
    return erase_batch(keys.data(), static_cast<std::uint32_t>(keys.size()));
  }

  [[nodiscard]] Result<std::vector<Entry>> entries() const { return dump().map(entries_of); }
  // A piece's or a dump's.
  [[nodiscard]] static std::vector<Entry> entries_of(const Dump& raw) {
    std::vector<Entry> entries(raw.count);
    for (std::size_t i = 0; i < raw.count; ++i) {
      std::memcpy(&entries[i].first, raw.keys.data() + i * sizeof(Key), sizeof(Key));
      std::memcpy(&entries[i].second, raw.values.data() + i * sizeof(Value), sizeof(Value));
    }
    return entries;
  }
};

}  // namespace netkite::datapath
