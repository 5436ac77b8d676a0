// SPDX-License-Identifier: Apache-2.0
// A connected socket of datagrams asks nobody between connect and close: when its backend goes it would send to nobody,
// or to whoever gets the address next. Its connection is taken away, so that its owner asks again.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <cstddef>
#include <functional>
#include <string>
#include <vector>

#include "agent/datapath/datapath.hpp"
#include "common/base/result.hpp"
#include "common/base/unique_fd.hpp"

namespace netkite::app {

class StaleSockets {
 public:
  struct Neighbourhood {
    // Who is no backend any more may end what it has begun: a pod that is going.
    std::function<bool(const datapath::StaleSocket& stale)> serves;
    // Of a network namespace, by its inode; empty: nobody's that we know.
    std::function<std::vector<std::string>(std::uint64_t inode)> netns_paths;
  };
  // The datapath outlives this. Looks at all sockets a while after backends have gone, as the next one may go soon, and
  // somebody may just be connecting; and again until there is nobody left, less and less often up to `longest`.
  StaleSockets(boost::asio::io_context& context, datapath::Datapath& datapath, Neighbourhood neighbourhood,
               std::chrono::milliseconds pause = std::chrono::seconds(1),
               std::chrono::milliseconds longest = std::chrono::minutes(1));

  // Services have changed; `gone`: there are backends fewer.
  void follow(bool gone);
  void stop();

  [[nodiscard]] std::vector<std::string> problems() const;

 private:
  using Sockets = std::vector<netlink::UdpSocket>;

  void look_soon();
  void wait(std::chrono::milliseconds time);
  void work();
  // How many there are left in namespaces that we know, and those just ended.
  [[nodiscard]] Result<std::size_t> end_all();
  [[nodiscard]] Result<std::size_t> end(std::uint64_t netns, const Sockets& sockets) const;
  [[nodiscard]] static Result<UniqueFd> open_one(const std::vector<std::string>& paths, std::uint64_t netns);

  boost::asio::steady_timer timer_;
  datapath::Datapath& datapath_;
  Neighbourhood neighbourhood_;
  std::chrono::milliseconds pause_, longest_, next_;
  std::string trouble_;
  bool waits_ = false, stopped_ = false;
};

}  // namespace netkite::app
