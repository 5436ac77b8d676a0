// SPDX-License-Identifier: Apache-2.0
#include "agent/app/stale_sockets.hpp"

#include <linux/netlink.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <map>
#include <tuple>
#include <utility>

#include "common/netlink/netns.hpp"
#include "common/netlink/sock_diag.hpp"

namespace netkite::app {
namespace {

// In the calling thread's network namespace. How many were there still.
Result<std::size_t> abort_all(const std::vector<netlink::UdpSocket>& sockets) {
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

}  // namespace

StaleSockets::StaleSockets(boost::asio::io_context& context, datapath::Datapath& datapath, Neighbourhood neighbourhood,
                           std::chrono::milliseconds pause, std::chrono::milliseconds longest)
    : timer_(context),
      datapath_(datapath),
      neighbourhood_(std::move(neighbourhood)),
      pause_(pause),
      longest_(longest),
      next_(pause) {
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
  next_ = pause_;
  wait(pause_);
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
  const auto left = end_all();
  trouble_ = left ? std::string()
                  : "services: connected UDP sockets may keep backends that have gone: " + left.error().message;
  if (left && *left == 0) return;
  wait(next_);
  next_ = std::min(2 * next_, longest_);
}

Result<std::size_t> StaleSockets::end_all() {
  const auto stale = datapath_.stale_sockets();
  if (!stale) return tl::make_unexpected(stale.error());
  std::size_t left = 0;
  std::map<std::tuple<service::Frontend, Ip, std::uint16_t>, bool> serves;
  std::map<std::uint64_t, Sockets> gone;
  for (const auto& each : *stale) {
    const auto& socket = each.socket;
    const auto [known, fresh] = serves.try_emplace({each.service, socket.remote, socket.remote_port});
    if (fresh) known->second = neighbourhood_.serves(each);
    if (known->second) {
      ++left;
    } else {
      gone[each.netns].push_back(socket);
    }
  }
  Result<void> all;
  for (const auto& [netns, sockets] : gone) {
    const auto ended = end(netns, sockets);
    if (!ended) all = tl::make_unexpected(ended.error());
    left += ended.value_or(0);
  }
  return all.map([left] { return left; });
}

// How many were to be ended.
Result<std::size_t> StaleSockets::end(std::uint64_t netns, const Sockets& sockets) const {
  std::size_t ended = 0;
  const auto work = [&] { return abort_all(sockets).map([&](std::size_t count) { ended = count; }); };
  const auto own = netlink::current_netns();
  if (!own) return tl::make_unexpected(own.error());
  Result<void> done;
  if (own->inode == netns) {
    done = work();
  } else {
    const auto paths = neighbourhood_.netns_paths(netns);
    if (paths.empty()) return 0;
    const auto opened = open_one(paths, netns);
    if (!opened) return tl::make_unexpected(opened.error());
    done = netlink::in_netns(opened->get(), work);
  }
  if (ended > 0) {
    spdlog::info("{} connected UDP sockets of one network namespace lost their backend and will ask again", ended);
  }
  return done.map([&sockets] { return sockets.size(); });
}

Result<UniqueFd> StaleSockets::open_one(const std::vector<std::string>& paths, std::uint64_t netns) {
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

std::vector<std::string> StaleSockets::problems() const {
  return trouble_.empty() ? std::vector<std::string>() : std::vector<std::string>{trouble_};
}

}  // namespace netkite::app
