// SPDX-License-Identifier: Apache-2.0
#include "agent/kube/manifests.hpp"

#include <sys/inotify.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <fstream>
#include <iterator>

#include "agent/kube/reading.hpp"
#include "agent/kube/yaml.hpp"
#include "common/base/await.hpp"

namespace netkite::kube {
namespace {

namespace asio = boost::asio;
namespace fs = std::filesystem;

constexpr std::uintmax_t kMaxFile = 16U << 20;  // bytes
constexpr auto kDebounce = std::chrono::milliseconds(200);
constexpr auto kRetry = std::chrono::seconds(2);
constexpr std::uint32_t kChanges = IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_DELETE_SELF;

bool is_manifest(const fs::path& path) {
  const auto extension = path.extension();
  return !path.filename().string().starts_with('.') &&
         (extension == ".yaml" || extension == ".yml" || extension == ".json");
}

// The wanted fields alone, as of an answer of the API server.
Json picked(const Json& object, const Fields& fields) {
  Json result = Json::object();
  auto wanted = fields;
  wanted.merge({"metadata.name", "metadata.namespace"});
  Picker picker(std::move(wanted), {}, [&result](Json document) { result = std::move(document); });
  JsonStream stream(picker);
  if (auto fed = stream.feed(object.dump(-1, ' ', false, Json::error_handler_t::replace)); !fed) return Json::object();
  return result;
}

}  // namespace

Manifests::Manifests(asio::io_context& context, std::string folder, std::vector<Subscription> subscriptions)
    : timer_(context), changes_(context), folder_(std::move(folder)), subscriptions_(std::move(subscriptions)) {}

void Manifests::stop() {
  stopped_ = true;
  timer_.cancel();
  boost::system::error_code ignored;
  changes_.close(ignored);
}

asio::awaitable<void> Manifests::run() {
  while (!stopped_) {
    // The watch first, so that nothing changes unseen in between.
    const auto read = watch().and_then([this] { return read_folder(); });
    if (!read) {
      say(read.error().message);
      timer_.expires_after(kRetry);
      co_await timer_.async_wait(kToken);
      continue;
    }
    std::vector<std::string> troubles;
    tell(gather(troubles));
    std::string all;
    for (const auto& trouble : troubles) all += (all.empty() ? "" : "; ") + trouble;
    say(all);
    co_await next_change();
  }
}

Result<void> Manifests::watch() {
  boost::system::error_code ignored;
  changes_.close(ignored);
  const int fd = ::inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
  if (fd < 0) return fail_errno(errno, "inotify_init1");
  changes_.assign(fd, ignored);
  if (::inotify_add_watch(fd, folder_.c_str(), kChanges | IN_ONLYDIR) < 0) return fail_errno(errno, folder_);
  return {};
}

// Several files that change together are looked at once.
asio::awaitable<void> Manifests::next_change() {
  const auto [error] = co_await changes_.async_wait(asio::posix::stream_descriptor::wait_read, kToken);
  if (error || stopped_) co_return;
  timer_.expires_after(kDebounce);
  co_await timer_.async_wait(kToken);
}

Result<void> Manifests::read_folder() {
  std::error_code error;
  std::map<std::string, File> files;
  for (fs::directory_iterator each(folder_, error), end; !error && each != end; each.increment(error)) {
    std::error_code vanished;
    if (!is_manifest(each->path()) || !each->is_regular_file(vanished)) continue;
    const auto name = each->path().filename().string();
    const auto former = files_.find(name);
    auto& file = files[name];
    if (former != files_.end()) file = std::move(former->second);
    read_file(each->path(), file);
  }
  if (error) return fail(Code::io, folder_ + ": " + error.message());
  files_ = std::move(files);
  return {};
}

void Manifests::read_file(const fs::path& path, File& file) const {
  std::error_code error;
  const auto changed = fs::last_write_time(path, error);
  const auto size = fs::file_size(path, error);
  if (!error && changed == file.changed && size == file.size) return;
  file.changed = changed;
  file.size = size;
  file.trouble.clear();
  if (size > kMaxFile) {
    file.trouble = path.string() + ": larger than 16 MiB";
    return;
  }
  std::ifstream stream(path);
  const std::string text{std::istreambuf_iterator<char>(stream), {}};
  auto objects = stream.good() || stream.eof() ? parse_yaml(text) : fail(Code::io, "cannot be read");
  if (objects) {
    file.objects = *std::move(objects);
  } else {
    file.trouble = path.string() + ": " + objects.error().message;
  }
}

Manifests::Objects Manifests::gather(std::vector<std::string>& troubles) const {
  Objects objects;
  for (const auto& [name, file] : files_) {
    if (!file.trouble.empty()) troubles.push_back(file.trouble);
    for (const auto& object : file.objects) {
      Kind kind{text_at(object, "apiVersion"), text_at(object, "kind")};
      const auto found = std::ranges::find_if(subscriptions_, [&kind](const Subscription& each) {
        const auto& resource = each.resource;
        return resource.kind == kind.second &&
               (resource.version == kind.first || (resource.older && resource.older->version == kind.first));
      });
      if (found == subscriptions_.end()) {
        troubles.push_back(name + ": " + kind.first + " " + kind.second + " has no effect here");
        continue;
      }
      kind.first = found->resource.version;
      auto small = picked(object, found->resource.fields);
      auto& metadata = small["metadata"];
      const auto own_name = text_at(metadata, "name");
      if (own_name.empty()) {
        troubles.push_back(name + ": " + kind.second + ": metadata.name is missing");
        continue;
      }
      if (found->resource.namespaced && text_at(metadata, "namespace").empty()) metadata["namespace"] = "default";
      const auto key = found->resource.namespaced ? text_at(metadata, "namespace") + "/" + own_name : own_name;
      if (!objects[kind].emplace(key, std::move(small)).second) {
        troubles.push_back(name + ": " + kind.second + " " + key + " is given twice; the first one counts");
      }
    }
  }
  return objects;
}

void Manifests::tell(const Objects& objects) {
  const auto former = std::exchange(known_, objects);
  for (const auto& [resource, events] : subscriptions_) {
    const Kind kind{resource.version, resource.kind};
    const auto before = former.find(kind);
    const auto now = objects.find(kind);
    const std::map<std::string, Json> none;
    const auto& old_objects = before == former.end() ? none : before->second;
    const auto& new_objects = now == objects.end() ? none : now->second;
    for (const auto& [key, object] : old_objects) {
      if (!new_objects.contains(key)) events.removed(key);
    }
    for (const auto& [key, object] : new_objects) {
      const auto old_object = old_objects.find(key);
      if (old_object == old_objects.end() || old_object->second != object) events.changed(key, object);
    }
    if (!synced_) events.synced();
  }
  synced_ = true;
}

void Manifests::say(const std::string& trouble) {
  for (const auto& each : subscriptions_) each.events.state(trouble);
}

}  // namespace netkite::kube
