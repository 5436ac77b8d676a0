// SPDX-License-Identifier: Apache-2.0
// Masquerade of what pods send out of the cluster, as one nftables table of our own.
#pragma once

#include <string>

#include "agent/config/options.hpp"
#include "common/base/result.hpp"

namespace netkite::node {

// The commands that put the whole table in place, whatever is there now, as one transaction (nft(8) syntax).
[[nodiscard]] std::string masquerade_ruleset(const config::Options& options);

// What a failed transaction means, from nft's words: Code::unsupported with the kernel's options where a part is
// missing.
[[nodiscard]] Error masquerade_error(const std::string& nft_output);

// Succeeds when the table is not there, or the kernel has no nftables at all.
[[nodiscard]] Result<void> remove_masquerade();

}  // namespace netkite::node
