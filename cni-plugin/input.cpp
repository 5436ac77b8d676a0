// SPDX-License-Identifier: Apache-2.0
#include "cni-plugin/input.hpp"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <limits>

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

// `keep` as nlohmann::json::parse has it.
Outcome<nlohmann::json> decode(std::string_view text, unsigned max_commas,
                               const nlohmann::json::parser_callback_t& keep) {
  std::string what(kWhat);
  if (text.find_first_not_of(" \t\r\n") == std::string_view::npos) {
    return refuse(ErrorCode::decode, what + " is empty");
  }
  const Shape shape = measure(text);
  if (shape.depth > kMaxDepth) return refuse(ErrorCode::decode, what + " nests deeper than 64 levels");
  if (shape.commas > max_commas) {
    return refuse(ErrorCode::decode, what + " has more than " + std::to_string(max_commas) + " values");
  }
  try {
    auto json = nlohmann::json::parse(text, keep);
    if (json.is_object()) return json;
  } catch (const nlohmann::json::exception& error) {
    return refuse(ErrorCode::decode, what + " is not JSON", error.what());
  }
  return refuse(ErrorCode::decode, what + " is not a JSON object");
}

}  // namespace

Outcome<std::string> read_input(int fd, std::size_t limit) {
  std::string text;
  constexpr std::size_t kStep = 16384;
  while (text.size() <= limit) {
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
  return refuse(ErrorCode::config, std::string(kWhat) + " is larger than " + std::to_string(limit >> 20U) + " MiB");
}

Outcome<nlohmann::json> decode_object(std::string_view text) { return decode(text, kMaxCommas, nullptr); }

Outcome<nlohmann::json> decode_keys(std::string_view text, std::span<const std::string_view> keys) {
  return decode(text, std::numeric_limits<unsigned>::max(), [keys](int depth, auto event, const nlohmann::json& value) {
    return depth != 1 || event != nlohmann::json::parse_event_t::key ||
           std::ranges::find(keys, value.get_ref<const std::string&>()) != keys.end();
  });
}

}  // namespace netkite::cni
