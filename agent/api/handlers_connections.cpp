// SPDX-License-Identifier: Apache-2.0
// The operations on translated connections. Each answers with a step through the table: however many there are, nobody
// else waits for it.
#include <netinet/in.h>

#include <array>
#include <limits>
#include <string_view>
#include <utility>

#include "agent/api/handlers.hpp"
#include "agent/api/page.hpp"

namespace netkite::api {
namespace {

using Json = nlohmann::json;
using datapath::ConnectionEntry;
using datapath::ConnectionFilter;

Json to_json(const datapath::Tuple& tuple) {
  return {{"source", tuple.source.to_string()},
          {"source_port", tuple.source_port},
          {"destination", tuple.destination.to_string()},
          {"destination_port", tuple.destination_port}};
}

Json entry_of(const ConnectionEntry& entry) {
  return {{"use", entry.use},
          {"protocol", entry.protocol},
          {"state", entry.state},
          {"direction", entry.reply ? "reply" : "original"},
          {"from", to_json(entry.from)},
          {"to", to_json(entry.to)},
          {"idle_s", entry.silent_s},
          {"expires_s", entry.expires_s}};
}

// Of the entry that leads away from who began it.
Json translation_of(const ConnectionEntry& entry) {
  return {{"use", entry.use},
          {"protocol", entry.protocol},
          {"state", entry.state},
          {"client", entry.from.source.to_string()},
          {"client_port", entry.from.source_port},
          {"entrance", entry.from.destination.to_string()},
          {"entrance_port", entry.from.destination_port},
          {"backend", entry.to.destination.to_string()},
          {"backend_port", entry.to.destination_port},
          {"source", entry.to.source.to_string()},
          {"source_port", entry.to.source_port},
          {"idle_s", entry.connection_silent_s},
          {"expires_s", entry.expires_s}};
}

Result<std::uint32_t> place_of(const Json& request) {
  const auto page = page_request(request);
  if (!page) return tl::make_unexpected(page.error());
  if (page->offset > std::numeric_limits<std::uint32_t>::max()) return fail(Code::invalid, "offset is too large");
  return static_cast<std::uint32_t>(page->offset);
}

Result<std::uint8_t> protocol_of(const std::string& name) {
  static constexpr std::array<std::pair<std::string_view, std::uint8_t>, 4> kNames = {
      {{"tcp", IPPROTO_TCP}, {"udp", IPPROTO_UDP}, {"icmp", IPPROTO_ICMP}, {"icmpv6", IPPROTO_ICMPV6}}};
  for (const auto& [known, number] : kNames) {
    if (name == known) return number;
  }
  return fail(Code::invalid, "protocol must be tcp, udp, icmp or icmpv6, not \"" + name + "\"");
}

Result<ConnectionFilter> filter_of(const Json& request) {
  ConnectionFilter filter;
  if (const auto found = request.find("address"); found != request.end()) {
    if (!found->is_string()) return fail(Code::invalid, "address must be a string");
    const auto address = Ip::parse(found->get_ref<const std::string&>());
    if (!address) return wrap(address.error(), "address");
    filter.address = *address;
  }
  if (const auto found = request.find("port"); found != request.end()) {
    const auto port = found->is_number_unsigned() ? found->get<std::uint64_t>() : 0;
    if (port < 1 || port > 65535) return fail(Code::invalid, "port must be a number from 1 to 65535");
    filter.port = static_cast<std::uint16_t>(port);
  }
  if (const auto found = request.find("protocol"); found != request.end()) {
    if (!found->is_string()) return fail(Code::invalid, "protocol must be a string");
    const auto protocol = protocol_of(found->get_ref<const std::string&>());
    if (!protocol) return tl::make_unexpected(protocol.error());
    filter.protocol = *protocol;
  }
  return filter;
}

template <typename ToJson>
Result<Json> step_of(datapath::Datapath& datapath, const Json& request, const std::string& key, ToJson to_json) {
  const auto place = place_of(request);
  if (!place) return tl::make_unexpected(place.error());
  Json list = Json::array();
  const auto next = datapath.list_connections(*place, [&](const ConnectionEntry& entry) { to_json(list, entry); });
  if (!next) return tl::make_unexpected(next.error());
  const auto counts = datapath.connection_counts();
  if (!counts) return tl::make_unexpected(counts.error());
  Json reply{{key, std::move(list)}, {"used", counts->entries}, {"room", counts->max_entries}};
  if (*next) reply["next"] = **next;
  return reply;
}

}  // namespace

Handlers::Reply Handlers::conntrack_list(Session& /*session*/, const Request& request) {
  return step_of(datapath_, request.body, "entries",
                 [](Json& list, const ConnectionEntry& entry) { list.push_back(entry_of(entry)); });
}

Handlers::Reply Handlers::nat(Session& /*session*/, const Request& request) {
  return step_of(datapath_, request.body, "connections", [](Json& list, const ConnectionEntry& entry) {
    if (!entry.reply) list.push_back(translation_of(entry));
  });
}

Handlers::Reply Handlers::conntrack_flush(Session& /*session*/, const Request& request) {
  const auto place = place_of(request.body);
  if (!place) return tl::make_unexpected(place.error());
  const auto filter = filter_of(request.body);
  if (!filter) return tl::make_unexpected(filter.error());
  const auto step = datapath_.flush_connections(*place, *filter);
  if (!step) return tl::make_unexpected(step.error());
  Json reply{{"removed", step->removed}};
  if (step->next) reply["next"] = *step->next;
  return reply;
}

}  // namespace netkite::api
