// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/departed.hpp"

#include <cerrno>
#include <fstream>
#include <sstream>

#include "agent/datapath/abi.hpp"
#include "common/base/file.hpp"

namespace netkite::datapath {
namespace {

constexpr std::size_t kMostBytes = 1U << 22;  // of the file: 40 for each of 65,536 addresses, and room

Departed::Raw raw_of(const Ip& address) {
  std::uint32_t words[4] = {};
  write_mapped(words, address);
  return std::to_array(words);
}

}  // namespace

Result<Departed> Departed::open(std::string file) {
  Departed departed;
  departed.file_ = std::move(file);
  const auto text = netkite::read_file(departed.file_, kMostBytes);
  if (!text && text.error().code != Code::not_found) return tl::make_unexpected(text.error());
  std::istringstream lines(text.value_or(std::string()));
  // A line that makes no sense was being written when its writer was killed.
  for (std::string line; std::getline(lines, line);) {
    if (const auto address = Ip::parse(line)) departed.remember(*address);
  }
  return departed;
}

void Departed::remember(const Ip& address) {
  addresses_.insert_or_assign(raw_of(address), State{.address = address, .begun = false});
}

Result<void> Departed::add(const std::vector<Ip>& addresses) {
  for (const auto& address : addresses) remember(address);
  std::ofstream file(file_, std::ios::app);
  for (const auto& address : addresses) file << address.to_string() << '\n';
  file.flush();
  if (file.good()) return {};
  unwritten_ = true;
  return fail_errno(errno, "write " + file_);
}

bool Departed::has(const Ip& address) const { return has(raw_of(address)); }

Result<void> Departed::end_round(bool whole) {
  const auto gone = std::erase_if(addresses_, [whole](const auto& each) { return whole && each.second.begun; });
  for (auto& [raw, state] : addresses_) state.begun = true;
  return gone == 0 && !unwritten_ ? Result<void>() : write();
}

Result<void> Departed::clear() {
  addresses_.clear();
  return write();
}

// As a whole: an address that stays in it would take a later pod's connections.
Result<void> Departed::write() {
  std::string lines;
  for (const auto& [raw, state] : addresses_) lines += state.address.to_string() + '\n';
  auto written = replace_file(file_, lines);
  unwritten_ = !written;
  return written;
}

}  // namespace netkite::datapath
