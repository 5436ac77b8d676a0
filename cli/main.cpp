// SPDX-License-Identifier: Apache-2.0
// netkite: what operators ask of a node's agent, and a doctor for the node.
#include <exception>
#include <iostream>

#include "cli/commands.hpp"

int main(int argc, char** argv) {
  try {
    const int status = netkite::cli::run({argv, static_cast<std::size_t>(argc)}, std::cout, std::cerr);
    std::cout.flush();
    if (std::cout.good()) return status;
    std::cerr << "netkite: cannot write the output\n";
  } catch (const std::exception& error) {
    std::cerr << "netkite: " << error.what() << '\n';
  }
  return 1;
}
