// SPDX-License-Identifier: Apache-2.0
// nk-probe's verbs. Each measures in the network namespace of the process and prints one JSON object on stdout; those
// that wait for traffic (serve, udp-recv, count) print {"ready": true} first, and end early on SIGTERM with their
// result.
#pragma once

#include <atomic>

#include "tests/tools/arguments.hpp"

namespace netkite::probe {

using tools::Arguments;

void serve(const Arguments& args);
void rtt(const Arguments& args);
void path(const Arguments& args);
void connect_close(const Arguments& args);
void beat(const Arguments& args);
void stream(const Arguments& args);
void seen_as(const Arguments& args);
void udp_send(const Arguments& args);
void udp_receive(const Arguments& args);
void raw_send(const Arguments& args);
void count(const Arguments& args);

// Set by SIGTERM and SIGINT, which also interrupt a blocking system call.
extern std::atomic<bool> stop_requested;

void say_ready();

}  // namespace netkite::probe
