// SPDX-License-Identifier: Apache-2.0
#include "agent/kube/yaml.hpp"

#include <yaml-cpp/yaml.h>

#include <charconv>

#include "agent/kube/json_stream.hpp"
#include "agent/kube/reading.hpp"

namespace netkite::kube {
namespace {

// Aliases let a short file stand for a huge one.
constexpr std::size_t kMostValues = 4'000'000;

template <typename T>
bool read_number(const std::string& text, Json& value) {
  T number{};
  const auto* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, number);
  if (error != std::errc() || stop != end) return false;
  value = number;
  return true;
}

// A plain scalar is what it looks like, as kubectl takes it: yes and on are booleans.
Json plain_scalar(const YAML::Node& node) {
  const auto& text = node.Scalar();
  Json value;
  bool boolean = false;
  if (read_number<std::int64_t>(text, value)) return value;
  const bool figure = !text.empty() && (text[0] == '-' || text[0] == '.' || (text[0] >= '0' && text[0] <= '9'));
  if (figure && read_number<double>(text, value)) return value;
  if (YAML::convert<bool>::decode(node, boolean)) return boolean;
  return text;
}

class Converter {
 public:
  Json convert(const YAML::Node& node, std::size_t depth = 0) {
    if (++values_ > kMostValues) throw YAML::Exception(node.Mark(), "more than 4 million values");
    if (depth > JsonStream::kMaxDepth) throw YAML::Exception(node.Mark(), "nested too deeply");
    switch (node.Type()) {
      case YAML::NodeType::Scalar:
        // yaml-cpp's word for a scalar in quotes.
        return node.Tag() == "!" ? Json(node.Scalar()) : plain_scalar(node);
      case YAML::NodeType::Sequence: {
        Json list = Json::array();
        for (const auto& each : node) list.push_back(convert(each, depth + 1));
        return list;
      }
      case YAML::NodeType::Map: {
        Json object = Json::object();
        for (const auto& each : node) {
          if (!each.first.IsScalar()) throw YAML::Exception(each.first.Mark(), "a key that is no text");
          object[each.first.Scalar()] = convert(each.second, depth + 1);
        }
        return object;
      }
      case YAML::NodeType::Null:
      case YAML::NodeType::Undefined:
        break;
    }
    return nullptr;
  }

 private:
  std::size_t values_ = 0;
};

}  // namespace

Result<std::vector<Json>> parse_yaml(const std::string& text) {
  std::vector<Json> objects;
  try {
    Converter converter;
    for (const auto& document : YAML::LoadAll(text)) {
      auto object = converter.convert(document);
      if (object.is_null()) continue;
      const auto items = text_at(object, "kind") == "List" ? member(object, "items") : Json::array({std::move(object)});
      for (const auto& item : items) objects.push_back(item);
    }
  } catch (const YAML::Exception& error) {
    return fail(Code::invalid, error.what());
  }
  return objects;
}

}  // namespace netkite::kube
