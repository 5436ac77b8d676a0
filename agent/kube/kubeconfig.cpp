// SPDX-License-Identifier: Apache-2.0
// The kubeconfig of kubectl, as far as an agent can use it: the current context's server, authority and credentials.
#include <yaml-cpp/yaml.h>

#include "agent/kube/access.hpp"

namespace netkite::kube {
namespace {

std::string text(const YAML::Node& parent, const char* key) {
  const auto value = parent[key];
  return value && value.IsScalar() ? value.as<std::string>() : "";
}

// The entry called `name` of a list such as clusters: [{name: …, cluster: {…}}].
Result<YAML::Node> entry(const YAML::Node& config, const char* list, const char* kind, const std::string& name) {
  for (const auto& each : config[list]) {
    if (each.IsMap() && text(each, "name") == name && each[kind].IsMap()) return YAML::Node(each[kind]);
  }
  return fail(Code::invalid, std::string(list) + " has no entry \"" + name + "\"");
}

std::string beside(const std::string& folder, const std::string& path) {
  return path.starts_with('/') || folder.empty() ? path : folder + "/" + path;
}

// A value that stands in the file as base64 under <key>-data, or in a file of its own named under <key>.
Result<std::string> material(const YAML::Node& parent, const std::string& key, const std::string& folder) {
  if (const auto data = text(parent, (key + "-data").c_str()); !data.empty()) {
    auto decoded = decode_base64(data);
    if (!decoded) return wrap(decoded.error(), key + "-data");
    return decoded;
  }
  const auto path = text(parent, key.c_str());
  if (path.empty()) return std::string();
  auto read = read_credential(beside(folder, path));
  if (!read) return wrap(read.error(), key);
  return read;
}

Result<void> read_cluster(Access& access, const YAML::Node& cluster, const std::string& folder) {
  if (auto set = set_server(access, text(cluster, "server")); !set) return set;
  if (text(cluster, "insecure-skip-tls-verify") == "true") {
    return fail(Code::invalid, "insecure-skip-tls-verify: refused; name the certificate-authority instead");
  }
  if (const auto name = text(cluster, "tls-server-name"); !name.empty()) access.server_name = name;
  auto ca = material(cluster, "certificate-authority", folder);
  if (!ca) return tl::make_unexpected(ca.error());
  access.ca = *std::move(ca);
  return {};
}

Result<void> read_user(Access& access, const YAML::Node& user, const std::string& folder) {
  for (const char* key : {"exec", "auth-provider", "username"}) {
    if (user[key]) {
      return fail(Code::invalid,
                  std::string("users: \"") + key + "\" is not supported: use a token or a client certificate");
    }
  }
  auto certificate = material(user, "client-certificate", folder);
  if (!certificate) return tl::make_unexpected(certificate.error());
  auto key = material(user, "client-key", folder);
  if (!key) return tl::make_unexpected(key.error());
  if (certificate->empty() != key->empty()) {
    return fail(Code::invalid, "users: client-certificate and client-key go together");
  }
  access.certificate = *std::move(certificate);
  access.key = *std::move(key);
  access.token = text(user, "token");
  if (const auto path = text(user, "tokenFile"); !path.empty()) {
    auto token = read_credential(beside(folder, path));
    if (!token) return wrap(token.error(), "tokenFile");
    access.token = token->substr(0, token->find_last_not_of(" \t\r\n") + 1);
  }
  return {};
}

Result<Access> read_config(const YAML::Node& config, const std::string& folder) {
  if (!config.IsMap()) return fail(Code::invalid, "no kubeconfig: it is not a mapping");
  const auto name = text(config, "current-context");
  if (name.empty()) return fail(Code::invalid, "current-context is missing");
  const auto context = entry(config, "contexts", "context", name);
  if (!context) return tl::make_unexpected(context.error());
  const auto cluster = entry(config, "clusters", "cluster", text(*context, "cluster"));
  if (!cluster) return tl::make_unexpected(cluster.error());

  Access access;
  if (auto done = read_cluster(access, *cluster, folder); !done) return tl::make_unexpected(done.error());
  // A server on plain http asks for nobody's name.
  const auto user_name = text(*context, "user");
  if (user_name.empty()) return access;
  const auto user = entry(config, "users", "user", user_name);
  if (!user) return tl::make_unexpected(user.error());
  if (auto done = read_user(access, *user, folder); !done) return tl::make_unexpected(done.error());
  return access;
}

}  // namespace

Result<Access> parse_kubeconfig(const std::string& text, const std::string& folder) {
  try {
    return read_config(YAML::Load(text), folder);
  } catch (const YAML::Exception& error) {
    return fail(Code::invalid, std::string("no kubeconfig: ") + error.what());
  }
}

}  // namespace netkite::kube
