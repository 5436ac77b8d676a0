// SPDX-License-Identifier: Apache-2.0
#include "agent/kube/access.hpp"

#include <openssl/evp.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "common/base/file.hpp"

namespace netkite::kube {
namespace {

constexpr std::size_t kMaxCredential = 1U << 20;  // bytes

std::string trimmed(std::string text) {
  const auto last = text.find_last_not_of(" \t\r\n");
  text.erase(last == std::string::npos ? 0 : last + 1);
  return text;
}

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

Result<Access> in_cluster(const Source& source) {
  Access access;
  access.host = variable("KUBERNETES_SERVICE_HOST");
  access.port = variable("KUBERNETES_SERVICE_PORT");
  access.server_name = access.host;
  if (source.server.empty() && (access.host.empty() || access.port.empty())) {
    return fail(Code::invalid,
                "kubernetes: KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set, so this is no pod: set "
                "kubernetes.kubeconfig");
  }
  auto token = read_credential(source.service_account + "/token");
  if (!token) return tl::make_unexpected(token.error());
  auto ca = read_credential(source.service_account + "/ca.crt");
  if (!ca) return tl::make_unexpected(ca.error());
  access.token = trimmed(*std::move(token));
  access.ca = *std::move(ca);
  return access;
}

Result<Access> from_file(const std::string& path) {
  const auto text = read_credential(path);
  if (!text) return tl::make_unexpected(text.error());
  auto access = parse_kubeconfig(*text, std::filesystem::path(path).parent_path().string());
  if (!access) return wrap(access.error(), path);
  return access;
}

}  // namespace

Result<std::string> read_credential(const std::string& path) { return read_file(path, kMaxCredential); }

Result<std::string> decode_base64(std::string_view text) {
  std::string clean(text);
  std::erase_if(clean, [](char c) { return c == '\n' || c == '\r' || c == ' ' || c == '\t'; });
  if (clean.empty()) return clean;
  std::string decoded(clean.size() / 4 * 3, '\0');
  const int length =
      EVP_DecodeBlock(reinterpret_cast<unsigned char*>(decoded.data()),
                      reinterpret_cast<const unsigned char*>(clean.data()), static_cast<int>(clean.size()));
  if (length < 0) return fail(Code::invalid, "no base64");
  // The padding counts as zero bytes there.
  const auto padding = static_cast<std::size_t>(std::ranges::count(clean.substr(clean.size() - 2), '='));
  decoded.resize(static_cast<std::size_t>(length) - padding);
  return decoded;
}

Result<void> set_server(Access& access, const std::string& url) {
  const auto bad = [&url](const char* why) {
    return fail(Code::invalid, "server: \"" + url + "\" " + why + "; it looks like \"https://192.0.2.1:6443\"");
  };
  access.tls = url.starts_with("https://");
  if (!access.tls && !url.starts_with("http://")) return bad("begins with neither https:// nor http://");
  auto rest = url.substr(access.tls ? 8 : 7);
  const auto slash = rest.find('/');
  access.base = slash == std::string::npos ? "" : rest.substr(slash);
  while (access.base.ends_with('/')) access.base.pop_back();
  rest.resize(std::min(slash, rest.size()));
  const auto is_plain = [](unsigned char c) { return c > 0x20 && c < 0x7f && c != '@' && c != '?' && c != '#'; };
  if (!std::ranges::all_of(rest + access.base, is_plain)) return bad("has characters that have no place in it");

  const auto bracket = rest.starts_with('[') ? rest.find(']') : 0;
  if (bracket == std::string::npos) return bad("has no ']'");
  const auto colon = rest.find(':', bracket);
  access.host = bracket == 0 ? rest.substr(0, colon) : rest.substr(1, bracket - 1);
  access.port = colon == std::string::npos ? (access.tls ? "443" : "80") : rest.substr(colon + 1);
  if (access.host.empty()) return bad("has no host");
  const bool digits = std::ranges::all_of(access.port, [](char c) { return c >= '0' && c <= '9'; });
  if (!digits || access.port.empty() || access.port.size() > 5 || std::stoi(access.port) > 65535) {
    return bad("has no port that is a number");
  }
  access.server_name = access.host;
  return {};
}

Result<Access> read_access(const Source& source) {
  auto access = source.kubeconfig.empty() ? in_cluster(source) : from_file(source.kubeconfig);
  if (!access || source.server.empty()) return access;
  if (auto set = set_server(*access, source.server); !set) return wrap(set.error(), "kubernetes");
  return access;
}

}  // namespace netkite::kube
