// SPDX-License-Identifier: Apache-2.0
#include "agent/config/loader.hpp"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <set>

#include "agent/config/check.hpp"
#include "agent/config/reader.hpp"
#include "common/base/file.hpp"
#include "common/wire/agent_api.hpp"

namespace netkite::config {
namespace {

constexpr std::size_t kMaxFile = 16U << 20;  // bytes; 100,000 deny prefixes take 3 MiB

// The library keeps the last of two equal keys without a word; a file that says a thing twice is a mistake.
class RepeatedKeys {
 public:
  bool operator()(int /*depth*/, Json::parse_event_t event, const Json& parsed) {
    if (event == Json::parse_event_t::object_start) seen_.emplace_back();
    if (event == Json::parse_event_t::object_end) seen_.pop_back();
    if (event == Json::parse_event_t::key) {
      const auto& key = parsed.get_ref<const std::string&>();
      if (!seen_.back().insert(key).second) repeated_.insert(key);
    }
    return true;
  }
  [[nodiscard]] const std::set<std::string>& repeated() const { return repeated_; }

 private:
  std::vector<std::set<std::string>> seen_;
  std::set<std::string> repeated_;
};

// "[json.exception.parse_error.101] parse error at line 1, ...": the part for people.
std::string plain(std::string_view what) {
  const auto bracket = what.find("] ");
  return std::string(bracket == std::string_view::npos ? what : what.substr(bracket + 2));
}

// One configuration serves all nodes of a cluster: what runs the agent there names the node.
std::string name_of_this_node() {
  if (const char* given = std::getenv("NETKITE_NODE_NAME"); given != nullptr && wire::is_valid_name(given))
    return given;
  std::array<char, 256> name{};
  if (::gethostname(name.data(), name.size() - 1) != 0) return "localhost";
  return name.data();
}

std::string joined(const std::vector<std::string>& lines) {
  std::string text;
  for (const auto& line : lines) text += (text.empty() ? "" : "\n") + line;
  return text;
}

// Prints one object along the description in fields.hpp.
class Writer {
 public:
  template <typename T>
  void operator()(std::string_view key, const T& value, Range /*range*/ = {}) {
    object_[std::string(key)] = write(value);
  }
  [[nodiscard]] nlohmann::ordered_json take() { return std::move(object_); }

 private:
  using Out = nlohmann::ordered_json;
  static Out write(bool value) { return value; }
  static Out write(std::uint32_t value) { return value; }
  static Out write(const std::string& value) { return value; }
  static Out write(const Ip& value) { return value.to_string(); }
  static Out write(const Cidr& value) { return value.to_string(); }

  template <typename E>
    requires std::is_enum_v<E>
  static Out write(E value) {
    return name_of(value);
  }
  template <typename T>
  static Out write(const std::vector<T>& values) {
    Out list = Out::array();
    for (const auto& value : values) list.push_back(write(value));
    return list;
  }
  template <typename T>
    requires std::is_class_v<T>
  static Out write(const T& value) {
    Writer writer;
    visit_fields(writer, value);
    return writer.take();
  }

  Out object_ = Out::object();
};

nlohmann::ordered_json to_json(const Options& options) {
  Writer writer;
  visit_fields(writer, options);
  return writer.take();
}

}  // namespace

Result<Options> parse(std::string_view text) {
  Json json;
  RepeatedKeys repeated;
  try {
    json = Json::parse(text, std::ref(repeated));
  } catch (const Json::exception& error) {
    return fail(Code::invalid, plain(error.what()));
  }
  if (!json.is_object()) return fail(Code::invalid, "expected one JSON object, got " + std::string(json.type_name()));

  std::vector<std::string> problems;
  for (const auto& key : repeated.repeated()) problems.push_back(key + ": given twice in the same object");
  Options options;
  Reader reader(json, "", problems);
  visit_fields(reader, options);
  reader.report_unknown_keys();
  // Values that could not be read would only cause follow-up complaints.
  if (problems.empty()) problems = check(options);
  if (!problems.empty()) return fail(Code::invalid, joined(problems));

  if (options.node_name.empty()) options.node_name = name_of_this_node();
  options.socket = socket_path(options);
  return options;
}

Result<Options> load_file(const std::string& path) {
  const auto text = read_file(path, kMaxFile);
  if (!text) return tl::make_unexpected(text.error());
  auto options = parse(*text);
  if (!options) return wrap(options.error(), path);
  return options;
}

std::string dump(const Options& options) { return to_json(options).dump(2); }

std::vector<std::string> differences(const Options& a, const Options& b) {
  const auto flat_a = Json(to_json(a)).flatten();
  const auto flat_b = Json(to_json(b)).flatten();
  std::set<std::string> pointers;
  for (const auto& [pointer, value] : flat_a.items()) {
    if (!flat_b.contains(pointer) || flat_b.at(pointer) != value) pointers.insert(pointer);
  }
  for (const auto& [pointer, value] : flat_b.items()) {
    if (!flat_a.contains(pointer)) pointers.insert(pointer);
  }
  std::vector<std::string> paths;
  for (const auto& pointer : pointers) {
    auto& path = paths.emplace_back(pointer.substr(1));
    std::ranges::replace(path, '/', '.');
  }
  return paths;
}

}  // namespace netkite::config
