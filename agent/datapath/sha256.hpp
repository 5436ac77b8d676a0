// SPDX-License-Identifier: Apache-2.0
// SHA-256 (FIPS 180-4), for the names of cached objects. Of our own because libcrypto would add 3.7 MB to the agent's
// resident memory for this alone. Room-internal.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace netkite::datapath {

class Sha256 {
 public:
  Sha256& add(std::string_view data);
  // 64 hexadecimal digits of what was added so far.
  [[nodiscard]] std::string hex() const;

 private:
  void block(const unsigned char* bytes);

  std::array<std::uint32_t, 8> state_{0x6a09e667U, 0xbb67ae85U, 0x3c6ef372U, 0xa54ff53aU,
                                      0x510e527fU, 0x9b05688cU, 0x1f83d9abU, 0x5be0cd19U};
  std::array<unsigned char, 64> buffer_{};
  std::uint64_t length_ = 0;  // bytes
};

}  // namespace netkite::datapath
