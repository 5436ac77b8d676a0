// SPDX-License-Identifier: Apache-2.0
#include "tests/tools/cni/runtime.hpp"

#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <sstream>

#include "tests/tools/arguments.hpp"

namespace netkite::cni {
namespace {

using nlohmann::json;

std::string find_binary(const std::string& type, const std::string& path) {
  std::istringstream folders(path);
  for (std::string folder; std::getline(folders, folder, ':');) {
    std::string candidate = folder;
    candidate.append("/").append(type);
    if (access(candidate.c_str(), X_OK) == 0) return candidate;
  }
  tools::die("no plugin " + type + " in " + path);
}

// The configuration that one plugin reads: section 3, "Deriving request configuration from plugin configuration".
json request(const Network& network, const json& plugin, const Call& call, const json& previous) {
  json config = plugin;
  config["cniVersion"] = network.version;
  config["name"] = network.name;
  if (!previous.is_null()) config["prevResult"] = previous;
  const json declared = plugin.value("capabilities", json::object());
  for (const auto& [name, value] : call.capabilities.items()) {
    if (declared.value(name, false)) config["runtimeConfig"][name] = value;
  }
  if (!call.valid_attachments.is_null()) config["cni.dev/valid-attachments"] = call.valid_attachments;
  return config;
}

}  // namespace

Network Network::load(const std::string& file, const std::string& path) {
  std::ifstream stream(file);
  const json document = json::parse(stream, nullptr, false);
  if (!document.is_object()) tools::die(file + ": no JSON object");
  Network network;
  network.name = document.value("name", "");
  network.version = document.value("cniVersion", "0.1.0");
  if (document.contains("plugins")) {
    network.plugins = document["plugins"].get<std::vector<json>>();
  } else {
    network.plugins = {document};
  }
  for (const json& plugin : network.plugins) network.binaries.push_back(find_binary(plugin.value("type", ""), path));
  return network;
}

Result run(const Network& network, const Call& call) {
  Result result{.ok = true, .output = {}};
  const bool backwards = call.environment.command == "DEL";
  json previous = call.previous_result;
  for (std::size_t i = 0; i < network.plugins.size(); ++i) {
    const std::size_t at = backwards ? network.plugins.size() - 1 - i : i;
    const json config = request(network, network.plugins[at], call, previous);
    Outcome outcome = run_plugin(network.binaries[at], config.dump(), call.environment);
    result.milliseconds += outcome.milliseconds;
    result.max_rss_kib = std::max(result.max_rss_kib, outcome.max_rss_kib);
    result.output = std::move(outcome.output);
    result.ok = outcome.status == 0;
    if (!result.ok) break;
    if (call.environment.command != "ADD") continue;
    previous = json::parse(result.output, nullptr, false);
    result.ok = previous.is_object();
    if (!result.ok) break;
  }
  return result;
}

}  // namespace netkite::cni
