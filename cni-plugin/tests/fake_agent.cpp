// SPDX-License-Identifier: Apache-2.0
#include "cni-plugin/tests/fake_agent.hpp"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <array>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <stdexcept>

namespace netkite::cni::testing {
namespace {

// True when `fd` became readable, false when the agent is told to stop.
bool wait_for(int fd, int stop) {
  std::array<pollfd, 2> entries = {
      {{.fd = fd, .events = POLLIN, .revents = 0}, {.fd = stop, .events = POLLIN, .revents = 0}}};
  return ::poll(entries.data(), entries.size(), -1) > 0 && entries[1].revents == 0;
}

std::uint64_t take_netns(msghdr& message) {
  std::uint64_t inode = 0;
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr; header = CMSG_NXTHDR(&message, header)) {
    int fd = -1;
    std::memcpy(&fd, CMSG_DATA(header), sizeof(fd));
    const UniqueFd owned(fd);
    struct stat status{};
    if (::fstat(fd, &status) == 0) inode = status.st_ino;
  }
  return inode;
}

}  // namespace

TemporaryFolder::TemporaryFolder() {
  std::string name = "/tmp/netkite-cni-test.XXXXXX";
  if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("mkdtemp");
  path_ = name;
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

FakeAgent::FakeAgent(const std::string& socket_path)
    : listener_(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0)), stop_(::eventfd(0, EFD_CLOEXEC)) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, socket_path.c_str(), socket_path.size());
  if (::bind(listener_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0 ||
      ::listen(listener_.get(), 64) != 0) {
    throw std::runtime_error("listen at " + socket_path);
  }
  for (const char* op : {"commit", "remove_end", "gc"}) answer(op, nlohmann::json::object());
  answer("remove_begin", wire::to_json(wire::RemoveBeginReply{.known = true, .netns_inode = 0}));
  answer("cni_status", wire::to_json(wire::CniStatusReply{.ready = true, .addresses_left = true, .message = "ready"}));
  acceptor_ = std::thread([this] { accept_all(); });
}

FakeAgent::~FakeAgent() {
  ::eventfd_write(stop_.get(), 1);
  acceptor_.join();
  for (auto& server : servers_) server.join();
}

void FakeAgent::set(const std::string& op, Treatment treatment) {
  const std::lock_guard lock(mutex_);
  treatments_[op] = std::move(treatment);
}

void FakeAgent::answer(const std::string& op, const nlohmann::json& fields) { say(op, wire::success(fields).dump()); }

void FakeAgent::refuse(const std::string& op, Code code, const std::string& message) {
  say(op, wire::to_json(Error{.code = code, .os_error = 0, .message = message}).dump());
}

void FakeAgent::say(const std::string& op, const std::string& text) { set(op, {.manner = Manner::say, .text = text}); }
void FakeAgent::hang(const std::string& op) { set(op, {.manner = Manner::hang, .text = {}}); }
void FakeAgent::close_on(const std::string& op) { set(op, {.manner = Manner::close, .text = {}}); }

void FakeAgent::watch(const std::string& op, std::function<void()> action) {
  const std::lock_guard lock(mutex_);
  watchers_[op] = std::move(action);
}

std::vector<std::string> FakeAgent::operations() const {
  const std::lock_guard lock(mutex_);
  std::vector<std::string> names;
  for (const Seen& each : seen_) names.push_back(each.op);
  return names;
}

nlohmann::json FakeAgent::last(const std::string& op) const {
  const std::lock_guard lock(mutex_);
  nlohmann::json request;
  for (const Seen& each : seen_) {
    if (each.op == op) request = each.request;
  }
  return request;
}

std::uint64_t FakeAgent::netns_of(const std::string& op) const {
  const std::lock_guard lock(mutex_);
  std::uint64_t inode = 0;
  for (const Seen& each : seen_) {
    if (each.op == op) inode = each.netns_inode;
  }
  return inode;
}

void FakeAgent::accept_all() {
  while (wait_for(listener_.get(), stop_.get())) {
    UniqueFd connection(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (!connection.valid()) continue;
    servers_.emplace_back([this, fd = connection.release()] { serve(UniqueFd(fd)); });
  }
}

void FakeAgent::serve(UniqueFd connection) {
  while (wait_for(connection.get(), stop_.get()) && serve_one(connection.get())) {
  }
}

bool FakeAgent::serve_one(int connection) {
  std::array<char, wire::kMaxMessage> buffer{};
  alignas(cmsghdr) std::array<std::byte, CMSG_SPACE(sizeof(int))> control{};
  iovec part = {.iov_base = buffer.data(), .iov_len = buffer.size()};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  const ssize_t size = ::recvmsg(connection, &message, MSG_CMSG_CLOEXEC);
  if (size <= 0) return false;

  auto request = nlohmann::json::parse(std::string_view(buffer.data(), static_cast<std::size_t>(size)));
  const std::string op = request.at("op");
  const std::uint64_t inode = take_netns(message);
  Treatment treatment;
  std::function<void()> watcher;
  {
    const std::lock_guard lock(mutex_);
    treatment = treatments_[op];
    watcher = watchers_[op];
    seen_.push_back({.op = op, .request = std::move(request), .netns_inode = inode});
  }
  if (watcher) watcher();
  if (treatment.manner == Manner::close) return false;
  if (treatment.manner == Manner::hang) return true;
  return ::send(connection, treatment.text.data(), treatment.text.size(), MSG_NOSIGNAL) >= 0;
}

}  // namespace netkite::cni::testing
