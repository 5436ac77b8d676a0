// SPDX-License-Identifier: Apache-2.0
// Dispatch, and the plugin's operations.
#include "agent/api/handlers.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>

namespace netkite::api {
namespace {

constexpr std::size_t kMaxBegun = 64;  // attachments that one connection may have under way

std::string text_of(const std::vector<Ip>& addresses) {
  std::string text;
  for (const auto& address : addresses) text += (text.empty() ? "" : " ") + address.to_string();
  return text;
}

std::string text_of(const wire::Attachment& attachment) { return attachment.container_id + "/" + attachment.ifname; }

}  // namespace

struct Handlers::Operation {
  std::string_view name;
  Reply (Handlers::*run)(Session&, const Request&);
};

const Handlers::Operation* Handlers::find(std::string_view name) {
  static constexpr std::array kOperations = {
      Operation{"prepare", &Handlers::prepare},
      Operation{"commit", &Handlers::commit},
      Operation{"remove_begin", &Handlers::remove_begin},
      Operation{"remove_end", &Handlers::remove_end},
      Operation{"check", &Handlers::check},
      Operation{"gc", &Handlers::gc},
      Operation{"cni_status", &Handlers::cni_status},
      Operation{"status", &Handlers::status},
      Operation{"endpoints", &Handlers::endpoints},
      Operation{"programs", &Handlers::programs},
      Operation{"maps", &Handlers::maps},
      Operation{"drops", &Handlers::drops},
      Operation{"prefilter_add", &Handlers::prefilter_add},
      Operation{"prefilter_del", &Handlers::prefilter_del},
      Operation{"prefilter_list", &Handlers::prefilter_list},
      Operation{"services", &Handlers::services},
      Operation{"conntrack_list", &Handlers::conntrack_list},
      Operation{"conntrack_flush", &Handlers::conntrack_flush},
      Operation{"nat", &Handlers::nat},
      Operation{"monitor", &Handlers::monitor},
  };
  const auto* const found = std::ranges::find(kOperations, name, &Operation::name);
  return found == kOperations.end() ? nullptr : found;
}

Handlers::Handlers(endpoint::Manager& manager, datapath::Datapath& datapath, std::function<NodeStatus()> status)
    : manager_(manager), datapath_(datapath), status_(std::move(status)) {}

std::string Handlers::handle(Session& session, std::string_view message, std::vector<UniqueFd> descriptors) {
  Reply reply = fail(Code::io, "");
  try {
    auto body = wire::parse_object(message);
    reply = body ? dispatch(session, {.body = *std::move(body), .descriptors = std::move(descriptors)})
                 : Reply(tl::make_unexpected(body.error()));
  } catch (const std::exception& error) {
    spdlog::error("a request ended with an exception: {}", error.what());
    reply = fail(Code::io, std::string("internal error: ") + error.what());
  }
  log_reports();
  auto text = wire::to_text(reply ? wire::success(*std::move(reply)) : wire::to_json(reply.error()));
  if (text.size() <= wire::kMaxMessage) return text;
  return wire::to_text(wire::to_json(Error{.code = Code::exhausted, .message = "the reply is too long"}));
}

Handlers::Reply Handlers::dispatch(Session& session, Request request) {
  const auto op = request.body.find("op");
  if (op == request.body.end() || !op->is_string()) return fail(Code::invalid, "op is missing");
  const auto* operation = find(op->get_ref<const std::string&>());
  if (operation == nullptr) return fail(Code::unsupported, "op \"" + op->get<std::string>() + "\" is unknown");
  const std::size_t wanted = operation->run == &Handlers::prepare ? 1 : 0;
  if (request.descriptors.size() != wanted) {
    return fail(Code::invalid, std::string(operation->name) + " takes " + std::to_string(wanted) +
                                   " file descriptors, not " + std::to_string(request.descriptors.size()));
  }
  return (this->*operation->run)(session, request);
}

void Handlers::ended(CallTimes& times, const wire::Attachment& attachment) {
  const auto begun = begun_.find(attachment);
  if (begun == begun_.end()) return;
  times.took(std::chrono::steady_clock::now() - begun->second);
  begun_.erase(begun);
}

void Handlers::closed(Session& session) {
  for (const auto& attachment : session.adding) {
    spdlog::warn("ADD {}: the plugin went away before it was done; undone", text_of(attachment));
    adds_.failed();
    begun_.erase(attachment);
    manager_.abandon(attachment);
  }
  for (const auto& attachment : session.removing) {
    begun_.erase(attachment);
    spdlog::warn("DEL {}: the plugin went away before it was done; finished", text_of(attachment));
    if (auto removed = manager_.remove_end({.attachment = attachment}); !removed) {
      spdlog::error("DEL {}: {}", text_of(attachment), removed.error().message);
    }
  }
  session = {};
  log_reports();
}

void Handlers::log_reports() {
  for (const auto& line : manager_.take_reports()) spdlog::warn("{}", line);
}

Handlers::Reply Handlers::prepare(Session& session, const Request& request) {
  if (session.adding.size() >= kMaxBegun) return fail(Code::exhausted, "too many ADDs on one connection");
  const auto wanted = wire::from_json<wire::PrepareRequest>(request.body);
  if (!wanted) return tl::make_unexpected(wanted.error());
  const auto begin = std::chrono::steady_clock::now();
  const auto reply = manager_.prepare(*wanted, request.descriptors.front());
  if (!reply) {
    adds_.failed();
    spdlog::warn("ADD {}: {}", text_of(wanted->attachment), reply.error().message);
    return tl::make_unexpected(reply.error());
  }
  session.adding.insert(wanted->attachment);
  begun_[wanted->attachment] = begin;
  spdlog::info("ADD {} of {}/{}: {} on {}", text_of(wanted->attachment), wanted->pod_namespace, wanted->pod_name,
               text_of(reply->addresses), reply->host_ifname);
  return wire::to_json(*reply);
}

Handlers::Reply Handlers::commit(Session& session, const Request& request) {
  const auto wanted = wire::from_json<wire::CommitRequest>(request.body);
  if (!wanted) return tl::make_unexpected(wanted.error());
  if (session.adding.erase(wanted->attachment) == 0) {
    return fail(Code::not_found, text_of(wanted->attachment) + " was not prepared on this connection");
  }
  if (auto done = manager_.commit(*wanted); !done) {
    adds_.failed();
    begun_.erase(wanted->attachment);
    spdlog::error("ADD {}: {}", text_of(wanted->attachment), done.error().message);
    return tl::make_unexpected(done.error());
  }
  ended(adds_, wanted->attachment);
  return Json::object();
}

Handlers::Reply Handlers::remove_begin(Session& session, const Request& request) {
  if (session.removing.size() >= kMaxBegun) return fail(Code::exhausted, "too many DELs on one connection");
  const auto wanted = wire::from_json<wire::RemoveRequest>(request.body);
  if (!wanted) return tl::make_unexpected(wanted.error());
  const auto begin = std::chrono::steady_clock::now();
  const auto reply = manager_.remove_begin(*wanted);
  if (!reply) {
    dels_.failed();
    spdlog::error("DEL {}: {}", text_of(wanted->attachment), reply.error().message);
    return tl::make_unexpected(reply.error());
  }
  if (reply->known) {
    session.removing.insert(wanted->attachment);
    begun_[wanted->attachment] = begin;
    spdlog::info("DEL {}", text_of(wanted->attachment));
  }
  return wire::to_json(*reply);
}

Handlers::Reply Handlers::remove_end(Session& session, const Request& request) {
  const auto wanted = wire::from_json<wire::RemoveRequest>(request.body);
  if (!wanted) return tl::make_unexpected(wanted.error());
  session.removing.erase(wanted->attachment);
  if (auto done = manager_.remove_end(*wanted); !done) {
    dels_.failed();
    begun_.erase(wanted->attachment);
    spdlog::error("DEL {}: {}", text_of(wanted->attachment), done.error().message);
    return tl::make_unexpected(done.error());
  }
  ended(dels_, wanted->attachment);
  return Json::object();
}

Handlers::Reply Handlers::check(Session& /*session*/, const Request& request) {
  const auto found = request.body.find("attachment");
  if (found == request.body.end()) return fail(Code::invalid, "attachment is missing");
  const auto attachment = wire::from_json<wire::Attachment>(*found);
  if (!attachment) return wrap(attachment.error(), "attachment");
  const auto reply = manager_.check(*attachment);
  if (!reply) return tl::make_unexpected(reply.error());
  if (!reply->problem.empty()) spdlog::warn("CHECK {}: {}", text_of(*attachment), reply->problem);
  return wire::to_json(*reply);
}

Handlers::Reply Handlers::gc(Session& /*session*/, const Request& request) {
  const auto wanted = wire::from_json<wire::GcRequest>(request.body);
  if (!wanted) return tl::make_unexpected(wanted.error());
  const auto removed = manager_.gc(*wanted);
  if (!removed) {
    spdlog::error("{}", removed.error().message);
    return tl::make_unexpected(removed.error());
  }
  for (const auto& attachment : *removed) spdlog::info("GC: removed {}", text_of(attachment));
  return Json{{"removed", removed->size()}};
}

Handlers::Reply Handlers::cni_status(Session& /*session*/, const Request& /*request*/) {
  const auto node = status_();
  wire::CniStatusReply reply{.ready = node.uplinks_attached, .addresses_left = manager_.addresses_left()};
  if (!node.not_ready.empty()) {
    reply = {.ready = false, .addresses_left = true, .message = node.not_ready};
  } else if (node.view.uplinks.empty()) {
    // Pods reach each other and the node: limited connectivity, which the plugin reports for addresses_left == false.
    reply = {.ready = true, .addresses_left = false, .message = "the node has no uplink: its pods reach no other node"};
  } else if (!reply.ready) {
    reply.message = node.problems.empty() ? "programs are not attached to every uplink" : node.problems.front();
  } else if (!reply.addresses_left) {
    reply.message = "a pool has no address left";
  }
  return wire::to_json(reply);
}

}  // namespace netkite::api
