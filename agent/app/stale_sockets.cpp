// SPDX-License-Identifier: Apache-2.0
#include "agent/app/stale_sockets.hpp"

#include <linux/netlink.h>
#include <spdlog/spdlog.h>

#include <utility>

#include "common/netlink/netns.hpp"
#include "common/netlink/sock_diag.hpp"

namespace netkite::app {
namespace {

// In the calling thread's network namespace. How many there were still.
Result<std::size_t> abort_all(const std::vector<netlink::UdpSocket>& sockets) {
  auto kernel = netlink::Socket::open(NETLINK_SOCK_DIAG);
  if (!kernel) return tl::make_unexpected(kernel.error());
  std::size_t count = 0;
  for (const auto& each : sockets) {
    const auto aborted = netlink::abort_udp(*kernel, each);
    if (!aborted) return tl::make_unexpected(aborted.error());
    if (*aborted) ++count;
  }
  return count;
}

}  // namespace

StaleSockets::StaleSockets(boost::asio::io_context& context, datapath::Datapath& datapath, Neighbourhood neighbourhood,
                           std::chrono::milliseconds pause, std::chrono::milliseconds again)
    : timer_(context), datapath_(datapath), neighbourhood_(std::move(neighbourhood)), pause_(pause), again_(again) {
  look();  // a former run may have ended before it did
}

void StaleSockets::stop() {
  stopped_ = true;
  timer_.cancel();
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

void StaleSockets::work() {
  const auto spared = end_all();
  trouble_ = spared ? std::string()
                    : "services: connected UDP sockets may keep backends that have gone: " + spared.error().message;
  if (!spared || *spared) wait(again_);
}

Result<bool> StaleSockets::end_all() {
  const auto stale = datapath_.stale_sockets();
  if (!stale) return tl::make_unexpected(stale.error());
  bool spared = false;
  std::map<std::pair<Ip, std::uint16_t>, bool> serves;
  std::map<std::uint64_t, Sockets> gone;
  for (const auto& [socket, netns] : *stale) {
    const auto [known, fresh] = serves.try_emplace({socket.remote, socket.remote_port});
    if (fresh) known->second = neighbourhood_.serves(socket.remote, socket.remote_port);
    if (known->second) {
      spared = true;
    } else {
      gone[netns].push_back(socket);
    }
  }
  Result<void> all;
  for (const auto& [netns, sockets] : gone) {
    if (auto ended = end(netns, sockets); !ended) all = std::move(ended);
  }
  if (!all) return tl::make_unexpected(all.error());
  return spared;
}

Result<void> StaleSockets::end(std::uint64_t netns, const Sockets& sockets) const {
  std::size_t ended = 0;
  const auto work = [&] { return abort_all(sockets).map([&](std::size_t count) { ended = count; }); };
  const auto own = netlink::current_netns();
  if (!own) return tl::make_unexpected(own.error());
  std::string where = "the node's processes";
  Result<void> done;
  if (own->inode == netns) {
    done = work();
  } else {
    where = neighbourhood_.netns_path(netns);
    if (where.empty()) return {};
    const auto opened = netlink::open_netns(where);
    if (!opened) return tl::make_unexpected(opened.error());
    // The path may be another's by now, whose sockets have other cookies.
    done = netlink::in_netns(opened->get(), work);
  }
  if (ended > 0) spdlog::info("{} connected UDP sockets in {} lost their backend and will ask again", ended, where);
  return done;
}

std::vector<std::string> StaleSockets::problems() const {
  return trouble_.empty() ? std::vector<std::string>() : std::vector<std::string>{trouble_};
}

}  // namespace netkite::app
