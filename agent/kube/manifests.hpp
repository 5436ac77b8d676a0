// SPDX-License-Identifier: Apache-2.0
// Follows resources in a folder of YAML files, for machines without an API server: first all that is there, then every
// change. A file that makes no sense keeps what it said before.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "agent/kube/reflector.hpp"
#include "common/base/result.hpp"

namespace netkite::kube {

struct Subscription {
  Resource resource;
  Events events;  // each is told of trouble with any file
};

class Manifests {
 public:
  // *.yaml, *.yml and *.json of `folder`, not of folders in it. Selectors do not count here.
  Manifests(boost::asio::io_context& context, std::string folder, std::vector<Subscription> subscriptions);

  // To be spawned once; ends after stop(). This must outlive it.
  [[nodiscard]] boost::asio::awaitable<void> run();
  void stop();

 private:
  using Kind = std::pair<std::string, std::string>;  // version and kind
  using Objects = std::map<Kind, std::map<std::string, Json>>;
  struct File {
    std::filesystem::file_time_type changed;
    std::uintmax_t size = 0;
    std::vector<Json> objects;
    std::string trouble;
  };

  [[nodiscard]] Result<void> watch();
  [[nodiscard]] boost::asio::awaitable<void> next_change();
  [[nodiscard]] Result<void> read_folder();
  void read_file(const std::filesystem::path& path, File& file) const;
  [[nodiscard]] Objects gather(std::vector<std::string>& troubles) const;
  void tell(const Objects& objects);
  void say(const std::string& trouble);

  boost::asio::steady_timer timer_;
  boost::asio::posix::stream_descriptor changes_;  // inotify(7)
  std::string folder_;
  std::vector<Subscription> subscriptions_;
  std::map<std::string, File> files_;  // by name
  Objects known_;
  bool synced_ = false, stopped_ = false;
};

}  // namespace netkite::kube
