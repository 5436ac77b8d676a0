// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/sha256.hpp"

#include <algorithm>
#include <bit>

namespace netkite::datapath {
namespace {

// The first 32 bits of the fractional parts of the cube roots of the first 64 primes.
constexpr std::array<std::uint32_t, 64> kRound = {
    0x428a2f98U, 0x71374491U, 0xb5c0fbcfU, 0xe9b5dba5U, 0x3956c25bU, 0x59f111f1U, 0x923f82a4U, 0xab1c5ed5U,
    0xd807aa98U, 0x12835b01U, 0x243185beU, 0x550c7dc3U, 0x72be5d74U, 0x80deb1feU, 0x9bdc06a7U, 0xc19bf174U,
    0xe49b69c1U, 0xefbe4786U, 0x0fc19dc6U, 0x240ca1ccU, 0x2de92c6fU, 0x4a7484aaU, 0x5cb0a9dcU, 0x76f988daU,
    0x983e5152U, 0xa831c66dU, 0xb00327c8U, 0xbf597fc7U, 0xc6e00bf3U, 0xd5a79147U, 0x06ca6351U, 0x14292967U,
    0x27b70a85U, 0x2e1b2138U, 0x4d2c6dfcU, 0x53380d13U, 0x650a7354U, 0x766a0abbU, 0x81c2c92eU, 0x92722c85U,
    0xa2bfe8a1U, 0xa81a664bU, 0xc24b8b70U, 0xc76c51a3U, 0xd192e819U, 0xd6990624U, 0xf40e3585U, 0x106aa070U,
    0x19a4c116U, 0x1e376c08U, 0x2748774cU, 0x34b0bcb5U, 0x391c0cb3U, 0x4ed8aa4aU, 0x5b9cca4fU, 0x682e6ff3U,
    0x748f82eeU, 0x78a5636fU, 0x84c87814U, 0x8cc70208U, 0x90befffaU, 0xa4506cebU, 0xbef9a3f7U, 0xc67178f2U,
};

std::uint32_t load(const unsigned char* bytes) {
  return std::uint32_t{bytes[0]} << 24U | std::uint32_t{bytes[1]} << 16U | std::uint32_t{bytes[2]} << 8U | bytes[3];
}

}  // namespace

void Sha256::block(const unsigned char* bytes) {
  std::array<std::uint32_t, 64> w{};
  for (std::size_t i = 0; i < 16; ++i) w.at(i) = load(bytes + 4 * i);
  for (std::size_t i = 16; i < 64; ++i) {
    const auto a = w.at(i - 15);
    const auto b = w.at(i - 2);
    w.at(i) = w.at(i - 16) + w.at(i - 7) + (std::rotr(a, 7) ^ std::rotr(a, 18) ^ (a >> 3U)) +
              (std::rotr(b, 17) ^ std::rotr(b, 19) ^ (b >> 10U));
  }
  auto [a, b, c, d, e, f, g, h] = state_;
  for (std::size_t i = 0; i < 64; ++i) {
    const auto t1 =
        h + (std::rotr(e, 6) ^ std::rotr(e, 11) ^ std::rotr(e, 25)) + ((e & f) ^ (~e & g)) + kRound.at(i) + w.at(i);
    const auto t2 = (std::rotr(a, 2) ^ std::rotr(a, 13) ^ std::rotr(a, 22)) + ((a & b) ^ (a & c) ^ (b & c));
    h = g, g = f, f = e, e = d + t1, d = c, c = b, b = a, a = t1 + t2;
  }
  const std::array<std::uint32_t, 8> sum = {a, b, c, d, e, f, g, h};
  for (std::size_t i = 0; i < sum.size(); ++i) state_.at(i) += sum.at(i);
}

Sha256& Sha256::add(std::string_view data) {
  while (!data.empty()) {
    const auto used = static_cast<std::size_t>(length_ % buffer_.size());
    const auto taken = std::min(data.size(), buffer_.size() - used);
    std::copy_n(data.begin(), taken, buffer_.begin() + static_cast<std::ptrdiff_t>(used));
    length_ += taken;
    data.remove_prefix(taken);
    if (used + taken == buffer_.size()) block(buffer_.data());
  }
  return *this;
}

std::string Sha256::hex() const {
  Sha256 end = *this;
  const std::uint64_t bits = length_ * 8;
  end.add("\x80");
  while (end.length_ % 64 != 56) end.add(std::string_view("\0", 1));
  for (unsigned shift = 64; shift != 0; shift -= 8) {
    const char byte = static_cast<char>(bits >> (shift - 8U) & 0xffU);
    end.add(std::string_view(&byte, 1));
  }
  std::string text;
  for (const auto word : end.state_) {
    for (unsigned shift = 32; shift != 0; shift -= 4) text += "0123456789abcdef"[word >> (shift - 4U) & 0xfU];
  }
  return text;
}

}  // namespace netkite::datapath
