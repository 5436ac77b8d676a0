// SPDX-License-Identifier: Apache-2.0
// A long list in replies of bounded size. Room-internal.
#pragma once

#include <algorithm>
#include <cstddef>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "common/base/result.hpp"
#include "common/wire/agent_api.hpp"

namespace netkite::api {

// Bytes for a list's items, so that the rest of the reply finds room as well.
inline constexpr std::size_t kPageBytes = wire::kMaxMessage - 8192;

struct PageRequest {
  std::size_t offset = 0;
  std::size_t limit = std::numeric_limits<std::size_t>::max();
};

[[nodiscard]] inline Result<PageRequest> page_request(const nlohmann::json& request) {
  PageRequest page;
  for (auto [key, value] : {std::pair{"offset", &page.offset}, std::pair{"limit", &page.limit}}) {
    const auto found = request.find(key);
    if (found == request.end()) continue;
    if (!found->is_number_unsigned()) return fail(Code::invalid, std::string(key) + " must be a whole number");
    *value = found->get<std::size_t>();
  }
  return page;
}

// Appends items to `list` from `offset` on while they fit; the offset after the last one.
template <typename T, typename ToJson>
std::size_t append_items(nlohmann::json& list, const std::vector<T>& items, PageRequest page, ToJson to_json,
                         std::size_t budget = kPageBytes) {
  std::size_t at = page.offset;
  std::size_t bytes = 0;
  for (; at < items.size() && at - page.offset < page.limit; ++at) {
    nlohmann::json item = to_json(items[at]);
    bytes += wire::to_text(item).size() + 1;
    if (bytes > budget) break;
    list.push_back(std::move(item));
  }
  return at;
}

// {"<key>": [...], "total": N, "next": M}
template <typename T, typename ToJson>
[[nodiscard]] nlohmann::json page_of(const std::string& key, const std::vector<T>& items, PageRequest page,
                                     ToJson to_json) {
  nlohmann::json list = nlohmann::json::array();
  const std::size_t next = append_items(list, items, page, to_json);
  nlohmann::json reply{{key, std::move(list)}, {"total", items.size()}};
  if (next < items.size() && next > page.offset) reply["next"] = next;
  return reply;
}

// A page of what `read` gives. At offset 0 it is read, and kept in the session for the pages that follow.
template <typename T, typename Read, typename ToJson>
[[nodiscard]] Result<nlohmann::json> kept_page(const std::string& key, const nlohmann::json& request,
                                               std::optional<std::vector<T>>& kept, Read read, ToJson to_json) {
  const auto page = page_request(request);
  if (!page) return tl::make_unexpected(page.error());
  if (page->offset == 0 || !kept) {
    Result<std::vector<T>> fresh = read();
    if (!fresh) return tl::make_unexpected(fresh.error());
    kept = *std::move(fresh);
  }
  auto reply = page_of(key, *kept, *page, to_json);
  if (!reply.contains("next")) kept.reset();
  return reply;
}

}  // namespace netkite::api
