// SPDX-License-Identifier: Apache-2.0
#include "cni-plugin/cni_args.hpp"

#include <charconv>

#include "cni-plugin/quote.hpp"

namespace netkite::cni {
namespace {

constexpr std::size_t kLongestName = 253;  // bytes of a pod's name or namespace, as Kubernetes has it

tl::unexpected<CniError> bad_args(const std::string& problem) {
  return refuse(ErrorCode::environment, "CNI_ARGS: " + problem);
}

// The text up to `separator`; `rest` continues behind it.
std::string_view take(std::string_view& rest, char separator) {
  const auto end = rest.find(separator);
  const auto head = rest.substr(0, end);
  rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
  return head;
}

Outcome<void> read_ips(std::string_view value, std::vector<Ip>& ips) {
  while (!value.empty()) {
    auto address = parse_wanted_ip(take(value, ','));
    if (!address) return bad_args("IP: " + address.error().message);
    ips.push_back(*address);
  }
  return {};
}

std::string* text_field(CniArgs& args, std::string_view key) {
  if (key == "K8S_POD_NAMESPACE") return &args.pod_namespace;
  if (key == "K8S_POD_NAME") return &args.pod_name;
  if (key == "K8S_POD_UID") return &args.pod_uid;
  return nullptr;
}

struct Reader {
  CniArgs args;
  bool ignore_unknown = false;
  std::string unknown;  // the first one

  Outcome<void> read(std::string_view key, std::string_view value) {
    if (key == "IgnoreUnknown") return read_ignore(value);
    if (key == "IP") return read_ips(value, args.ips);
    if (key == "MAC") return read_mac(value);
    if (key == "K8S_POD_INFRA_CONTAINER_ID") return {};  // the same as CNI_CONTAINERID
    if (std::string* field = text_field(args, key); field != nullptr) {
      if (value.size() > kLongestName) return bad_args(std::string(key) + " is longer than 253 characters");
      *field = value;
      return {};
    }
    if (unknown.empty()) unknown = key;
    return {};
  }

  Outcome<void> read_ignore(std::string_view value) {
    ignore_unknown = value == "1" || value == "true" || value == "True" || value == "TRUE";
    if (ignore_unknown || value == "0" || value == "false" || value == "False" || value == "FALSE") return {};
    return bad_args("IgnoreUnknown is " + quote(value) + ": it must be 1, 0, true or false");
  }

  Outcome<void> read_mac(std::string_view value) {
    auto mac = Mac::parse(value);
    if (!mac) return bad_args("MAC: " + mac.error().message);
    args.mac = *mac;
    return {};
  }
};

}  // namespace

Result<Ip> parse_wanted_ip(std::string_view text) {
  const auto slash = text.find('/');
  auto address = Ip::parse(text.substr(0, slash));
  if (!address || slash == std::string_view::npos) return address;
  const auto digits = text.substr(slash + 1);
  unsigned length = 0;
  const auto parsed = std::from_chars(digits.data(), digits.data() + digits.size(), length);
  if (parsed.ec != std::errc() || parsed.ptr != digits.data() + digits.size() || length > address->width()) {
    return fail(Code::invalid,
                quote(text) + " has a bad prefix length: leave it out or use /" + std::to_string(address->width()));
  }
  return address;
}

Outcome<CniArgs> parse_cni_args(std::string_view text) {
  Reader reader;
  while (!text.empty()) {
    const auto pair = take(text, ';');
    if (pair.empty()) continue;
    const auto equals = pair.find('=');
    if (equals == std::string_view::npos || equals == 0) return bad_args(quote(pair) + " is not of the form KEY=VALUE");
    if (auto read = reader.read(pair.substr(0, equals), pair.substr(equals + 1)); !read) {
      return tl::make_unexpected(read.error());
    }
  }
  if (!reader.unknown.empty() && !reader.ignore_unknown) {
    return bad_args("key " + quote(reader.unknown) + " is not known: remove it or add IgnoreUnknown=1");
  }
  return reader.args;
}

}  // namespace netkite::cni
