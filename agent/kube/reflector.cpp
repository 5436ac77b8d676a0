// SPDX-License-Identifier: Apache-2.0
#include "agent/kube/reflector.hpp"

#include <algorithm>

#include "agent/kube/reading.hpp"
#include "common/base/await.hpp"

namespace netkite::kube {
namespace {

namespace asio = boost::asio;
using Clock = std::chrono::steady_clock;

// A server that ends watches faster than that would be asked in a circle.
constexpr auto kShortestWatch = std::chrono::seconds(1);
constexpr auto kSteady = std::chrono::seconds(10);  // a session that lasts longer was a good one
constexpr auto kSlack = std::chrono::seconds(20);   // for a watch beyond the time at which the server ends it

std::string name_at(const Json& object, const char* key) {
  const auto metadata = object.find("metadata");
  return metadata == object.end() ? "" : text_at(*metadata, key);
}

std::string key_of(const Json& object) {
  const auto name = name_at(object, "name"), space = name_at(object, "namespace");
  return space.empty() ? name : space + "/" + name;
}

}  // namespace

Reflector::Reflector(asio::io_context& context, Source source, Resource resource, Events events, Pace pace)
    : context_(context),
      source_(std::move(source)),
      resource_(std::move(resource)),
      events_(std::move(events)),
      pace_(pace),
      timer_(context),
      heard_(Clock::now()),
      next_pause_(pace.first_pause) {
  resource_.fields.merge({"metadata.name", "metadata.namespace", "metadata.resourceVersion"});
}

void Reflector::stop() {
  stopped_ = true;
  timer_.cancel();
  if (connection_) connection_->close();
}

asio::awaitable<void> Reflector::run() {
  while (!stopped_) {
    const auto begin = Clock::now();
    const auto outcome = co_await session();
    if (outcome || Clock::now() - begin > kSteady) next_pause_ = pace_.first_pause;
    if (stopped_) co_return;
    if (!outcome) events_.state(outcome.error().message);
    co_await pause();
  }
}

// Half to one and a half of the current pause, which doubles: all nodes of a cluster must not come back in step.
asio::awaitable<void> Reflector::pause() {
  const auto half = next_pause_.count() / 2;
  timer_.expires_after(std::chrono::milliseconds(std::uniform_int_distribution<long>(half, 3 * half)(random_)));
  next_pause_ = std::min(next_pause_ * 2, absent_ ? pace_.longest_absence : pace_.longest_pause);
  co_await timer_.async_wait(kToken);
}

// One connection for one watch: the next one reads credentials that may have been rotated.
asio::awaitable<Result<void>> Reflector::session() {
  const auto access = read_access(source_);
  if (!access) co_return tl::make_unexpected(access.error());
  auto connection = Connection::make(context_.get_executor(), *access, pace_.deadlines);
  if (!connection) co_return tl::make_unexpected(connection.error());
  connection_ = *std::move(connection);
  auto opened = co_await connection_->open();
  // A server that is back may first have errors to answer, and is soon well: the pauses grow from the shortest again.
  if (opened && absent_) next_pause_ = pace_.first_pause;
  absent_ = !opened.has_value();
  if (!opened) co_return opened;
  // Each time again: a server that is upgraded has the newer one some day.
  path_ = resource_.path;
  auto outcome = co_await follow();
  if (missing_ && resource_.older && connection_->usable()) {
    path_ = resource_.older->path;
    outcome = co_await follow();
  }
  co_return outcome;
}

asio::awaitable<Result<void>> Reflector::follow() {
  missing_ = false;
  const bool synced_now = version_.empty();
  if (synced_now) {
    // The initial events are the beginning of a watch.
    auto synced = co_await sync();
    const bool streamed = streams_;
    // A stream that broke says nothing of the server, and one that was refused may not be by its successor.
    if (synced) streams_ = true;
    if (!synced || streamed || !connection_->usable()) co_return synced;
  }
  auto watched = co_await watch(false);
  // An old version is nobody's fault, and begins again at once; in a circle it must not.
  if (watched && synced_now && version_.empty()) {
    co_return fail(Code::unavailable, path_ + ": the server does not know the version that it has just named");
  }
  co_return watched;
}

asio::awaitable<Result<void>> Reflector::sync() {
  seen_.clear();
  if (streams_) {
    auto outcome = co_await watch(true);
    if (outcome || streams_) co_return outcome;
    // The server does not know it. The connection is only of use when it has answered.
    if (!connection_->usable()) co_return outcome;
  }
  co_return co_await list();
}

asio::awaitable<Result<void>> Reflector::list() {
  std::string next;
  connection_->set_pause(pace_.initial_events);
  do {
    Fields wanted = resource_.fields.below("items");
    wanted.merge({"kind", "code", "message", "metadata.resourceVersion", "metadata.continue"});
    Json head;
    Reading page(
        std::move(wanted), [this](const Json& object) { take_object(object); },
        [&head](Json document) { head = std::move(document); });
    std::string query = "limit=" + std::to_string(pace_.page);
    if (!next.empty()) query += "&continue=" + percent_encoded(next);
    // With a selector the store would have to look at every object for us: rather something old, which the watch mends.
    if (next.empty() && (!exact_ || !resource_.selector.empty())) query += "&resourceVersion=0";
    if (auto fetched = co_await fetch(std::move(query), page); !fetched) {
      if (page.status == kGone) exact_ = true;  // a page's token has expired
      co_return fetched;
    }
    if (auto whole = check_whole(head); !whole) co_return wrap(whole.error(), path_);
    if (!text_at(head, "kind").ends_with("List")) {
      co_return fail(Code::invalid, path_ + ": the answer is no list");
    }
    next = name_at(head, "continue");
    version_ = next.empty() ? name_at(head, "resourceVersion") : "";
  } while (!next.empty());
  if (version_.empty()) co_return fail(Code::invalid, path_ + ": the list has no resourceVersion");
  heard_ = Clock::now();
  settle();
  co_return Result<void>();
}

asio::awaitable<Result<void>> Reflector::watch(bool initial) {
  Fields wanted = resource_.fields.below("object");
  wanted.merge({"type", "kind", "code", "message", "object.code", "object.message"});
  wanted.add_keys({"object", "metadata", "annotations", kInitialEventsEnd});
  Reading reading(std::move(wanted), {}, {});
  reading.initial = initial;
  reading.on_document = [this, &reading](const Json& event) { take_event(event, reading); };
  reading.on_start = [this, initial] {
    if (!initial) events_.state("");
  };
  const auto seconds = std::uniform_int_distribution<long>(pace_.watch.count(), 2 * pace_.watch.count())(random_);
  connection_->set_pause(initial ? pace_.initial_events : std::chrono::seconds(seconds) + kSlack);
  reading.pause_when_synced = std::chrono::seconds(seconds) + kSlack;
  std::string query = "watch=true&allowWatchBookmarks=true&timeoutSeconds=" + std::to_string(seconds) +
                      "&resourceVersion=" + percent_encoded(version_);
  if (initial) query += "&sendInitialEvents=true&resourceVersionMatch=NotOlderThan";

  const auto begin = Clock::now();
  auto outcome = co_await fetch(std::move(query), reading);
  if (reading.status == kGone) {
    version_.clear();
    exact_ = true;
    co_return Result<void>();
  }
  // 1.19 to 1.26 refuse the two parameters, later ones do while the feature is off, older ones send no such bookmark.
  const bool refused = reading.status == 400 || reading.status == 422;
  if (reading.initial && (refused || reading.status == 200)) {
    streams_ = false;
    co_return outcome ? fail(Code::unsupported, "the initial events have no end") : outcome;
  }
  const bool at_once = outcome && reading.events == 0 && Clock::now() - begin < kShortestWatch;
  if (at_once) co_return fail(Code::unavailable, path_ + ": the server ends the watch at once");
  co_return outcome;
}

asio::awaitable<Result<void>> Reflector::fetch(std::string query, Reading& reading) {
  // Not in place: GCC 12 destroys such a temporary twice in a coroutine.
  if (!resource_.selector.empty()) query += "&" + resource_.selector;
  Request request{.target = path_ + "?" + std::move(query), .patch = {}, .body = {}, .remove = false};
  const auto status = co_await connection_->ask(
      std::move(request), [&reading](unsigned code, std::string_view piece) { return reading.take(code, piece); });
  if (!status) co_return wrap(status.error(), path_);
  missing_ = reading.status == kNotFound;
  if (auto whole = reading.finish(); !whole) co_return wrap(whole.error(), path_);
  co_return Result<void>();
}

void Reflector::take_object(const Json& object) {
  const auto key = key_of(object);
  if (key.empty()) return;
  if (version_.empty()) seen_.insert(key);
  known_.insert(key);
  events_.changed(key, object);
}

void Reflector::take_event(const Json& event, Reading& reading) {
  const auto type = text_at(event, "type");
  const auto object = event.find("object");
  if (object == event.end() || !object->is_object()) return reading.refuse("an event without an object");
  ++reading.events;
  ++told_;
  heard_ = Clock::now();
  if (type == "ERROR") {
    const auto code = object->find("code");
    reading.status = code != object->end() && code->is_number_unsigned() ? code->get<unsigned>() : 500;
    return reading.refuse(text_at(*object, "message"));
  }
  if (type == "DELETED") {
    const auto key = key_of(*object);
    if (known_.erase(key) > 0) events_.removed(key);
  } else if (type == "ADDED" || type == "MODIFIED") {
    if (is_whole(event)) {
      take_object(*object);
    } else {
      Json part = *object;
      mark_as_part(part);
      take_object(part);
    }
  } else if (type != "BOOKMARK") {
    return reading.refuse("an event of the unknown type \"" + type + "\"");
  }
  auto version = name_at(*object, "resourceVersion");
  const bool end = reading.initial && type == "BOOKMARK" && is_initial_events_end(*object);
  // Until all are there no version is one to go on from.
  if (!version.empty() && (!reading.initial || end)) version_ = std::move(version);
  // That of the initial events is an answer, and others need not follow.
  if (type == "BOOKMARK" && !reading.initial) connection_->set_pause(pace_.silence);
  if (!end) return;
  reading.initial = false;
  connection_->set_pause(reading.pause_when_synced);
  settle();
}

void Reflector::settle() {
  std::set<std::string> gone;
  std::ranges::set_difference(known_, seen_, std::inserter(gone, gone.end()));
  for (const auto& key : gone) {
    known_.erase(key);
    events_.removed(key);
  }
  seen_.clear();
  exact_ = false;
  events_.state("");
  events_.synced();
}

}  // namespace netkite::kube
