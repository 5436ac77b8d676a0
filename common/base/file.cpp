// SPDX-License-Identifier: Apache-2.0
#include "common/base/file.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <filesystem>
#include <fstream>

#include "common/base/unique_fd.hpp"

namespace netkite {

Result<std::string> read_file(const std::string& path, std::size_t limit) {
  const UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.valid()) return fail_errno(errno, "open " + path);
  std::string text;
  std::array<char, 4096> chunk{};
  for (;;) {
    const ssize_t got = ::read(file.get(), chunk.data(), chunk.size());
    if (got < 0) return fail_errno(errno, "read " + path);
    if (got == 0) return text;
    text.append(chunk.data(), static_cast<std::size_t>(got));
    if (text.size() > limit) return fail(Code::invalid, path + ": larger than " + std::to_string(limit) + " bytes");
  }
}

Result<void> replace_file(const std::string& path, std::string_view text) {
  const auto fresh = path + ".new";
  std::ofstream file(fresh);
  file << text << std::flush;
  std::error_code error;
  if (file.good()) std::filesystem::rename(fresh, path, error);
  return file.good() && !error ? Result<void>() : fail(Code::io, "write " + path);
}

}  // namespace netkite
