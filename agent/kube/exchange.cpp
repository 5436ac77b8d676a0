// SPDX-License-Identifier: Apache-2.0
#include "agent/kube/patch.hpp"

#include "agent/kube/reading.hpp"

namespace netkite::kube {

boost::asio::awaitable<Result<void>> patch(Connection& connection, Request request) {
  const auto target = request.target;
  // The answer is the object as it has become, of which nothing is wanted.
  Reading answer({"kind"}, {}, [](const Json&) {});
  const auto status = co_await connection.ask(
      std::move(request), [&answer](unsigned code, std::string_view piece) { return answer.take(code, piece); });
  if (!status) co_return wrap(status.error(), target);
  if (auto whole = answer.finish(); !whole) co_return wrap(whole.error(), target);
  co_return Result<void>();
}

}  // namespace netkite::kube
