// SPDX-License-Identifier: Apache-2.0
#include "cni-plugin/json_field.hpp"

#include <algorithm>

namespace netkite::cni {

const nlohmann::json* find(const nlohmann::json& object, std::string_view key) {
  const auto found = object.find(key);
  return found == object.end() || found->is_null() ? nullptr : &*found;
}

const nlohmann::json* find_any_case(const nlohmann::json& object, std::string_view key) {
  for (const auto& [name, value] : object.items()) {
    if (std::ranges::equal(name, key, {}, lower, lower) && !value.is_null()) return &value;
  }
  return nullptr;
}

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

std::string show(const nlohmann::json& value) {
  constexpr std::size_t kLongest = 80;  // bytes
  std::string text = value.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
  if (text.size() > kLongest) text.replace(kLongest, std::string::npos, "...");
  return text;
}

tl::unexpected<CniError> bad_field(std::string_view field, const nlohmann::json& value, std::string_view rule) {
  std::string message(field);
  return refuse(ErrorCode::config, message.append(" is ").append(show(value)).append(": ").append(rule));
}

Outcome<std::vector<std::string>> string_list(const nlohmann::json& value, const std::string& field) {
  if (!value.is_array()) return bad_field(field, value, "it must be an array of strings");
  std::vector<std::string> texts;
  for (const auto& item : value) {
    if (!item.is_string()) return bad_field(field, value, "it must be an array of strings");
    texts.push_back(item.get<std::string>());
  }
  return texts;
}

}  // namespace netkite::cni
