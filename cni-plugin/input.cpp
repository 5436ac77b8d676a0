// SPDX-License-Identifier: Apache-2.0
#include "cni-plugin/input.hpp"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace netkite::cni {
namespace {

constexpr std::string_view kWhat = "the network configuration on standard input";

struct Shape {
  unsigned depth = 0;  // the deepest nesting
  unsigned commas = 0;
};

// Outside of strings. Malformed text is left to the parser.
Shape measure(std::string_view text) {
  Shape shape;
  unsigned depth = 0;
  bool in_string = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char character = text[i];
    if (in_string) {
      if (character == '\\') ++i;
      in_string = character != '"';
    } else if (character == '"') {
      in_string = true;
    } else if (character == '{' || character == '[') {
      shape.depth = std::max(shape.depth, ++depth);
    } else if ((character == '}' || character == ']') && depth > 0) {
      --depth;
    } else if (character == ',') {
      ++shape.commas;
    }
  }
  return shape;
}

}  // namespace

Outcome<std::string> read_input(int fd) {
  std::string text;
  constexpr std::size_t kStep = 16384;
  while (text.size() <= kMaxInput) {
    const std::size_t used = text.size();
    text.resize(used + kStep);
    const ssize_t count = ::read(fd, text.data() + used, kStep);
    const int os_error = errno;
    text.resize(used + static_cast<std::size_t>(std::max<ssize_t>(count, 0)));
    if (count == 0) return text;
    if (count < 0 && os_error != EINTR) {
      return refuse(ErrorCode::io, std::string("cannot read ").append(kWhat).append(": ") + std::strerror(os_error));
    }
  }
  return refuse(ErrorCode::config, std::string(kWhat) + " is larger than 1 MiB");
}

Outcome<nlohmann::json> decode_object(std::string_view text) {
  std::string what(kWhat);
  if (text.find_first_not_of(" \t\r\n") == std::string_view::npos) {
    return refuse(ErrorCode::decode, what + " is empty");
  }
  const Shape shape = measure(text);
  if (shape.depth > kMaxDepth) return refuse(ErrorCode::decode, what + " nests deeper than 64 levels");
  if (shape.commas > kMaxCommas) return refuse(ErrorCode::decode, what + " has more than 8192 values");
  try {
    auto json = nlohmann::json::parse(text);
    if (json.is_object()) return json;
  } catch (const nlohmann::json::exception& error) {
    return refuse(ErrorCode::decode, what + " is not JSON", error.what());
  }
  return refuse(ErrorCode::decode, what + " is not a JSON object");
}

}  // namespace netkite::cni
