// SPDX-License-Identifier: Apache-2.0
#include "cni-plugin/deferred_del.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <memory>
#include <string_view>
#include <thread>

#include "common/base/unique_fd.hpp"

namespace netkite::cni {
namespace {

constexpr int kLockAttempts = 200;
constexpr std::chrono::milliseconds kLockPause(10);

std::string note_name(const wire::Attachment& attachment) { return wire::host_ifname(attachment) + ".json"; }

Result<void> make_folder(const std::string& path) {
  if (::mkdir(path.c_str(), 0700) == 0 || errno == EEXIST) return {};
  return fail_errno(errno, "make folder " + path);
}

Result<UniqueFd> open_locked(const std::string& folder) {
  UniqueFd fd(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd.valid()) return fail_errno(errno, "open folder " + folder);
  for (int attempt = 0; attempt < kLockAttempts; ++attempt) {
    if (::flock(fd.get(), LOCK_EX | LOCK_NB) == 0) return fd;
    if (errno != EWOULDBLOCK && errno != EINTR) return fail_errno(errno, "lock folder " + folder);
    std::this_thread::sleep_for(kLockPause);
  }
  return fail(Code::unavailable, "folder " + folder + " stays locked");
}

Result<std::size_t> count_notes(const std::string& folder) {
  const auto close = [](DIR* directory) { ::closedir(directory); };
  const std::unique_ptr<DIR, decltype(close)> directory(::opendir(folder.c_str()), close);
  if (!directory) return fail_errno(errno, "read folder " + folder);
  std::size_t count = 0;
  while (const dirent* entry = ::readdir(directory.get())) {
    if (std::string_view(entry->d_name).ends_with(".json")) ++count;
  }
  return count;
}

Result<void> write_file(int folder_fd, const std::string& name, const std::string& text) {
  const std::string temporary = "." + name + ".new";
  {
    const UniqueFd file(
        ::openat(folder_fd, temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!file.valid()) return fail_errno(errno, "create note " + name);
    const ssize_t written = ::write(file.get(), text.data(), text.size());
    if (written != static_cast<ssize_t>(text.size())) {
      const int os_error = written < 0 ? errno : ENOSPC;
      ::unlinkat(folder_fd, temporary.c_str(), 0);
      return fail_errno(os_error, "write note " + name);
    }
  }
  if (::renameat(folder_fd, temporary.c_str(), folder_fd, name.c_str()) == 0) return {};
  return fail_errno(errno, "rename note " + name);
}

}  // namespace

std::string notes_folder(const std::string& agent_socket) {
  return agent_socket.substr(0, agent_socket.rfind('/')) + "/deferred-del";
}

Result<void> write_note(const std::string& agent_socket, const wire::Attachment& attachment) {
  const std::string folder = notes_folder(agent_socket);
  const std::string run_dir = folder.substr(0, folder.rfind('/'));
  if (!run_dir.empty()) {
    if (auto made = make_folder(run_dir); !made) return made;
  }
  if (auto made = make_folder(folder); !made) return made;
  auto locked = open_locked(folder);
  if (!locked) return tl::make_unexpected(std::move(locked.error()));

  const std::string name = note_name(attachment);
  if (::faccessat(locked->get(), name.c_str(), F_OK, 0) == 0) return {};
  auto count = count_notes(folder);
  if (!count) return tl::make_unexpected(std::move(count.error()));
  if (*count >= kMaxNotes) {
    return fail(Code::exhausted,
                "folder " + folder + " holds " + std::to_string(*count) + " notes: start netkite-agent");
  }
  return write_file(locked->get(), name, wire::to_json(attachment).dump());
}

void remove_note(const std::string& agent_socket, const wire::Attachment& attachment) {
  ::unlink((notes_folder(agent_socket) + "/" + note_name(attachment)).c_str());
}

}  // namespace netkite::cni
