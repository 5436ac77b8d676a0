// SPDX-License-Identifier: Apache-2.0
// How coroutines wait: errors come back as values, and never as exceptions. Header only; needs Boost.Asio.
#pragma once

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace netkite {

inline constexpr auto kToken = boost::asio::as_tuple(boost::asio::use_awaitable);

}  // namespace netkite
