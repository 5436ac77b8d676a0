// SPDX-License-Identifier: Apache-2.0
#include "cli/tests/fake_agent.hpp"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <sstream>

#include "cli/commands.hpp"

namespace netkite::cli {

FakeAgent::FakeAgent(Answer answer) : answer_(std::move(answer)) {
  std::string pattern = (std::filesystem::temp_directory_path() / "netkite-cli-XXXXXX").string();
  folder_ = mkdtemp(pattern.data());
  path_ = folder_ + "/agent.sock";
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path_.data(), path_.size());
  listener_ = UniqueFd(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  EXPECT_EQ(bind(listener_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
  EXPECT_EQ(listen(listener_.get(), 8), 0);
  thread_ = std::thread([this] { serve(); });
}

FakeAgent::~FakeAgent() {
  shutdown(listener_.get(), SHUT_RDWR);  // accept returns
  thread_.join();
  std::filesystem::remove_all(folder_);
}

std::vector<FakeAgent::Json> FakeAgent::requests() {
  const std::lock_guard lock(mutex_);
  return requests_;
}

void FakeAgent::serve() {
  for (;;) {
    const UniqueFd connection(accept(listener_.get(), nullptr, nullptr));
    if (!connection.valid()) return;
    serve_one(connection);
  }
}

void FakeAgent::serve_one(const UniqueFd& connection) {
  std::string buffer(1U << 20U, '\0');
  for (;;) {
    const ssize_t length = recv(connection.get(), buffer.data(), buffer.size(), 0);
    if (length <= 0) return;
    const auto size = static_cast<std::size_t>(length);
    longest_ = std::max(longest_.load(), size);
    const Json request = Json::parse(buffer.substr(0, size));
    {
      const std::lock_guard lock(mutex_);
      requests_.push_back(request);
    }
    const auto replies = answer_(request);
    if (replies.empty()) return;
    for (const auto& reply : replies) {
      const std::string text = reply.dump();
      send(connection.get(), text.data(), text.size(), MSG_NOSIGNAL);
    }
  }
}

Ran run_cli(const std::vector<std::string>& arguments, const std::string& socket) {
  std::vector<std::string> line{"netkite"};
  for (const auto& argument : arguments) line.push_back(argument);
  if (!socket.empty()) line.push_back("--socket=" + socket);
  std::vector<char*> words;
  for (auto& word : line) words.push_back(word.data());
  std::ostringstream out;
  std::ostringstream err;
  const int status = run(words, out, err);
  return {.status = status, .out = out.str(), .err = err.str()};
}

}  // namespace netkite::cli
