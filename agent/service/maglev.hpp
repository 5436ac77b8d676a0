// SPDX-License-Identifier: Apache-2.0
// The table by which a client from outside finds its backend: place (hash of the client and of what it asks for) modulo
// the number of places. Every node computes the same one, so a connection whose packets suddenly come in at another
// node is served by the same backend; and when a backend goes, the others keep nearly all of their clients.
//
// The algorithm is Maglev's: Eisenbud et al., "Maglev: A Fast and Reliable Software Network Load Balancer", NSDI 2016,
// section 3.4. Each backend has an order of its own in which it would like to have the places, from two hashes of its
// address and port; the backends take turns, and each takes the first one in its order that is still free.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "agent/service/arrangement.hpp"

namespace netkite::service {

// A prime: at least 100 for each backend, up to 1,048,573; 0 for none. It grows in steps of four, and a step moves
// everybody: between 2 and 3 backends, 10 and 11, 40 and 41, 163 and 164, and so on.
[[nodiscard]] std::uint32_t places_for(std::size_t backends);

// The backend's identifier for each of `places`. The order of `members` does not matter, nor do their identifiers,
// which are not 0; each address and port stands there once.
[[nodiscard]] std::vector<std::uint32_t> maglev_table(std::span<const Member> members, std::uint32_t places);

}  // namespace netkite::service
