// SPDX-License-Identifier: Apache-2.0
// Messages to JSON. Members that are empty (no address, no text) are left out.
#include "common/wire/fields.hpp"

namespace netkite::wire {
namespace {

using nlohmann::json;

template <typename T>
json encode(const T& value);

json element(bool value) { return value; }
json element(std::uint16_t value) { return value; }
json element(std::uint32_t value) { return value; }
json element(std::uint64_t value) { return value; }
json element(DeviceMode value) { return to_string(value); }
json element(const Ip& value) { return value.to_string(); }
json element(const Mac& value) { return value.to_string(); }
json element(const PortMapping& value) { return to_string(value); }
json element(const Attachment& value) { return encode(value); }
json element(const Bandwidth& value) { return encode(value); }

class Encoder {
 public:
  template <typename T>
  void operator()(const char* key, const T& value) {
    object_[key] = element(value);
  }
  void operator()(const char* key, const std::string& value) {
    if (!value.empty()) object_[key] = value;
  }
  template <typename T>
  void operator()(const char* key, const std::optional<T>& value) {
    if (value) object_[key] = element(*value);
  }
  template <typename T>
  void operator()(const char* key, const std::vector<T>& values) {
    json list = json::array();
    for (const T& value : values) list.push_back(element(value));
    object_[key] = std::move(list);
  }
  json take() { return std::move(object_); }

 private:
  json object_ = json::object();
};

template <typename T>
json encode(const T& value) {
  Encoder encoder;
  visit_fields(encoder, value);
  return encoder.take();
}

}  // namespace

json to_json(const Attachment& value) { return encode(value); }
json to_json(const Bandwidth& value) { return encode(value); }
json to_json(const PrepareRequest& value) { return encode(value); }
json to_json(const PrepareReply& value) { return encode(value); }
json to_json(const CommitRequest& value) { return encode(value); }
json to_json(const RemoveRequest& value) { return encode(value); }
json to_json(const RemoveBeginReply& value) { return encode(value); }
json to_json(const CheckReply& value) { return encode(value); }
json to_json(const GcRequest& value) { return encode(value); }
json to_json(const CniStatusReply& value) { return encode(value); }

json to_json(const Error& error) {
  return {{"ok", false}, {"error", {{"code", to_string(error.code)}, {"message", error.message}}}};
}

json success(json fields) {
  fields["ok"] = true;
  return fields;
}

std::string to_text(const json& message) { return message.dump(-1, ' ', false, json::error_handler_t::replace); }

}  // namespace netkite::wire
