// SPDX-License-Identifier: Apache-2.0
// A connected socket of datagrams asks nobody between connect and close: when its backend goes it would send to nobody,
// or to whoever gets the address next. Its connection is taken away, so that its owner asks again.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <cstddef>
#include <functional>
#include <future>
#include <map>
#include <string>
#include <vector>

#include "agent/datapath/datapath.hpp"
#include "common/base/result.hpp"

namespace netkite::app {

struct LookPauses {
  std::chrono::milliseconds first = std::chrono::seconds(1), longest = std::chrono::minutes(1);
  std::chrono::milliseconds patience = std::chrono::seconds(5);  // before sockets that do not end are a problem
};

class StaleSockets {
 public:
  using Sockets = std::vector<netlink::UdpSocket>;
  // Those of the calling thread's network namespace; how many there were still. Waits for whoever holds one.
  [[nodiscard]] static Result<std::size_t> abort_all(const Sockets& sockets);

  struct Neighbourhood {
    // Who is no backend any more may end what it has begun: a pod that is going.
    std::function<bool(const datapath::StaleSocket& stale)> serves;
    // Of a network namespace, by its inode; empty: nobody's that we know.
    std::function<std::vector<std::string>(std::uint64_t inode)> netns_paths;
    std::function<Result<std::size_t>(const Sockets& sockets)> abort = abort_all;
  };
  // The datapath outlives this. Looks at all sockets a while after backends have gone, as the next one may go soon, and
  // somebody may just be connecting; and again until there is nobody left, less and less often.
  StaleSockets(boost::asio::io_context& context, datapath::Datapath& datapath, Neighbourhood neighbourhood,
               LookPauses pauses = {});

  // Services have changed; `gone`: there are backends fewer.
  void follow(bool gone);
  void stop();

  [[nodiscard]] std::vector<std::string> problems() const;

 private:
  using Time = std::chrono::steady_clock::time_point;
  // In a network namespace, on a thread that nobody joins: it may wait for as long as a pod likes.
  struct Ending {
    std::future<Result<std::size_t>> outcome;
    Time begun;
  };
  // What a look has found.
  struct Found {
    bool left = false;  // somebody, in a namespace that we know, or was until just now
    bool held = false;  // by owners who are just using their sockets
    Result<void> all;
  };

  void look_soon();
  void wait(std::chrono::milliseconds time);
  void work();
  [[nodiscard]] Found look();
  // Of endings: what came of them, or why not.
  [[nodiscard]] Result<void> collect();
  [[nodiscard]] Result<std::vector<std::string>> paths_of(std::uint64_t netns) const;
  [[nodiscard]] Result<void> begin(const std::vector<std::string>& paths, std::uint64_t netns, Sockets sockets);

  boost::asio::steady_timer timer_;
  datapath::Datapath& datapath_;
  Neighbourhood neighbourhood_;
  LookPauses pauses_;
  std::chrono::milliseconds next_;
  std::map<std::uint64_t, Ending> endings_;  // by network namespace
  std::string trouble_;
  bool waits_ = false, stopped_ = false;
};

}  // namespace netkite::app
