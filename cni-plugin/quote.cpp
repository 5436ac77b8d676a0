// SPDX-License-Identifier: Apache-2.0
#include "cni-plugin/quote.hpp"

namespace netkite::cni {
namespace {
constexpr std::size_t kLongestQuote = 64;  // bytes
}

std::string quote(std::string_view value) {
  std::string text = "\"";
  for (const char character : value.substr(0, kLongestQuote)) {
    const bool control = static_cast<unsigned char>(character) < 0x20 || character == 0x7f;
    text.push_back(control ? '?' : character);
  }
  return text.append(value.size() > kLongestQuote ? "…\"" : "\"");
}

}  // namespace netkite::cni
