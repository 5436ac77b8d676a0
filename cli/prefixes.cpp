// SPDX-License-Identifier: Apache-2.0
#include "cli/prefixes.hpp"

#include <cerrno>
#include <fstream>
#include <iostream>
#include <set>

namespace netkite::cli {
namespace {

std::string_view trimmed(std::string_view line) {
  constexpr std::string_view kSpace = " \t\r\v\f";
  line = line.substr(0, line.find('#'));
  const auto first = line.find_first_not_of(kSpace);
  if (first == std::string_view::npos) return {};
  return line.substr(first, line.find_last_not_of(kSpace) - first + 1);
}

Result<std::vector<Cidr>> read_file(const std::string& path) {
  if (path == "-") return read_prefixes(std::cin, "standard input");
  std::ifstream file(path);
  if (!file) return fail_errno(errno, path);
  return read_prefixes(file, path);
}

}  // namespace

Result<std::vector<Cidr>> read_prefixes(std::istream& input, const std::string& name) {
  std::vector<Cidr> prefixes;
  std::size_t number = 0;
  for (std::string line; std::getline(input, line);) {
    ++number;
    const auto text = trimmed(line);
    if (text.empty()) continue;
    auto prefix = Cidr::parse(text);
    if (!prefix) return wrap(prefix.error(), name + ":" + std::to_string(number));
    prefixes.push_back(*prefix);
  }
  if (input.bad()) return fail_errno(errno, name);
  return prefixes;
}

Result<std::vector<Cidr>> gather_prefixes(const Arguments& arguments) {
  std::vector<Cidr> all;
  for (const auto& operand : arguments.operands) {
    auto prefix = Cidr::parse(operand);
    if (!prefix) return tl::make_unexpected(prefix.error());
    all.push_back(*prefix);
  }
  if (!arguments.file.empty()) {
    const auto lines = read_file(arguments.file);
    if (!lines) return tl::make_unexpected(lines.error());
    all.insert(all.end(), lines->begin(), lines->end());
  }
  std::set<Cidr> seen;
  std::erase_if(all, [&](const Cidr& prefix) { return !seen.insert(prefix).second; });
  if (all.empty()) return fail(Code::invalid, "no prefix given");
  return all;
}

}  // namespace netkite::cli
