// SPDX-License-Identifier: Apache-2.0
// Connections that a node translates. The agent answers in steps through its table.
#include "cli/commands.hpp"
#include "cli/fields.hpp"
#include "cli/list.hpp"

namespace netkite::cli {
namespace {

using Json = nlohmann::json;

// As many as asked for, and whether there are more.
Result<Json> fetch(Agent& agent, std::string_view op, const std::string& key, std::uint64_t limit) {
  Json list = Json::array();
  std::uint64_t place = 0;
  for (;;) {
    auto step = agent.call(op, {{"offset", place}});
    if (!step) return step;
    const auto next = whole_number(*step, "next");
    bool more = next > place;
    for (auto& item : items(*step, key)) {
      if (list.size() == limit) more = true;
      if (list.size() < limit && item.is_object()) list.push_back(std::move(item));
    }
    place = next;
    if (more && list.size() < limit) continue;
    return Json{{key, std::move(list)},
                {"more", more},
                {"used", whole_number(*step, "used")},
                {"room", whole_number(*step, "room")}};
  }
}

void say_more(std::ostream& out, const Json& reply, std::uint64_t limit) {
  const auto more = reply.find("more");
  if (more == reply.end() || !more->is_boolean() || !more->get<bool>()) return;
  out << "the first " << limit << ", of a table with " << text(reply, "used") << " of " << text(reply, "room")
      << " entries in use; --limit shows more\n";
}

}  // namespace

Result<void> show_translations(Agent& agent, const Arguments& arguments, std::ostream& out) {
  const auto reply = fetch(agent, "nat", "connections", arguments.limit);
  if (!reply) return tl::make_unexpected(reply.error());
  if (arguments.output == Output::json) {
    print_json(out, *reply);
    return {};
  }
  auto rows = items(*reply, "connections");
  for (auto& row : rows) {
    for (const std::string key : {"client", "entrance", "backend", "source"}) row[key] = place(row, key);
    row["idle"] = readable_seconds(whole_number(row, "idle_s"));
  }
  print_list(out, rows, {"PROTOCOL", "CLIENT", "ENTRANCE", "BACKEND", "SOURCE", "STATE", "IDLE", "USE"},
             {"protocol", "client", "entrance", "backend", "source", "state", "idle", "use"});
  say_more(out, *reply, arguments.limit);
  return {};
}

Result<void> list_connections(Agent& agent, const Arguments& arguments, std::ostream& out) {
  const auto reply = fetch(agent, "conntrack_list", "entries", arguments.limit);
  if (!reply) return tl::make_unexpected(reply.error());
  if (arguments.output == Output::json) {
    print_json(out, *reply);
    return {};
  }
  auto rows = items(*reply, "entries");
  for (auto& row : rows) {
    for (const std::string key : {"from", "to"}) {
      const auto found = row.find(key);
      const auto tuple = found != row.end() && found->is_object() ? *found : Json::object();
      row[key] = place(tuple, "source") + " > " + place(tuple, "destination");
    }
    for (const std::string key : {"idle", "expires"}) row[key] = readable_seconds(whole_number(row, key + "_s"));
  }
  print_list(out, rows, {"PROTOCOL", "DIRECTION", "COMES AS", "LEAVES AS", "STATE", "IDLE", "EXPIRES", "USE"},
             {"protocol", "direction", "from", "to", "state", "idle", "expires", "use"});
  say_more(out, *reply, arguments.limit);
  return {};
}

Result<void> flush_connections(Agent& agent, const Arguments& arguments, std::ostream& out) {
  Json wanted = Json::object();
  if (!arguments.address.empty()) wanted["address"] = arguments.address;
  if (!arguments.protocol.empty()) wanted["protocol"] = arguments.protocol;
  if (arguments.port) wanted["port"] = *arguments.port;
  std::uint64_t removed = 0;
  for (std::uint64_t place = 0, next = 0;; place = next) {
    wanted["offset"] = place;
    const auto step = agent.call("conntrack_flush", wanted);
    if (!step && removed == 0) return tl::make_unexpected(step.error());
    if (!step) return wrap(step.error(), "after " + std::to_string(removed) + " connections, which are forgotten");
    removed += whole_number(*step, "removed");
    next = whole_number(*step, "next");
    if (next <= place) break;
  }
  if (arguments.output == Output::json) {
    print_json(out, {{"removed", removed}});
  } else {
    out << removed << (removed == 1 ? " connection" : " connections") << " forgotten\n";
  }
  return {};
}

}  // namespace netkite::cli
