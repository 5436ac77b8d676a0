// SPDX-License-Identifier: Apache-2.0
// A connected socket of datagrams asks nobody between connect and close: when its backend goes it would send to nobody,
// or to whoever gets the address next. Its connection is taken away, so that its owner asks again.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <cstddef>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "agent/datapath/datapath.hpp"
#include "common/base/ip.hpp"
#include "common/base/result.hpp"

namespace netkite::app {

class StaleSockets {
 public:
  struct Neighbourhood {
    // Who is no backend any more may end what it has begun: a pod that is going.
    std::function<bool(const Ip& address, std::uint16_t port)> serves;
    // Of a network namespace, by its inode; empty: nobody's that we know.
    std::function<std::string(std::uint64_t inode)> netns_path;
  };
  // The datapath outlives this. Looks at the sockets a while after look(), as the next backend may go soon, and one may
  // just be connecting; and again as long as somebody is spared or something fails.
  StaleSockets(boost::asio::io_context& context, datapath::Datapath& datapath, Neighbourhood neighbourhood,
               std::chrono::milliseconds pause = std::chrono::seconds(1),
               std::chrono::milliseconds again = std::chrono::seconds(5));

  void look() { wait(pause_); }
  void stop();

  [[nodiscard]] std::vector<std::string> problems() const;

 private:
  using Sockets = std::vector<netlink::UdpSocket>;

  void wait(std::chrono::milliseconds time);
  void work();
  // True: one was spared.
  [[nodiscard]] Result<bool> end_all();
  [[nodiscard]] Result<void> end(std::uint64_t netns, const Sockets& sockets) const;

  boost::asio::steady_timer timer_;
  datapath::Datapath& datapath_;
  Neighbourhood neighbourhood_;
  std::chrono::milliseconds pause_, again_;
  std::string trouble_;
  bool waits_ = false, stopped_ = false;
};

}  // namespace netkite::app
