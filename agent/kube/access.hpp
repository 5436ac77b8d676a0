// SPDX-License-Identifier: Apache-2.0
// Where the API server is and how to prove who we are: from a kubeconfig, or from what every pod is given.
#pragma once

#include <string>

#include "common/base/result.hpp"

namespace netkite::kube {

struct Access {
  std::string host;  // an IPv6 address comes without brackets
  std::string port;
  std::string base;              // what comes before every path, without a final slash
  bool tls = true;               // false: a plain http:// server
  std::string server_name;       // what the server's certificate must be for
  std::string ca;                // PEM; empty: the system's authorities
  std::string certificate, key;  // PEM of the client, both or none
  std::string token;             // bearer; empty: none
};

// Where to read it from.
struct Source {
  std::string kubeconfig;  // a path; empty: in-cluster
  std::string server;      // a URL in place of the one that the source has; empty: that one
  // In-cluster: token, ca.crt. Another folder is for tests.
  std::string service_account = "/var/run/secrets/kubernetes.io/serviceaccount";
};

// Reads all files again, so that whatever has been rotated is noticed. invalid: names the file, the key and the fix.
[[nodiscard]] Result<Access> read_access(const Source& source);

// Puts "https://host:port/base" into its members.
[[nodiscard]] Result<void> set_server(Access& access, const std::string& url);

// A kubeconfig's text; relative file names in it start at `folder`.
[[nodiscard]] Result<Access> parse_kubeconfig(const std::string& text, const std::string& folder);

[[nodiscard]] Result<std::string> decode_base64(std::string_view text);
// A whole file of at most a mebibyte.
[[nodiscard]] Result<std::string> read_credential(const std::string& path);

}  // namespace netkite::kube
