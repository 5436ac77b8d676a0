// SPDX-License-Identifier: Apache-2.0
// Small JSON values with nothing but the wanted fields, out of documents of any size that arrive in pieces.
#pragma once

#include <functional>
#include <initializer_list>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "agent/kube/json_stream.hpp"

namespace netkite::kube {

using Json = nlohmann::json;

// A tree of keys. One without keys below it stands for everything there; lists are looked through. No path may go on
// where another one ends.
class Fields {
 public:
  Fields() = default;
  // Paths such as "metadata.name".
  Fields(std::initializer_list<std::string_view> paths);

  void add(std::string_view path);
  void add_keys(std::initializer_list<std::string_view> keys);  // a path whose keys may hold dots
  // The same fields below `path`: what is wanted of an object is wanted of a list's items.
  [[nodiscard]] Fields below(std::string_view path) const;
  void merge(const Fields& other);
  // Null: not wanted.
  [[nodiscard]] const Fields* find(std::string_view key) const;

 private:
  std::map<std::string, Fields, std::less<>> keys_;
};

// False: more was wanted of it than is kept. What is in a list or has a name that nobody asked for by itself may be
// missing then; a short value with a wanted name, such as metadata.name, is there.
[[nodiscard]] bool is_whole(const Json& value);
void mark_as_part(Json& object);

// Hands out each element of the outermost object's list `items` as soon as it is there, and each document (without its
// items) at its end. Both functions get a value of theirs. Whoever may write an object decides how large it is, so what
// is too large must not be the end of the others: it is handed out without being whole.
class Picker : public JsonSink {
 public:
  static constexpr std::size_t kMaxKept = 4U << 20;   // bytes of text in one document or item
  static constexpr std::size_t kMaxElements = 1001;   // of a list in it: one more than anybody takes, to be refused
  static constexpr std::size_t kMaxNamedText = 1024;  // bytes of a value that is kept beyond kMaxKept, for its name

  using Taker = std::function<void(Json)>;
  Picker(Fields wanted, Taker item, Taker document)
      : wanted_(std::move(wanted)), item_(std::move(item)), document_(std::move(document)) {}

  void begin_object() override { begin(Json::object()); }
  void begin_array() override { begin(Json::array()); }
  void end() override;
  void key(std::string_view key) override;
  void string(std::string_view value) override;
  void number(std::string_view digits) override;
  void literal(std::string_view word) override;
  void end_document() override;
  [[nodiscard]] bool wants_text() const override;

 private:
  // An open object or list that is kept.
  struct Level {
    Json value;
    const Fields* wanted;
    std::string key;  // under which it goes into the level above
  };
  void begin(Json empty);
  void scalar(Json value, std::size_t bytes);
  void put(const std::string& key, Json value);
  void value_done();
  void hand_out(const Taker& taker, Json value);
  [[nodiscard]] bool has_room(std::size_t bytes);

  Fields wanted_;
  Taker item_, document_;
  std::vector<Level> levels_;
  std::size_t skipped_ = 0;        // open objects and lists that are not kept
  const Fields* next_ = &wanted_;  // what is wanted of the next value, null: nothing
  std::string key_;                // of the next value
  Json whole_;                     // the outermost value
  std::size_t kept_ = 0;           // bytes, roughly; with those that had no room
};

}  // namespace netkite::kube
