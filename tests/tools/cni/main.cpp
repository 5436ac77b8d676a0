// SPDX-License-Identifier: Apache-2.0
// nk-cni: calls CNI plugins as a container runtime does, and times them.
//   nk-cni add|del|check --conf FILE --netns PATH --container ID [--ifname eth0] [--result FILE] [--args K=V;…]
//                        [--capabilities JSON] [--cni-path DIR:…]
//   nk-cni status|version --conf FILE       nk-cni gc --conf FILE [--valid JSON]
//   nk-cni bench --conf FILE… --count N [--parallel P] [--prefix NAME] [--between COMMAND]
// --conf is a plugin's configuration or a list of them. add writes its result to the --result file, from which check
// and del take prevResult. Prints the last plugin's output; exits 1 when a plugin failed.
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <fstream>

#include "tests/tools/arguments.hpp"
#include "tests/tools/cni/bench.hpp"
#include "tests/tools/cni/runtime.hpp"

namespace netkite::cni {
namespace {

using nlohmann::json;
using tools::Arguments;

std::string search_path(const Arguments& args) {
  const char* inherited = std::getenv("CNI_PATH");
  return args.find("--cni-path").value_or(inherited != nullptr ? inherited : "/usr/lib/cni");
}

json parse_option(const Arguments& args, const std::string& option, json fallback) {
  const auto text = args.find(option);
  if (!text) return fallback;
  json value = json::parse(*text, nullptr, false);
  if (value.is_discarded()) tools::die(option + ": not JSON", 2);
  return value;
}

json read_result(const std::optional<std::string>& file) {
  if (!file || access(file->c_str(), R_OK) != 0) return nullptr;
  std::ifstream stream(*file);
  json value = json::parse(stream, nullptr, false);
  return value.is_discarded() ? json() : value;
}

int call(std::string verb, const Arguments& args) {
  std::transform(verb.begin(), verb.end(), verb.begin(), [](unsigned char c) { return std::toupper(c); });
  const std::string path = search_path(args);
  const Network network = Network::load(args.get("--conf"), path);
  const auto result_file = args.find("--result");
  const bool for_container = verb == "ADD" || verb == "DEL" || verb == "CHECK";
  const Result result =
      run(network, {.environment = {.command = verb,
                                    .container_id = for_container ? args.get("--container") : "",
                                    .netns = args.find("--netns").value_or(""),
                                    .ifname = for_container ? args.find("--ifname").value_or("eth0") : "",
                                    .args = args.find("--args").value_or(""),
                                    .path = path},
                    .previous_result = verb == "DEL" || verb == "CHECK" ? read_result(result_file) : json(),
                    .capabilities = parse_option(args, "--capabilities", json::object()),
                    .valid_attachments = parse_option(args, "--valid", nullptr)});
  std::fwrite(result.output.data(), 1, result.output.size(), stdout);
  if (result_file && verb == "ADD" && result.ok) std::ofstream(*result_file) << result.output;
  if (result_file && verb == "DEL" && result.ok) unlink(result_file->c_str());
  return result.ok ? 0 : 1;
}

int run_bench(const Arguments& args) {
  BenchPlan plan{.networks = {},
                 .prefix = args.find("--prefix").value_or("nk-bench"),
                 .path = search_path(args),
                 .count = args.number("--count"),
                 .parallel = std::max(args.number("--parallel", 1), 1UL),
                 .between = args.find("--between").value_or("")};
  for (const auto& file : args.all("--conf")) plan.networks.push_back(Network::load(file, plan.path));
  if (plan.networks.empty()) tools::die("missing option --conf", 2);
  std::puts(bench(plan).dump(2).c_str());
  return 0;
}

int main(int argc, char** argv) {
  const std::string verb = argc > 1 ? argv[1] : "";
  if (verb == "bench") {
    return run_bench(
        Arguments(argc - 2, argv + 2, {"--conf", "--count", "--parallel", "--prefix", "--between", "--cni-path"}));
  }
  constexpr std::array kVerbs{"add", "del", "check", "status", "gc", "version"};
  if (std::find(kVerbs.begin(), kVerbs.end(), verb) == kVerbs.end()) {
    tools::die("usage: nk-cni add|del|check|status|gc|version|bench --conf FILE …", 2);
  }
  return call(verb, Arguments(argc - 2, argv + 2,
                              {"--conf", "--netns", "--container", "--ifname", "--result", "--args", "--capabilities",
                               "--valid", "--cni-path"}));
}

}  // namespace
}  // namespace netkite::cni

int main(int argc, char** argv) {
  try {
    return netkite::cni::main(argc, argv);
  } catch (const std::exception& error) {
    netkite::tools::die(error.what());
  }
}
