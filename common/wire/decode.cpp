// SPDX-License-Identifier: Apache-2.0
// Messages from JSON, with every value checked: what comes in here was written by another process.
#include <limits>

#include "common/wire/fields.hpp"

namespace netkite::wire {
namespace {

using nlohmann::json;

constexpr std::size_t kLongestText = 4096;
constexpr std::size_t kLongestName = 255;  // network names and container ids
constexpr std::size_t kMostAddresses = 16;
constexpr std::size_t kMostAttachments = 4096;

// What is wrong with the members taken together, as "<field> <complaint>"; empty when nothing is.
using Complaint = std::string;

Complaint bad_name(const std::string& name) {
  if (name.empty()) return "is missing";
  if (name.size() > kLongestName) return "is longer than " + std::to_string(kLongestName) + " characters";
  return is_valid_name(name) ? "" : "must begin with a letter or digit and go on with letters, digits, '_', '.', '-'";
}

Complaint bad_ifname(const std::string& name) {
  if (name.empty()) return "is missing";
  return is_valid_ifname(name) ? "" : "is not an interface name (1 to 15 characters, no '/', ':', '%' or space)";
}

Complaint at(std::string_view field, const Complaint& complaint) {
  return complaint.empty() ? "" : std::string(field) + " " + complaint;
}

Complaint prefixed(std::string_view prefix, const Complaint& complaint) {
  return complaint.empty() ? "" : std::string(prefix) + complaint;
}

Complaint invalid_container(const Attachment& value) {
  if (auto bad = at("container_id", bad_name(value.container_id)); !bad.empty()) return bad;
  return at("ifname", bad_ifname(value.ifname));
}

Complaint invalid(const Attachment& value) {
  if (auto bad = at("network", bad_name(value.network)); !bad.empty()) return bad;
  return invalid_container(value);
}

Complaint bad_rate(std::string_view direction, std::uint64_t rate, std::uint64_t burst) {
  if (rate == 0 && burst == 0) return "";
  if (rate < kLeastRate || rate > kMostRate) {
    return std::string(direction) + "_rate must be from " + std::to_string(kLeastRate) + " to " +
           std::to_string(kMostRate) + " bits per second";
  }
  if (burst == 0 || burst > kMostBurst) {
    return std::string(direction) + "_burst must be from 1 to " + std::to_string(kMostBurst) + " bits";
  }
  return "";
}

Complaint invalid(const Bandwidth& value) {
  if (auto bad = bad_rate("ingress", value.ingress_rate, value.ingress_burst); !bad.empty()) return bad;
  return bad_rate("egress", value.egress_rate, value.egress_burst);
}

Complaint invalid(const PrepareRequest& value) {
  if (auto bad = prefixed("attachment.", invalid(value.attachment)); !bad.empty()) return bad;
  return value.limits ? prefixed("limits.", invalid(*value.limits)) : "";
}
Complaint invalid(const RemoveRequest& value) { return prefixed("attachment.", invalid(value.attachment)); }

Complaint invalid(const PrepareReply& value) {
  if (auto bad = at("host_ifname", bad_ifname(value.host_ifname)); !bad.empty()) return bad;
  if (value.addresses.empty()) return "addresses is empty";
  return value.mtu == 0 ? "mtu is missing" : "";
}

Complaint invalid(const CommitRequest& value) {
  if (value.host_ifindex == 0) return "host_ifindex is missing";
  if (value.pod_ifindex == 0) return "pod_ifindex is missing";
  return prefixed("attachment.", invalid(value.attachment));
}

Complaint invalid(const GcRequest& value) {
  if (auto bad = at("network", bad_name(value.network)); !bad.empty()) return bad;
  for (std::size_t i = 0; i < value.valid.size(); ++i) {
    const auto bad = prefixed("valid[" + std::to_string(i) + "].", invalid_container(value.valid[i]));
    if (!bad.empty()) return bad;
  }
  return "";
}

Complaint invalid(const RemoveBeginReply&) { return ""; }
Complaint invalid(const CheckReply&) { return ""; }
Complaint invalid(const CniStatusReply&) { return ""; }

// Reads one object. The first complaint stays; `path` is where the object stands in the message.
class Decoder {
 public:
  Decoder(const json& object, std::string path) : object_(object), path_(std::move(path)) {
    if (!object_.is_object())
      complain(path_.empty() ? "the message" : path_.substr(0, path_.size() - 1), "must be an object");
  }

  template <typename T>
  void operator()(const char* key, T& value) {
    if (!complaint_.empty()) return;
    if (const auto found = object_.find(key); found != object_.end()) read(*found, path_ + key, value);
  }

  [[nodiscard]] const Complaint& complaint() const { return complaint_; }

 private:
  void complain(const std::string& field, std::string_view what) {
    if (complaint_.empty()) complaint_ = field + " " + std::string(what);
  }

  void read(const json& source, const std::string& field, bool& value) {
    if (!source.is_boolean()) return complain(field, "must be true or false");
    value = source.get<bool>();
  }

  template <std::unsigned_integral T>
  void read(const json& source, const std::string& field, T& value) {
    constexpr std::uint64_t kMax = std::numeric_limits<T>::max();
    const bool negative = source.is_number_integer() && !source.is_number_unsigned() && source.get<std::int64_t>() < 0;
    if (!source.is_number_integer() || negative || source.get<std::uint64_t>() > kMax) {
      return complain(field, "must be a whole number from 0 to " + std::to_string(kMax));
    }
    value = static_cast<T>(source.get<std::uint64_t>());
  }

  void read(const json& source, const std::string& field, std::string& value) {
    if (!source.is_string()) return complain(field, "must be a string");
    const auto& text = source.get_ref<const std::string&>();
    if (text.size() > kLongestText) return complain(field, "is longer than " + std::to_string(kLongestText) + " bytes");
    if (text.find('\0') != std::string::npos) return complain(field, "contains a zero byte");
    value = text;
  }

  // Values written as text.
  template <typename T>
  void read_text(const json& source, const std::string& field, T& value, Result<T> (*parse)(std::string_view)) {
    std::string text;
    read(source, field, text);
    if (!complaint_.empty()) return;
    auto parsed = parse(text);
    if (!parsed) return complain(field + ":", parsed.error().message);
    value = *parsed;
  }
  void read(const json& source, const std::string& field, Ip& value) { read_text(source, field, value, Ip::parse); }
  void read(const json& source, const std::string& field, Mac& value) { read_text(source, field, value, Mac::parse); }
  void read(const json& source, const std::string& field, DeviceMode& value) {
    read_text(source, field, value, parse_device_mode);
  }
  void read(const json& source, const std::string& field, PortMapping& value) {
    read_text(source, field, value, parse_port_mapping);
  }

  template <typename T>
    requires(std::same_as<T, Attachment> || std::same_as<T, Bandwidth>)
  void read(const json& source, const std::string& field, T& value) {
    Decoder decoder(source, field + ".");
    visit_fields(decoder, value);
    if (complaint_.empty()) complaint_ = decoder.complaint();
  }

  template <typename T>
  void read(const json& source, const std::string& field, std::optional<T>& value) {
    read(source, field, value.emplace());
  }

  template <typename T>
  void read(const json& source, const std::string& field, std::vector<T>& values) {
    constexpr std::size_t kMost = std::same_as<T, Attachment>    ? kMostAttachments
                                  : std::same_as<T, PortMapping> ? kMostPortMappings
                                                                 : kMostAddresses;
    if (!source.is_array()) return complain(field, "must be an array");
    if (source.size() > kMost) return complain(field, "has more than " + std::to_string(kMost) + " elements");
    for (std::size_t i = 0; i < source.size() && complaint_.empty(); ++i) {
      read(source[i], field + "[" + std::to_string(i) + "]", values.emplace_back());
    }
  }

  const json& object_;
  std::string path_;
  Complaint complaint_;
};

template <typename T>
Result<T> decode(const json& message) {
  T value;
  Decoder decoder(message, "");
  if (decoder.complaint().empty()) visit_fields(decoder, value);
  Complaint complaint = decoder.complaint();
  if (complaint.empty()) complaint = invalid(value);
  if (!complaint.empty()) return fail(Code::invalid, std::move(complaint));
  return value;
}

}  // namespace

template <>
Result<Attachment> from_json(const json& message) {
  return decode<Attachment>(message);
}
template <>
Result<Bandwidth> from_json(const json& message) {
  return decode<Bandwidth>(message);
}
template <>
Result<PrepareRequest> from_json(const json& message) {
  return decode<PrepareRequest>(message);
}
template <>
Result<PrepareReply> from_json(const json& message) {
  return decode<PrepareReply>(message);
}
template <>
Result<CommitRequest> from_json(const json& message) {
  return decode<CommitRequest>(message);
}
template <>
Result<RemoveRequest> from_json(const json& message) {
  return decode<RemoveRequest>(message);
}
template <>
Result<RemoveBeginReply> from_json(const json& message) {
  return decode<RemoveBeginReply>(message);
}
template <>
Result<CheckReply> from_json(const json& message) {
  return decode<CheckReply>(message);
}
template <>
Result<GcRequest> from_json(const json& message) {
  return decode<GcRequest>(message);
}
template <>
Result<CniStatusReply> from_json(const json& message) {
  return decode<CniStatusReply>(message);
}

}  // namespace netkite::wire
