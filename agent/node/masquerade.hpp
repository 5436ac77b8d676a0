// SPDX-License-Identifier: Apache-2.0
// Masquerade of what pods send out of the cluster: one nftables table of our own, and what programs need for it.
#pragma once

#include <string>
#include <vector>

#include "agent/config/options.hpp"
#include "agent/datapath/datapath.hpp"
#include "agent/node/node.hpp"
#include "common/base/result.hpp"

namespace netkite::node {

// Whom pods talk with under their own addresses, in whatever way others are masqueraded. Prefixes may overlap.
[[nodiscard]] std::vector<Cidr> direct_destinations(const config::Options& options);

// What programs have to know to masquerade; empty where they are not to.
[[nodiscard]] datapath::Masquerade masquerade_of(const config::Options& options, const std::vector<Uplink>& uplinks);

// The commands that put the whole table in place, whatever is there now, as one transaction (nft(8) syntax).
[[nodiscard]] std::string masquerade_ruleset(const config::Options& options);

// What a failed transaction means, from nft's words: Code::unsupported with the kernel's options where a part is
// missing.
[[nodiscard]] Error masquerade_error(const std::string& nft_output);

// Succeeds when the table is not there, or the kernel has no nftables at all.
[[nodiscard]] Result<void> remove_masquerade();

}  // namespace netkite::node
