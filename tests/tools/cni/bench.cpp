// SPDX-License-Identifier: Apache-2.0
#include "tests/tools/cni/bench.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <mutex>
#include <thread>

#include "tests/tools/arguments.hpp"
#include "tests/tools/cni/namespaces.hpp"
#include "tests/tools/statistics.hpp"

namespace netkite::cni {
namespace {

using nlohmann::json;

// The calls of one verb on one network.
struct Series {
  std::vector<double> milliseconds;
  double total_ms = 0;
  long max_rss_kib = 0;
  std::size_t failures = 0;
  std::string error;  // of the first failure
};

struct Attachment {
  std::string id, netns;
  json result;  // of ADD
};

class Runner {
 public:
  explicit Runner(const BenchPlan& plan)
      : plan_(plan),
        namespaces_(plan.prefix, plan.count * plan.networks.size()),
        attachments_(plan.networks.size(), std::vector<Attachment>(plan.count)) {
    for (std::size_t n = 0; n < plan.networks.size(); ++n) {
      for (std::size_t i = 0; i < plan.count; ++i) {
        const std::size_t at = n * plan.count + i;
        attachments_[n][i] = {
            .id = plan.prefix + "-" + std::to_string(at), .netns = namespaces_.path(at), .result = {}};
      }
    }
  }

  // The verb on all attachments; one Series for each network.
  std::vector<Series> all(const std::string& verb) {
    std::vector<Series> series(plan_.networks.size());
    if (plan_.parallel == 1) {
      for (std::size_t i = 0; i < plan_.count; ++i) {
        for (std::size_t n = 0; n < series.size(); ++n) one(verb, n, i, series[n]);
      }
      for (auto& each : series) {
        for (const double value : each.milliseconds) each.total_ms += value;
      }
    } else {
      for (std::size_t n = 0; n < series.size(); ++n) burst(verb, n, series[n]);
    }
    return series;
  }

 private:
  void one(const std::string& verb, std::size_t network, std::size_t index, Series& series) {
    Attachment& attachment = attachments_[network][index];
    const Call call{.environment = {.command = verb,
                                    .container_id = attachment.id,
                                    .netns = attachment.netns,
                                    .ifname = "eth0",
                                    .args = {},
                                    .path = plan_.path},
                    .previous_result = verb == "DEL" ? attachment.result : json(),
                    .valid_attachments = {}};
    Result result = run(plan_.networks[network], call);
    if (verb == "ADD" && result.ok) attachment.result = json::parse(result.output, nullptr, false);
    const std::lock_guard guard(lock_);
    series.milliseconds.push_back(result.milliseconds);
    series.max_rss_kib = std::max(series.max_rss_kib, result.max_rss_kib);
    if (result.ok) return;
    if (series.failures++ == 0) series.error = std::move(result.output);
  }

  void burst(const std::string& verb, std::size_t network, Series& series) {
    std::atomic<std::size_t> next = 0;
    std::vector<std::thread> callers(std::min(plan_.parallel, plan_.count));
    const auto start = std::chrono::steady_clock::now();
    for (auto& caller : callers) {
      caller = std::thread([&] {
        for (std::size_t index = 0; (index = next++) < plan_.count;) one(verb, network, index, series);
      });
    }
    for (auto& caller : callers) caller.join();
    series.total_ms = std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
  }

  const BenchPlan& plan_;
  Namespaces namespaces_;
  std::vector<std::vector<Attachment>> attachments_;  // by network, then index
  std::mutex lock_;
};

}  // namespace

json bench(const BenchPlan& plan) {
  Runner runner(plan);
  const std::vector<Series> adds = runner.all("ADD");
  if (!plan.between.empty() && std::system(plan.between.c_str()) != 0) tools::die("failed: " + plan.between);
  const std::vector<Series> dels = runner.all("DEL");
  json report = json::object();
  for (std::size_t n = 0; n < plan.networks.size(); ++n) {
    const auto add = tools::Summary::of(adds[n].milliseconds);
    const auto del = tools::Summary::of(dels[n].milliseconds);
    report[plan.networks[n].name] = {
        {"add_p50_ms", add.p50},
        {"add_p99_ms", add.p99},
        {"add_total_ms", adds[n].total_ms},
        {"del_p50_ms", del.p50},
        {"del_p99_ms", del.p99},
        {"del_total_ms", dels[n].total_ms},
        {"max_rss_kib", std::max(adds[n].max_rss_kib, dels[n].max_rss_kib)},
        {"failures", adds[n].failures + dels[n].failures},
        {"error", adds[n].failures > 0 ? adds[n].error : dels[n].error},
    };
  }
  return report;
}

}  // namespace netkite::cni
