// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/departed.hpp"

#include <cerrno>
#include <filesystem>
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
    const auto address = Ip::parse(line);
    if (!address) continue;
    departed.begun_.emplace(*address, false);
    departed.raw_.emplace(raw_of(*address), *address);
  }
  return departed;
}

Result<void> Departed::add(const std::vector<Ip>& addresses) {
  for (const auto& address : addresses) {
    begun_.insert_or_assign(address, false);
    raw_.emplace(raw_of(address), address);
  }
  std::ofstream file(file_, std::ios::app);
  for (const auto& address : addresses) file << address.to_string() << '\n';
  file.flush();
  return file.good() ? Result<void>() : fail_errno(errno, "write " + file_);
}

Result<void> Departed::end_round(bool whole) {
  const auto before = begun_.size();
  std::erase_if(begun_, [whole](const auto& each) { return whole && each.second; });
  std::erase_if(raw_, [this](const auto& each) { return !begun_.contains(each.second); });
  for (auto& [address, begun] : begun_) begun = true;
  return begun_.size() == before ? Result<void>() : write();
}

Result<void> Departed::clear() {
  begun_.clear();
  raw_.clear();
  return write();
}

// As a whole: an address that stays in it would take a later pod's connections.
Result<void> Departed::write() const {
  const auto fresh = file_ + ".new";
  std::ofstream file(fresh);
  for (const auto& [address, begun] : begun_) file << address.to_string() << '\n';
  file.flush();
  std::error_code error;
  if (file.good()) std::filesystem::rename(fresh, file_, error);
  return file.good() && !error ? Result<void>() : fail(Code::io, "write " + file_);
}

}  // namespace netkite::datapath
