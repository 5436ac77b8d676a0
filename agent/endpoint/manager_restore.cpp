// SPDX-License-Identifier: Apache-2.0
// After a restart: the kernel is the truth, and the ledger is made to agree with it.
#include <algorithm>
#include <filesystem>

#include "agent/endpoint/manager.hpp"
#include "common/base/file.hpp"

namespace netkite::endpoint {
namespace {

Result<wire::Attachment> read_note(const std::filesystem::path& file) {
  const auto text = read_file(file.string(), kMaxRow);
  if (!text) return tl::make_unexpected(text.error());
  const auto json = wire::parse_object(*text);
  if (!json) return tl::make_unexpected(json.error());
  return wire::from_json<wire::Attachment>(*json);
}

}  // namespace

Result<void> Manager::restore() {
  auto contents = store_.load();
  if (!contents) return tl::make_unexpected(contents.error());
  for (auto& problem : contents->problems) report(std::move(problem));
  const auto list = host_->list();
  if (!list) return wrap(list.error(), "restore");
  std::map<std::string, netlink::Link> links;
  for (const auto& link : *list) links.emplace(link.name, link);

  const datapath::ExpediteRcu expedite;
  for (auto& endpoint : contents->endpoints) {
    const auto name = endpoint.host_ifname;
    adopt(std::move(endpoint), links);
    links.erase(name);
  }
  remove_orphans(links);
  work_off_notes();
  return {};
}

void Manager::adopt(Endpoint endpoint, const std::map<std::string, netlink::Link>& links) {
  const auto name = endpoint.host_ifname;
  const bool id_taken =
      std::ranges::any_of(endpoints_, [&endpoint](const auto& other) { return other.second.id == endpoint.id; });
  if (id_taken) endpoint.id = free_id();
  last_order_ = std::max(last_order_, endpoint.order);
  for (const auto& address : endpoint.addresses) {
    auto* pool = pool_of(address);
    const Result<void> reserved = pool != nullptr
                                      ? pool->reserve(address)
                                      : fail(Code::invalid, address.to_string() + " is in none of the pools");
    if (!reserved) report(name + " keeps its address: " + reserved.error().message);
  }
  const auto [entry, fresh] = endpoints_.emplace(endpoint.attachment, std::move(endpoint));
  if (!fresh) return report(name + ": a second ledger row of the same attachment, left alone");

  const auto link = links.find(name);
  const bool alive = entry->second.state == State::ready && link != links.end() &&
                     link->second.index == entry->second.host_ifindex && is_ours(link->second);
  if (!alive) {
    report("removing " + name + ": " +
           (entry->second.state == State::ready ? "its device is gone" : "it was half-made or half-gone"));
    if (auto removed = remove(entry); !removed) report(removed.error().message);
    return;
  }
  // The rows keep what was asked for, should the limits be switched on again.
  if (!options_.bandwidth.enabled && entry->second.bandwidth != wire::Bandwidth()) {
    entry->second.bandwidth = {};
    if (auto lifted = host_->lift_limit(entry->second); !lifted) report(name + ": " + lifted.error().message);
  }
  // What a former run pinned goes on running when this fails, so the pod is left as it is.
  auto attached = datapath_.attach_endpoint(device_of(entry->second));
  if (attached) attached = host_->configure(entry->second);
  if (!attached) report(name + " could not be taken over in full: " + attached.error().message);
}

void Manager::remove_orphans(const std::map<std::string, netlink::Link>& links) {
  for (const auto& [name, link] : links) {
    if (!is_ours(link)) continue;
    const auto removed = host_->remove(name);
    report("removing " + name + ", which has no ledger row" + (removed ? "" : ": " + removed.error().message));
  }
}

void Manager::work_off_notes() {
  std::error_code error;
  std::vector<std::filesystem::path> files;
  // The plugin knows the socket only, so the notes are beside it.
  const auto folder = std::filesystem::path(config::socket_path(options_)).parent_path() / "deferred-del";
  for (std::filesystem::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    if (entry->path().extension() == ".json") files.push_back(entry->path());
  }
  // Without the lock that plugins hold among themselves while they write: a note comes into being whole, and one that
  // is written again for the same attachment meanwhile says nothing new.
  for (const auto& file : files) {
    const auto attachment = read_note(file);
    if (!attachment) {
      report("note " + file.string() + " thrown away: " + attachment.error().message);
    } else if (auto removed = remove_end({.attachment = *attachment}); !removed) {
      report("note " + file.string() + " kept: " + removed.error().message);
      continue;
    }
    std::filesystem::remove(file, error);
  }
}

}  // namespace netkite::endpoint
