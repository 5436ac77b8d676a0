// SPDX-License-Identifier: Apache-2.0
#include "agent/endpoint/store.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>

#include "common/base/file.hpp"
#include "common/base/unique_fd.hpp"

namespace netkite::endpoint {
namespace {

constexpr std::string_view kSuffix = ".json";

// The last line that is whole and makes sense, or the reason why the last one does not.
Result<Endpoint> last_row(std::string_view text) {
  Result<Endpoint> newest = fail(Code::invalid, "it is empty");
  for (bool first = true; !text.empty(); first = false) {
    const auto begin = text.rfind('\n') + 1;  // 0 without one
    auto row = from_json(nlohmann::json::parse(text.substr(begin), nullptr, false));
    if (row || first) newest = std::move(row);
    if (newest) break;
    text = text.substr(0, begin == 0 ? 0 : begin - 1);
  }
  return newest;
}

Result<Endpoint> read_row(const std::filesystem::path& file) {
  const auto text = read_file(file.string(), kMaxRow);
  if (!text) return tl::make_unexpected(text.error());
  auto endpoint = last_row(*text);
  if (!endpoint) return endpoint;
  if (endpoint->id == 0) return fail(Code::invalid, "id: 0 is no endpoint's number");
  if (endpoint->host_ifname + std::string(kSuffix) != file.filename()) {
    return fail(Code::invalid, "host_ifname: \"" + endpoint->host_ifname + "\" is not what the file is named after");
  }
  return endpoint;
}

}  // namespace

std::string Store::row(const std::string& host_ifname) const {
  return directory_ + "/" + host_ifname + std::string(kSuffix);
}

Result<Store::Contents> Store::load() const {
  if (::mkdir(directory_.c_str(), 0700) != 0 && errno != EEXIST) return fail_errno(errno, "mkdir " + directory_);
  Contents contents;
  std::error_code error;
  for (std::filesystem::directory_iterator entry(directory_, error), end; !error && entry != end;
       entry.increment(error)) {
    const auto& file = entry->path();
    if (file.extension() != kSuffix) continue;
    // Made, and never written: the end came in between.
    if (std::error_code unknown; std::filesystem::file_size(file, unknown) == 0) {
      ::unlink(file.c_str());
      continue;
    }
    auto endpoint = read_row(file);
    if (endpoint) {
      contents.endpoints.push_back(*std::move(endpoint));
      continue;
    }
    const auto aside = file.string() + ".corrupt";
    ::rename(file.c_str(), aside.c_str());
    contents.problems.push_back("ledger row moved to " + aside + ": " + endpoint.error().message);
  }
  if (error) return fail_errno(error.value(), "read " + directory_);
  return contents;
}

Result<void> Store::save(const Endpoint& endpoint) const {
  const auto path = row(endpoint.host_ifname);
  // The line's end comes first: it also ends a line that was cut short.
  const auto line = "\n" + to_json(endpoint).dump();
  const UniqueFd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
  if (!file.valid()) return fail_errno(errno, "ledger: open " + path);
  const ssize_t written = ::write(file.get(), line.data(), line.size());
  if (written == static_cast<ssize_t>(line.size())) return {};
  auto failure = fail_errno(written < 0 ? errno : ENOSPC, "ledger: write " + path);
  // A row that was there before keeps its last whole line.
  struct stat status{};
  if (::fstat(file.get(), &status) == 0 && status.st_size <= std::max<ssize_t>(written, 0)) ::unlink(path.c_str());
  return failure;
}

Result<void> Store::remove(const std::string& host_ifname) const {
  const auto path = row(host_ifname);
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) return fail_errno(errno, "ledger: unlink " + path);
  return {};
}

}  // namespace netkite::endpoint
