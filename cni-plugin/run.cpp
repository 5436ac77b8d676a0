// SPDX-License-Identifier: Apache-2.0
#include "cni-plugin/run.hpp"

#include <exception>
#include <string>
#include <utility>

#include "cni-plugin/input.hpp"
#include "cni-plugin/verbs.hpp"

namespace netkite::cni {
namespace {

Outcome<void> dispatch(const Call& call, Output& output) {
  switch (call.args.command) {
    case Command::add:
      return verb_add(call, output);
    case Command::del:
      return verb_del(call);
    case Command::check:
      return verb_check(call);
    case Command::gc:
      return verb_gc(call);
    case Command::status:
      return verb_status(call);
    case Command::version:
      break;
  }
  return refuse(ErrorCode::internal, "no such verb");
}

// `version` is what an error is reported in: the newest until the input has named another.
Outcome<void> perform(const Environment& environment, int input_fd, Output& output, SpecVersion& version) {
  const auto started = Clock::now();
  auto args = parse_args(environment);
  if (!args) return tl::make_unexpected(args.error());
  // What a pod has been annotated with must not keep it from going.
  const bool del = args->command == Command::del;
  auto input = read_input(input_fd, del ? kMaxDelInput : kMaxInput);
  if (!input) return tl::make_unexpected(input.error());
  if (args->command == Command::version) {
    if (output.write(verb_version(*input))) return {};
    return refuse(ErrorCode::io, "the versions cannot be written to standard output");
  }

  auto json = del ? decode_keys(*input, kIdentityKeys) : decode_object(*input);
  if (!json) return tl::make_unexpected(json.error());
  const auto asked = read_version(*json);
  if (!asked) return tl::make_unexpected(asked.error());
  version = *asked;
  if (auto known = check_verb(args->command, version); !known) return known;
  auto conf = read_net_conf(*json, args->command, version);
  if (!conf) return tl::make_unexpected(conf.error());
  return dispatch({.args = std::move(*args), .conf = std::move(*conf), .started = started}, output);
}

}  // namespace

int run(const Environment& environment, int input_fd, int output_fd) {
  Output output(output_fd);
  SpecVersion version = kNewestVersion;
  Outcome<void> outcome;
  try {
    outcome = perform(environment, input_fd, output, version);
  } catch (const std::exception& error) {
    outcome = refuse(ErrorCode::internal, std::string("internal error: ") + error.what());
  }
  if (outcome) return 0;
  // Nobody is left to tell when this fails: the exit status says it.
  std::ignore = output.write(to_json(outcome.error(), version));
  return 1;
}

}  // namespace netkite::cni
