// SPDX-License-Identifier: Apache-2.0
#include "agent/kube/reading.hpp"

#include <algorithm>
#include <array>
#include <cctype>

namespace netkite::kube {
namespace {

constexpr std::size_t kMaxComplaint = 16384;  // bytes kept of an error's body
constexpr std::size_t kMaxLine = 300;         // characters of it that go into a message

// One line for people, whatever the server has sent.
std::string plain(std::string text) {
  text.resize(std::min(text.size(), kMaxLine));
  std::ranges::replace_if(text, [](unsigned char c) { return c < 0x20 || c > 0x7e; }, ' ');
  return text;
}

}  // namespace

std::string text_at(const Json& object, std::string_view key) {
  if (!object.is_object()) return "";
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

Json member(const Json& object, const char* key) {
  if (!object.is_object()) return {};
  const auto found = object.find(key);
  return found == object.end() ? Json() : *found;
}

Result<void> check_whole(const Json& object) {
  if (is_whole(object)) return {};
  return fail(Code::invalid, "it holds more than is kept of one object");
}

bool is_initial_events_end(const Json& object) {
  const auto metadata = object.find("metadata");
  if (metadata == object.end() || !metadata->is_object()) return false;
  const auto annotations = metadata->find("annotations");
  return annotations != metadata->end() && text_at(*annotations, kInitialEventsEnd) == "true";
}

std::string percent_encoded(std::string_view text) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  std::string encoded;
  for (const auto byte : text) {
    const auto c = static_cast<unsigned char>(byte);
    if (std::isalnum(c) != 0 || c == '-' || c == '_' || c == '.' || c == '~') {
      encoded += byte;
    } else {
      encoded += {'%', kDigits[c >> 4U], kDigits[c & 15U]};
    }
  }
  return encoded;
}

Reading::Reading(Fields wanted, Picker::Taker item, Picker::Taker document)
    : on_document(std::move(document)), picker_(std::move(wanted), std::move(item), [this](const Json& each) {
        if (!refusal_) on_document(each);
      }) {}

Result<void> Reading::take(unsigned code, std::string_view piece) {
  if (status == 0) {
    status = code;
    if (code == 200 && on_start) on_start();
  }
  if (code != 200) {
    complaint_ += piece.substr(0, kMaxComplaint - complaint_.size());
    return {};
  }
  if (auto fed = stream_.feed(piece); !fed) return fed;
  if (refusal_) return tl::make_unexpected(refused());
  return {};
}

Result<void> Reading::finish() {
  if (status != 200) return tl::make_unexpected(refused());
  if (!stream_.between_documents()) return fail(Code::unavailable, "the answer broke off");
  return {};
}

Error Reading::refused() const {
  auto words = refusal_.value_or("");
  if (words.empty()) words = text_at(Json::parse(complaint_, nullptr, false), "message");
  if (words.empty()) words = complaint_;
  return {.code = Code::unavailable,
          .os_error = 0,
          .message = "the API server says " + std::to_string(status) + (words.empty() ? "" : ": ") + plain(words)};
}

}  // namespace netkite::kube
