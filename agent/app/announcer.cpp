// SPDX-License-Identifier: Apache-2.0
#include "agent/app/announcer.hpp"

#include <algorithm>
#include <array>
#include <ctime>

#include "agent/kube/exchange.hpp"
#include "common/base/await.hpp"

namespace netkite::app {
namespace {

namespace asio = boost::asio;

std::string rfc3339(std::time_t time) {
  std::tm parts{};
  ::gmtime_r(&time, &parts);
  std::array<char, 32> text{};
  return {text.data(), std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ", &parts)};
}

}  // namespace

Announcer::Announcer(asio::io_context& context, kube::Source source, std::string node_name,
                     std::function<void()> changed, Pauses pauses)
    : context_(context),
      source_(std::move(source)),
      name_(std::move(node_name)),
      changed_(std::move(changed)),
      pauses_(pauses),
      timer_(context) {}

asio::awaitable<void> Announcer::run() {
  auto pause = pauses_.shortest;
  while (!stopped_) {
    auto requests = due();
    if (requests.empty()) {
      timer_.expires_at(asio::steady_timer::time_point::max());
      co_await timer_.async_wait(kToken);
      continue;
    }
    const auto told = co_await tell(std::move(requests));
    if (stopped_) co_return;
    set_trouble(told ? "" : told.error().message);
    pause = told ? pauses_.shortest : std::min(pause * 2, pauses_.longest);
    // The watch says what has become of it; until then the same must not be said again and again.
    resting_ = true;
    timer_.expires_after(pause);
    co_await timer_.async_wait(kToken);
    resting_ = false;
  }
}

void Announcer::stop() {
  stopped_ = true;
  timer_.cancel();
  if (connection_) connection_->close();
}

void Announcer::set_ready(bool ready) {
  ready_ = ready;
  wake();
}

void Announcer::set_marks(std::optional<kube::NodeMarks> marks) {
  marks_ = std::move(marks);
  wake();
}

void Announcer::wake() {
  if (due().empty()) set_trouble("");
  if (!resting_) timer_.cancel();
}

std::vector<kube::Request> Announcer::due() const {
  if (!ready_ || !marks_) return {};
  return kube::requests_for(name_, *marks_, rfc3339(std::time(nullptr)));
}

// A connection for each time, with credentials as they are now: there is seldom anything to say.
asio::awaitable<Result<void>> Announcer::connect() {
  const auto access = kube::read_access(source_);
  if (!access) co_return tl::make_unexpected(access.error());
  auto connection = kube::Connection::make(context_.get_executor(), *access);
  if (!connection) co_return tl::make_unexpected(connection.error());
  connection_ = *std::move(connection);
  co_return co_await connection_->open();
}

asio::awaitable<Result<void>> Announcer::tell(std::vector<kube::Request> requests) {
  Result<void> outcome;
  for (auto& request : requests) {
    if (!connection_ || !connection_->usable()) {
      if (auto connected = co_await connect(); !connected) co_return connected;
    }
    const auto done = co_await kube::exchange(*connection_, std::move(request));
    // One may be allowed where the other is not.
    if (!done && outcome) outcome = tl::make_unexpected(done.error());
    if (stopped_) break;
  }
  connection_.reset();
  co_return outcome;
}

void Announcer::set_trouble(std::string trouble) {
  if (trouble_ == trouble) return;
  trouble_ = std::move(trouble);
  changed_();
}

}  // namespace netkite::app
