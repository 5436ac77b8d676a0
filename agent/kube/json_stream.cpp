// SPDX-License-Identifier: Apache-2.0
#include "agent/kube/json_stream.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>

namespace netkite::kube {
namespace {

constexpr std::size_t kMaxNumber = 64;  // characters
constexpr std::string_view kNumberCharacters = "+-.0123456789Ee";

bool is_space(char c) { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; }

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

}  // namespace

Result<void> JsonStream::feed(std::string_view piece) {
  while (!piece.empty()) {
    // Most of what a server sends are strings that nobody wants: those are run over.
    std::size_t run = expect_ == Expect::in_string && surrogate_ == 0 ? plain_run(piece) : 0;
    if (run == 0) {
      if (!take(piece.front())) {
        return fail(Code::invalid, "no JSON, or beyond our bounds, at byte " + std::to_string(consumed_));
      }
      run = 1;
    }
    consumed_ += run;
    piece.remove_prefix(run);
  }
  return {};
}

std::size_t JsonStream::plain_run(std::string_view piece) {
  const auto* const special =
      std::ranges::find_if(piece, [](char c) { return c == '"' || c == '\\' || static_cast<unsigned char>(c) < 0x20; });
  const auto length = static_cast<std::size_t>(special - piece.begin());
  if (!keeping_) return length;
  // Beyond the bound: left to keep(), which refuses.
  if (text_.size() + length > kMaxText) return 0;
  text_.append(piece.substr(0, length));
  return length;
}

bool JsonStream::take(char c) {
  switch (expect_) {
    case Expect::in_string:
      return in_string(c);
    case Expect::in_escape:
      return in_escape(c);
    case Expect::in_unicode:
      return in_unicode(c);
    case Expect::in_word:
      return in_word(c);
    case Expect::in_number:
      if (kNumberCharacters.find(c) != std::string_view::npos) return text_.size() < kMaxNumber && (text_ += c, true);
      return end_number() && take(c);
    default:
      return is_space(c) || structure(c);
  }
}

bool JsonStream::structure(char c) {
  switch (expect_) {
    case Expect::key_or_end:
      if (c == '}') return close(c);
      [[fallthrough]];
    case Expect::key:
      return c == '"' && (begin_string(true), true);
    case Expect::colon:
      expect_ = Expect::value;
      return c == ':';
    case Expect::comma_or_end:
      if (c != ',') return close(c);
      expect_ = nesting_.back() == '{' ? Expect::key : Expect::value;
      return true;
    case Expect::value_or_end:
      if (c == ']') return close(c);
      [[fallthrough]];
    default:
      return begin_value(c);
  }
}

bool JsonStream::begin_value(char c) {
  if (c == '{' || c == '[') return open(c);
  if (c == '"') return begin_string(false), true;
  text_ = c;
  if (c == '-' || (c >= '0' && c <= '9')) return expect_ = Expect::in_number, true;
  expect_ = Expect::in_word;
  return c == 't' || c == 'f' || c == 'n';
}

bool JsonStream::open(char c) {
  if (nesting_.size() >= kMaxDepth) return false;
  nesting_ += c;
  if (c == '{') {
    sink_.begin_object();
    expect_ = Expect::key_or_end;
  } else {
    sink_.begin_array();
    expect_ = Expect::value_or_end;
  }
  return true;
}

bool JsonStream::close(char c) {
  if (nesting_.empty() || c != (nesting_.back() == '{' ? '}' : ']')) return false;
  nesting_.pop_back();
  sink_.end();
  value_done();
  return true;
}

void JsonStream::value_done() {
  text_.clear();
  expect_ = nesting_.empty() ? Expect::value : Expect::comma_or_end;
  if (nesting_.empty()) sink_.end_document();
}

void JsonStream::begin_string(bool is_key) {
  text_.clear();
  is_key_ = is_key;
  keeping_ = sink_.wants_text();
  surrogate_ = 0;
  expect_ = Expect::in_string;
}

void JsonStream::end_string() {
  if (is_key_) {
    sink_.key(text_);
    expect_ = Expect::colon;
    return;
  }
  sink_.string(text_);
  value_done();
}

bool JsonStream::keep(char c) {
  if (!keeping_) return true;
  if (text_.size() >= kMaxText) return false;
  text_ += c;
  return true;
}

bool JsonStream::in_string(char c) {
  if (c == '\\') return expect_ = Expect::in_escape, true;
  // The second half of a surrogate pair is an escape as well.
  if (surrogate_ != 0 || static_cast<unsigned char>(c) < 0x20) return false;
  if (c == '"') return end_string(), true;
  return keep(c);
}

bool JsonStream::in_escape(char c) {
  constexpr std::string_view kEscapes = "\"\\/bfnrt";
  constexpr std::string_view kMeanings = "\"\\/\b\f\n\r\t";
  expect_ = Expect::in_string;
  if (c == 'u') {
    expect_ = Expect::in_unicode;
    unicode_ = 0;
    digits_ = 0;
    return true;
  }
  const auto at = kEscapes.find(c);
  return surrogate_ == 0 && at != std::string_view::npos && keep(kMeanings[at]);
}

bool JsonStream::in_unicode(char c) {
  const int digit = hex_digit(c);
  if (digit < 0) return false;
  unicode_ = unicode_ * 16 + static_cast<std::uint32_t>(digit);
  if (++digits_ < 4) return true;
  expect_ = Expect::in_string;
  const bool high = unicode_ >= 0xD800 && unicode_ < 0xDC00;
  const bool low = unicode_ >= 0xDC00 && unicode_ < 0xE000;
  if (low != (surrogate_ != 0)) return false;
  if (high) return surrogate_ = unicode_, true;
  if (!low) return keep_code_point(unicode_);
  const auto point = 0x10000 + ((surrogate_ - 0xD800) << 10U) + (unicode_ - 0xDC00);
  surrogate_ = 0;
  return keep_code_point(point);
}

bool JsonStream::keep_code_point(std::uint32_t point) {
  const auto part = [point](unsigned shift, std::uint32_t mark) {
    return static_cast<char>(mark | ((point >> shift) & 0x3FU));
  };
  if (point < 0x80) return keep(static_cast<char>(point));
  if (point < 0x800) return keep(static_cast<char>(0xC0U | (point >> 6U))) && keep(part(0, 0x80));
  if (point < 0x10000) {
    return keep(static_cast<char>(0xE0U | (point >> 12U))) && keep(part(6, 0x80)) && keep(part(0, 0x80));
  }
  return keep(static_cast<char>(0xF0U | (point >> 18U))) && keep(part(12, 0x80)) && keep(part(6, 0x80)) &&
         keep(part(0, 0x80));
}

bool JsonStream::end_number() {
  if (!nlohmann::json::accept(text_)) return false;
  sink_.number(text_);
  value_done();
  return true;
}

bool JsonStream::in_word(char c) {
  text_ += c;
  const std::string_view word = text_.front() == 't' ? "true" : text_.front() == 'f' ? "false" : "null";
  if (!word.starts_with(text_)) return false;
  if (text_.size() < word.size()) return true;
  sink_.literal(word);
  value_done();
  return true;
}

}  // namespace netkite::kube
