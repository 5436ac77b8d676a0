// SPDX-License-Identifier: Apache-2.0
#include "agent/kube/served.hpp"

#include <algorithm>
#include <array>

#include "agent/kube/reading.hpp"

namespace netkite::kube {

std::string served_selector() {
  return "labelSelector=" + percent_encoded("!" + std::string(kOtherProxy) + ",!" + kHeadless);
}

bool is_served(const Json& metadata) {
  const auto labels = member(metadata, "labels");
  return !labels.is_object() || (!labels.contains(kOtherProxy) && !labels.contains(kHeadless));
}

std::string qualified_name(const Json& metadata) {
  return text_at(metadata, "namespace") + "/" + text_at(metadata, "name");
}

bool flag_at(const Json& object, const char* key, bool otherwise) {
  const auto flag = member(object, key);
  return flag.is_boolean() ? flag.get<bool>() : otherwise;
}

Result<std::uint32_t> number_at(const Json& object, const char* key, std::uint32_t largest) {
  const auto number = member(object, key);
  if (number.is_null()) return 0;
  // Json keeps what is not negative as unsigned.
  if (!number.is_number_unsigned() || number.get<std::uint64_t>() > largest) {
    return fail(Code::invalid, std::string(key) + ": it is no number from 0 to " + std::to_string(largest));
  }
  return number.get<std::uint32_t>();
}

Result<Protocol> protocol_at(const Json& object) {
  const auto text = text_at(object, "protocol");
  if (text.empty() || text == "TCP") return Protocol::tcp;
  if (text == "UDP") return Protocol::udp;
  if (text == "SCTP") return Protocol::sctp;
  return fail(Code::invalid, "protocol: it is none of TCP, UDP and SCTP");
}

bool is_ordinary(const Ip& address) {
  constexpr std::array<std::uint8_t, 12> kMapped = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  return !address.is_loopback() && !address.is_multicast() && !address.is_link_local() && !address.is_unspecified() &&
         !(address.is_v6() && std::ranges::equal(address.bytes().first(kMapped.size()), kMapped));
}

Result<Ip> ordinary_address(const Json& text) {
  if (!text.is_string()) return fail(Code::invalid, "it holds something that is no string");
  auto address = Ip::parse(text.get_ref<const std::string&>());
  if (address && !is_ordinary(*address)) {
    return fail(Code::invalid, address->to_string() + " cannot be an address of it");
  }
  return address;
}

}  // namespace netkite::kube
