// SPDX-License-Identifier: Apache-2.0
// JSON (RFC 8259) that arrives in pieces, read without ever holding a document: events for a sink, memory for one
// token.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.hpp"

namespace netkite::kube {

// What the stream says. The values of strings and keys are UTF-8 with escapes resolved.
class JsonSink {
 public:
  JsonSink() = default;
  JsonSink(const JsonSink&) = delete;
  JsonSink& operator=(const JsonSink&) = delete;
  virtual ~JsonSink() = default;
  virtual void begin_object() = 0;
  virtual void begin_array() = 0;
  virtual void end() = 0;  // of the innermost object or array
  virtual void key(std::string_view key) = 0;
  virtual void string(std::string_view value) = 0;
  virtual void number(std::string_view digits) = 0;   // as written, of the right form
  virtual void literal(std::string_view word) = 0;    // true, false or null
  virtual void end_document() = 0;                    // the outermost value is complete
  [[nodiscard]] virtual bool wants_text() const = 0;  // false: strings may come empty, their bytes are not kept
};

class JsonStream {
 public:
  static constexpr std::size_t kMaxDepth = 100;
  static constexpr std::size_t kMaxText = 1U << 20;  // bytes of a string that is wanted, or of a key

  // `sink` outlives the stream. Any number of documents, one after the other.
  explicit JsonStream(JsonSink& sink) : sink_(sink) {}

  // Code::invalid: it is no JSON, or beyond the bounds; the stream is of no use then.
  [[nodiscard]] Result<void> feed(std::string_view piece);
  // Nothing half-read. A number at the outermost level ends with what follows it.
  [[nodiscard]] bool between_documents() const { return expect_ == Expect::value && nesting_.empty(); }

 private:
  enum class Expect : std::uint8_t {
    value,
    value_or_end,  // after '['
    key,
    key_or_end,  // after '{'
    colon,
    comma_or_end,
    in_string,
    in_escape,
    in_unicode,
    in_number,
    in_word,
  };

  [[nodiscard]] bool take(char c);
  [[nodiscard]] bool structure(char c);
  [[nodiscard]] bool begin_value(char c);
  [[nodiscard]] bool open(char c);
  [[nodiscard]] bool close(char c);
  [[nodiscard]] bool in_string(char c);
  [[nodiscard]] bool in_escape(char c);
  [[nodiscard]] bool in_unicode(char c);
  [[nodiscard]] bool end_number();
  [[nodiscard]] bool in_word(char c);
  [[nodiscard]] bool keep(char c);
  [[nodiscard]] bool keep_code_point(std::uint32_t point);
  void begin_string(bool is_key);
  void end_string();
  void value_done();
  std::size_t plain_run(std::string_view piece);

  JsonSink& sink_;
  std::string nesting_;  // '{' and '[' of what is open
  Expect expect_ = Expect::value;
  std::string text_;  // of the token under way
  bool is_key_ = false, keeping_ = false;
  std::uint32_t unicode_ = 0, surrogate_ = 0;  // the escape under way; the first half of a pair, else 0
  unsigned digits_ = 0;
  std::uint64_t consumed_ = 0;
};

}  // namespace netkite::kube
