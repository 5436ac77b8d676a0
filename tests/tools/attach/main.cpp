// SPDX-License-Identifier: Apache-2.0
// The kernel's side of attaching programs: what it costs, and whether it holds. In a network namespace of its own.
//
//   nk-attach bench              one line a figure: name, tab, milliseconds
//   nk-attach stress SECONDS     attach, detach, update, device and namespace churn under traffic; 1 when a program
//                                that is gone still runs or a link names a device that is gone
//   nk-attach faults             every allocation of these fails once; 1 when something is left of a call that failed
#include <sched.h>

#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "tests/tools/attach/attach.hpp"
#include "tests/tools/attach/device.hpp"

int main(int argc, char** argv) {
  using namespace netkite::tools;
  const std::string_view verb = argc > 1 ? argv[1] : "";
  if (::unshare(CLONE_NEWNET) != 0) end_with_errno("unshare");
  if (verb == "bench" && argc == 2) {
    bench();
    return 0;
  }
  if (verb == "stress" && argc == 3) return stress(std::atoi(argv[2])) ? 0 : 1;
  if (verb == "faults" && argc == 2) return faults() ? 0 : 1;
  std::fprintf(stderr, "usage: nk-attach bench | stress SECONDS | faults\n");
  return 2;
}
