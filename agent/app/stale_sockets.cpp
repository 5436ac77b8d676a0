// SPDX-License-Identifier: Apache-2.0
#include "agent/app/stale_sockets.hpp"

#include <linux/close_range.h>
#include <linux/netlink.h>
#include <sched.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <map>
#include <system_error>
#include <thread>
#include <tuple>
#include <utility>

#include "common/netlink/netns.hpp"
#include "common/netlink/sock_diag.hpp"

namespace netkite::app {
namespace {

Result<UniqueFd> open_one(const std::vector<std::string>& paths, std::uint64_t netns) {
  Error why;
  for (const auto& path : paths) {
    auto opened = netlink::open_netns(path);
    const auto known = opened.and_then([](const UniqueFd& fd) { return netlink::identify_netns(fd.get()); });
    if (known && known->inode == netns) return opened;
    why = known ? Error{.code = Code::not_found, .message = path + " is another network namespace by now"}
                : known.error();
  }
  return tl::make_unexpected(std::move(why));
}

// The calling thread, for good. It keeps nothing of the process open: who comes after it wants its lock and its ports,
// however long this thread has to wait.
Result<void> enter(const std::vector<std::string>& paths, std::uint64_t netns) {
  if (::close_range(3, ~0U, CLOSE_RANGE_UNSHARE) != 0) return fail_errno(errno, "close_range");
  const auto opened = open_one(paths, netns);
  if (!opened) return tl::make_unexpected(opened.error());
  if (::setns(opened->get(), CLONE_NEWNET) != 0) return fail_errno(errno, "enter the network namespace");
  return {};
}

}  // namespace

Result<std::size_t> StaleSockets::abort_all(const Sockets& sockets) {
  auto kernel = netlink::Socket::open(NETLINK_SOCK_DIAG);
  if (!kernel) return tl::make_unexpected(kernel.error());
  std::size_t count = 0;
  for (const auto& each : sockets) {
    const auto aborted = netlink::abort_udp(*kernel, each);
    if (!aborted) return tl::make_unexpected(aborted.error());
    if (*aborted) ++count;
  }
  if (count == sockets.size()) return count;
  return netlink::can_abort_udp(*kernel).map([count] { return count; });
}

StaleSockets::StaleSockets(boost::asio::io_context& context, datapath::Datapath& datapath, Neighbourhood neighbourhood,
                           LookPauses pauses)
    : timer_(context),
      datapath_(datapath),
      neighbourhood_(std::move(neighbourhood)),
      pauses_(pauses),
      next_(pauses.first) {
  look_soon();  // a former run may have ended before it did
}

void StaleSockets::follow(bool gone) {
  // Who was spared may have gone as well by now.
  if (gone || waits_) look_soon();
}

void StaleSockets::stop() {
  stopped_ = true;
  timer_.cancel();
}

void StaleSockets::look_soon() {
  next_ = pauses_.first;
  wait(next_);
}

void StaleSockets::wait(std::chrono::milliseconds time) {
  if (stopped_) return;
  const auto due = std::chrono::steady_clock::now() + time;
  if (waits_ && timer_.expiry() <= due) return;
  waits_ = true;
  timer_.expires_at(due);
  timer_.async_wait([this](const boost::system::error_code& cancelled) {
    if (cancelled) return;
    waits_ = false;
    work();
  });
}

// One look may miss sockets: the kernel's list shifts while it is read, and of two with the same addresses it ends one.
void StaleSockets::work() {
  const auto found = look();
  trouble_ = found.all
                 ? std::string()
                 : "services: connected UDP sockets may keep backends that have gone: " + found.all.error().message;
  if (found.all && !found.left && endings_.empty()) return;
  // Who uses his socket just now may have let go of it in a moment.
  if (found.held) next_ = pauses_.first;
  wait(next_);
  next_ = std::min(2 * next_, pauses_.longest);
}

StaleSockets::Found StaleSockets::look() {
  Found found{.all = collect()};
  const auto stale = datapath_.stale_sockets();
  if (!stale) return {.left = true, .all = tl::make_unexpected(stale.error())};
  std::map<std::tuple<service::Frontend, Ip, std::uint16_t>, bool> serves;
  std::map<std::uint64_t, std::vector<const datapath::StaleSocket*>> gone;
  for (const auto& each : *stale) {
    const auto& socket = each.socket;
    const auto [known, fresh] = serves.try_emplace({each.service, socket.remote, socket.remote_port});
    if (fresh) known->second = neighbourhood_.serves(each);
    if (known->second) {
      found.left = true;
    } else {
      gone[each.netns].push_back(&each);
    }
  }
  for (const auto& [netns, sockets] : gone) {
    const auto paths = paths_of(netns);
    if (!paths) found.all = tl::make_unexpected(paths.error());
    if (!paths || paths->empty()) continue;
    found.left = true;
    Sockets free;
    for (const auto* each : sockets) {
      found.held = found.held || each->held;
      if (!each->held) free.push_back(each->socket);
    }
    if (free.empty() || endings_.contains(netns)) continue;
    if (auto begun = begin(*paths, netns, std::move(free)); !begun) found.all = std::move(begun);
  }
  return found;
}

Result<void> StaleSockets::collect() {
  Result<void> all;
  const auto now = std::chrono::steady_clock::now();
  for (auto each = endings_.begin(); each != endings_.end();) {
    auto& [outcome, begun] = each->second;
    if (outcome.wait_for(std::chrono::seconds(0)) == std::future_status::ready) {
      const auto ended = outcome.get();
      if (!ended) all = tl::make_unexpected(ended.error());
      if (ended && *ended > 0) {
        spdlog::info("{} connected UDP sockets of one network namespace lost their backend and will ask again", *ended);
      }
      each = endings_.erase(each);
      continue;
    }
    if (now - begun >= pauses_.patience) {
      all = fail(Code::unavailable, "in network namespace " + std::to_string(each->first) +
                                        " they do not end; perhaps somebody there holds one, as he sends from memory "
                                        "that does not come");
    }
    ++each;
  }
  return all;
}

Result<std::vector<std::string>> StaleSockets::paths_of(std::uint64_t netns) const {
  const auto own = netlink::current_netns();
  if (!own) return tl::make_unexpected(own.error());
  if (own->inode == netns) return std::vector<std::string>{"/proc/self/ns/net"};
  return neighbourhood_.netns_paths(netns);
}

Result<void> StaleSockets::begin(const std::vector<std::string>& paths, std::uint64_t netns, Sockets sockets) {
  std::packaged_task<Result<std::size_t>()> task(
      [abort = neighbourhood_.abort, paths, netns, sockets = std::move(sockets)] {
        return enter(paths, netns).and_then([&] { return abort(sockets); });
      });
  auto outcome = task.get_future();
  try {
    std::thread(std::move(task)).detach();
  } catch (const std::system_error& error) {
    return fail_errno(error.code().value(), "start a thread");
  }
  endings_.emplace(netns, Ending{.outcome = std::move(outcome), .begun = std::chrono::steady_clock::now()});
  return {};
}

std::vector<std::string> StaleSockets::problems() const {
  return trouble_.empty() ? std::vector<std::string>() : std::vector<std::string>{trouble_};
}

}  // namespace netkite::app
