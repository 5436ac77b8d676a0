// SPDX-License-Identifier: Apache-2.0
#include "agent/kube/picker.hpp"

#include <utility>

namespace netkite::kube {
namespace {

constexpr std::size_t kValueBytes = 64;            // what a value takes besides its text
constexpr const char* kNotWhole = "is not whole";  // a member that is no field of any object

}  // namespace

Fields::Fields(std::initializer_list<std::string_view> paths) {
  for (const auto path : paths) add(path);
}

void Fields::add(std::string_view path) {
  const auto dot = path.find('.');
  auto& child = keys_[std::string(path.substr(0, dot))];
  if (dot != std::string_view::npos) child.add(path.substr(dot + 1));
}

void Fields::add_keys(std::initializer_list<std::string_view> keys) {
  auto* fields = this;
  for (const auto key : keys) fields = &fields->keys_[std::string(key)];
}

Fields Fields::below(std::string_view path) const {
  Fields outer;
  outer.keys_[std::string(path)] = *this;
  return outer;
}

void Fields::merge(const Fields& other) {
  for (const auto& [key, fields] : other.keys_) keys_[key].merge(fields);
}

const Fields* Fields::find(std::string_view key) const {
  if (keys_.empty()) return this;
  const auto found = keys_.find(key);
  return found == keys_.end() ? nullptr : &found->second;
}

bool is_whole(const Json& value) { return !value.is_object() || !value.contains(kNotWhole); }

void mark_as_part(Json& object) { object[kNotWhole] = true; }

bool Picker::wants_text() const {
  if (skipped_ > 0 || next_ == nullptr) return false;
  return levels_.empty() || !levels_.back().value.is_array() || levels_.back().value.size() < kMaxElements;
}

bool Picker::has_room(std::size_t bytes) {
  kept_ += bytes;
  if (kept_ <= kMaxKept) return true;
  // There are only so many names. Elements of a list, and members of what is wanted as a whole, have what it has.
  const bool named = levels_.empty() || next_ != levels_.back().wanted;
  return named && bytes <= kMaxNamedText;
}

void Picker::begin(Json empty) {
  if (!wants_text() || !has_room(kValueBytes + key_.size())) {
    ++skipped_;
    return;
  }
  levels_.push_back({.value = std::move(empty), .wanted = next_, .key = std::exchange(key_, {})});
}

void Picker::end() {
  if (skipped_ > 0) {
    if (--skipped_ == 0) value_done();
    return;
  }
  auto level = std::move(levels_.back());
  levels_.pop_back();
  put(level.key, std::move(level.value));
}

void Picker::key(std::string_view key) {
  if (skipped_ > 0) return;
  next_ = levels_.back().wanted->find(key);
  if (next_ != nullptr) key_ = key;
}

void Picker::string(std::string_view value) {
  if (wants_text()) return scalar(value, value.size());
  if (skipped_ == 0) value_done();
}

void Picker::number(std::string_view digits) {
  if (wants_text()) return scalar(Json::parse(digits, nullptr, false), digits.size());
  if (skipped_ == 0) value_done();
}

void Picker::literal(std::string_view word) {
  if (wants_text()) return scalar(word == "null" ? Json() : Json(word == "true"), word.size());
  if (skipped_ == 0) value_done();
}

void Picker::scalar(Json value, std::size_t bytes) {
  if (has_room(kValueBytes + key_.size() + bytes)) return put(std::exchange(key_, {}), std::move(value));
  value_done();
}

void Picker::put(const std::string& key, Json value) {
  if (levels_.empty()) {
    whole_ = std::move(value);
  } else if (auto& level = levels_.back(); level.value.is_object()) {
    level.value[key] = std::move(value);
  } else if (levels_.size() == 2 && level.key == "items") {
    hand_out(item_, std::move(value));
  } else {
    level.value.push_back(std::move(value));
  }
  value_done();
}

void Picker::value_done() { next_ = levels_.empty() ? &wanted_ : levels_.back().wanted; }

void Picker::hand_out(const Taker& taker, Json value) {
  if (std::exchange(kept_, 0) > kMaxKept && value.is_object()) mark_as_part(value);
  taker(std::move(value));
}

void Picker::end_document() { hand_out(document_, std::exchange(whole_, {})); }

}  // namespace netkite::kube
