// SPDX-License-Identifier: Apache-2.0
// JSON values into members, along the description in fields.hpp. Room-internal.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "agent/config/fields.hpp"

namespace netkite::config {

using Json = nlohmann::json;

// `"max_endpoint"` is unknown: the known key that takes the fewest edits.
[[nodiscard]] std::string nearest(std::string_view word, const std::vector<std::string_view>& known);

// Reads one object. Problems are collected, so that one run names all of them.
class Reader {
 public:
  Reader(const Json& object, std::string path, std::vector<std::string>& problems)
      : object_(object), path_(std::move(path)), problems_(problems) {}

  template <typename T>
  void operator()(std::string_view key, T& value, Range range = {}) {
    known_.push_back(key);
    const auto found = object_.find(key);
    if (found != object_.end()) read(*found, join(key), value, range);
  }

  // After all keys were visited.
  void report_unknown_keys();

 private:
  [[nodiscard]] std::string join(std::string_view key) const;
  void problem(const std::string& path, const std::string& text) { problems_.push_back(path + ": " + text); }

  void read(const Json& json, const std::string& path, bool& value, Range range);
  void read(const Json& json, const std::string& path, std::string& value, Range range);
  void read(const Json& json, const std::string& path, std::uint32_t& value, Range range);
  void read(const Json& json, const std::string& path, Ip& value, Range range);
  void read(const Json& json, const std::string& path, Cidr& value, Range range);

  template <typename E>
    requires std::is_enum_v<E>
  void read(const Json& json, const std::string& path, E& value, Range /*range*/) {
    std::string choices;
    for (const auto& [name, enumerator] : kNames<E>) {
      if (json == name) {
        value = enumerator;
        return;
      }
      choices += (choices.empty() ? "\"" : ", \"") + std::string(name) + "\"";
    }
    problem(path, json.dump() + " is none of " + choices);
  }

  template <typename T>
  void read(const Json& json, const std::string& path, std::vector<T>& value, Range range) {
    if (!json.is_array()) return problem(path, "expected a list, got " + std::string(json.type_name()));
    value.clear();
    for (std::size_t i = 0; i < json.size(); ++i) {
      read(json[i], path + "[" + std::to_string(i) + "]", value.emplace_back(), range);
    }
  }

  template <typename T>
    requires std::is_class_v<T>
  void read(const Json& json, const std::string& path, T& value, Range /*range*/) {
    if (!json.is_object()) return problem(path, "expected an object, got " + std::string(json.type_name()));
    Reader reader(json, path, problems_);
    visit_fields(reader, value);
    reader.report_unknown_keys();
  }

  const Json& object_;
  std::string path_;
  std::vector<std::string>& problems_;
  std::vector<std::string_view> known_;
};

}  // namespace netkite::config
