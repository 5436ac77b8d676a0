// SPDX-License-Identifier: Apache-2.0
// Follows one resource of the API server: first all that is there, then every change, for as long as it runs.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <string>

#include "agent/kube/access.hpp"
#include "agent/kube/connection.hpp"
#include "agent/kube/picker.hpp"
#include "common/base/result.hpp"

namespace netkite::kube {

struct Resource {
  // For servers that do not have the other one yet.
  struct Older {
    std::string version, path;
  };

  std::string version, kind;  // "v1", "Node": how a manifest names it
  std::string path;           // "/api/v1/nodes"
  bool namespaced = false;
  std::string selector;             // what the server leaves out: "fieldSelector=…", empty: nothing
  Fields fields;                    // of an object; metadata.name, namespace and resourceVersion come by themselves
  std::optional<Older> older = {};  // its objects are told just the same
};

// A key is "name", or "namespace/name". Objects hold the wanted fields alone and are not checked any further: they need
// not even be whole.
struct Events {
  std::function<void(const std::string& key, const Json& object)> changed;  // new, another one, or the same again
  std::function<void(const std::string& key)> removed;
  std::function<void()> synced;  // all that the server has was told; comes again after each new start
  // Empty: the server is followed. Else why not; it is tried again, with pauses from half a second to half a minute.
  std::function<void(const std::string& trouble)> state;
};

// How a watch is doing, for metrics.
struct Pulse {
  std::size_t objects = 0;
  std::uint64_t events = 0;                     // since the start; bookmarks too, which come about once a minute
  std::chrono::steady_clock::time_point heard;  // the last of them, or a list: what is known is at most that old
};

struct Pace {
  std::chrono::milliseconds first_pause{500}, longest_pause{30'000};
  std::chrono::milliseconds longest_absence{5'000};  // instead of longest_pause while nobody answers at all
  std::chrono::seconds watch{300};                   // the server is asked to end a watch after that time
  std::chrono::milliseconds initial_events{15'000};  // longest silence before all are there
  // Longest silence once the server has sent a bookmark, which comes about once a minute from then on, changes or not.
  // A server that has stopped under a kernel that still answers shows by nothing else.
  std::chrono::milliseconds silence{180'000};
  unsigned page = 500;  // objects
  Deadlines deadlines;
};

struct Reading;  // one answer under way

class Reflector {
 public:
  Reflector(boost::asio::io_context& context, Source source, Resource resource, Events events, Pace pace = {});

  // To be spawned once; ends after stop(). The reflector must outlive it.
  [[nodiscard]] boost::asio::awaitable<void> run();
  void stop();
  [[nodiscard]] Pulse pulse() const { return {.objects = known_.size(), .events = told_, .heard = heard_}; }

 private:
  [[nodiscard]] boost::asio::awaitable<Result<void>> session();
  [[nodiscard]] boost::asio::awaitable<Result<void>> follow();
  [[nodiscard]] boost::asio::awaitable<Result<void>> sync();
  [[nodiscard]] boost::asio::awaitable<Result<void>> list();
  [[nodiscard]] boost::asio::awaitable<Result<void>> watch(bool initial);
  [[nodiscard]] boost::asio::awaitable<Result<void>> fetch(std::string query, Reading& reading);
  [[nodiscard]] boost::asio::awaitable<void> pause();

  void take_object(const Json& object);
  void take_event(const Json& event, Reading& reading);
  void settle();  // what was known and has not been seen again is gone

  boost::asio::io_context& context_;
  Source source_;
  Resource resource_;
  Events events_;
  Pace pace_;
  boost::asio::steady_timer timer_;
  std::unique_ptr<Connection> connection_;
  std::minstd_rand random_{std::random_device{}()};

  std::string path_;                    // of those that the resource has, the one that is asked
  bool missing_ = false;                // the server does not have it
  std::string version_;                 // where to go on; empty: from the start
  bool exact_ = false;                  // the server's cache may be older than what we had: ask its store
  bool streams_ = true;                 // the server may know sendInitialEvents
  std::set<std::string> known_, seen_;  // keys: all, and those of the sync under way
  std::uint64_t told_ = 0;
  std::chrono::steady_clock::time_point heard_;
  std::chrono::milliseconds next_pause_;
  bool absent_ = false;  // the last session found nobody
  bool stopped_ = false;
};

}  // namespace netkite::kube
