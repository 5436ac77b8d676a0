// SPDX-License-Identifier: Apache-2.0
// nk-probe: measures and provokes networking in the network namespace that it runs in.
#include <array>
#include <csignal>
#include <set>

#include "tests/tools/probe/probe.hpp"

namespace netkite::probe {

std::atomic<bool> stop_requested = false;

void say_ready() {
  std::puts("{\"ready\": true}");
  std::fflush(stdout);
}

namespace {

struct Verb {
  std::string_view name;
  void (*run)(const Arguments&);
  std::set<std::string_view> options;
};

const std::array<Verb, 11> kVerbs{{
    {"serve", serve, {"--tcp", "--udp", "--bind"}},
    {"rtt", rtt, {"--count", "--timeout", "--protocol"}},
    {"path", path, {"--count", "--timeout", "--protocol", "--server", "--listen"}},
    {"connect", connect_close, {"--count", "--timeout"}},
    {"beat", beat, {"--rate", "--seconds", "--timeout"}},
    {"stream", stream, {"--bytes", "--seconds", "--timeout", "--pace"}},
    {"seen-as", seen_as, {"--timeout"}},
    {"udp-send", udp_send, {"--rate", "--seconds", "--echo"}},
    {"udp-recv", udp_receive, {"--seconds", "--bind"}},
    {"raw-send", raw_send, {"--dev", "--hex", "--count"}},
    {"count", count, {"--dev", "--seconds", "--from", "--to"}},
}};

int main(int argc, char** argv) {
  struct sigaction action{};
  action.sa_handler = [](int) { stop_requested = true; };
  sigaction(SIGTERM, &action, nullptr);
  sigaction(SIGINT, &action, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
  const std::string_view name = argc > 1 ? argv[1] : "";
  for (const Verb& verb : kVerbs) {
    if (verb.name != name) continue;
    verb.run(Arguments(argc - 2, argv + 2, verb.options));
    return 0;
  }
  std::fputs("usage: nk-probe <verb> …, verbs:", stderr);
  for (const Verb& verb : kVerbs) std::fprintf(stderr, " %.*s", static_cast<int>(verb.name.size()), verb.name.data());
  std::fputs("\n", stderr);
  return 2;
}

}  // namespace
}  // namespace netkite::probe

int main(int argc, char** argv) { return netkite::probe::main(argc, argv); }
