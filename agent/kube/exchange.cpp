// SPDX-License-Identifier: Apache-2.0
#include "agent/kube/exchange.hpp"

#include "agent/kube/reading.hpp"

namespace netkite::kube {

boost::asio::awaitable<Result<Json>> exchange(Connection& connection, Request request, Fields wanted) {
  const auto target = request.target;
  Json object;
  Reading answer(std::move(wanted), {}, [&object](Json document) { object = std::move(document); });
  const auto status = co_await connection.ask(
      std::move(request), [&answer](unsigned code, std::string_view piece) { return answer.take(code, piece); });
  if (!status) co_return wrap(status.error(), target);
  if (auto whole = answer.finish(); !whole) {
    if (*status == kNotFound) whole.error().code = Code::not_found;
    co_return wrap(whole.error(), target);
  }
  if (auto kept = check_whole(object); !kept) co_return wrap(kept.error(), target);
  co_return object;
}

}  // namespace netkite::kube
