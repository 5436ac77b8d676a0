// SPDX-License-Identifier: Apache-2.0
#include "agent/ipam/pool.hpp"

namespace netkite::ipam {
namespace {

// Addresses that every one of the pool's users may have: offsets `first` to `last`.
struct Usable {
  std::uint64_t first, last;
};

Usable usable(const Cidr& prefix) {
  const std::uint64_t last = prefix.size() - 1;
  const unsigned free_bits = prefix.address().width() - prefix.length();
  if (free_bits <= 1) return {0, last};
  return {1, prefix.family() == Family::v4 ? last - 1 : last};
}

}  // namespace

Pool::Pool(const Cidr& prefix) : prefix_(prefix), next_(usable(prefix).first) {}

std::uint64_t Pool::capacity() const {
  const auto [first, last] = usable(prefix_);
  return last - first + 1;
}

Result<Ip> Pool::allocate() {
  const auto [first, last] = usable(prefix_);
  if (taken_.size() >= capacity()) {
    return fail(Code::exhausted,
                "pool " + prefix_.to_string() + ": all " + std::to_string(capacity()) + " addresses are taken");
  }
  std::uint64_t offset = next_;
  for (auto taken = taken_.lower_bound(offset);; ++taken) {
    if (offset > last) {
      offset = first;
      taken = taken_.begin();
    }
    if (taken == taken_.end() || *taken != offset) break;
    ++offset;
  }
  taken_.insert(offset);
  next_ = offset == last ? first : offset + 1;
  return prefix_.at(offset);
}

Result<void> Pool::reserve(const Ip& address) {
  const auto [first, last] = usable(prefix_);
  if (!prefix_.contains(address)) {
    return fail(Code::invalid, address.to_string() + " is not in the pool " + prefix_.to_string());
  }
  const std::uint64_t offset = prefix_.offset_of(address);
  // A pool wider than 2^63 addresses hands out only those; `at` tells whether the offset was cut short.
  if (offset < first || offset > last || prefix_.at(offset) != address) {
    return fail(Code::invalid, address.to_string() + " is never handed out from the pool " + prefix_.to_string());
  }
  if (!taken_.insert(offset).second) return fail(Code::exists, address.to_string() + " is taken");
  return {};
}

void Pool::release(const Ip& address) {
  if (is_taken(address)) taken_.erase(prefix_.offset_of(address));
}

bool Pool::is_taken(const Ip& address) const {
  if (!prefix_.contains(address)) return false;
  const std::uint64_t offset = prefix_.offset_of(address);
  return offset < prefix_.size() && taken_.contains(offset) && prefix_.at(offset) == address;
}

}  // namespace netkite::ipam
