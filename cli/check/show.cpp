// SPDX-License-Identifier: Apache-2.0
#include "cli/check/check.hpp"
#include "cli/commands.hpp"
#include "cli/fields.hpp"
#include "cli/table.hpp"

namespace netkite::cli {

int show_check(const Arguments& arguments, std::ostream& out) {
  const auto findings = check_node(arguments);
  const Grade result = worst(findings);
  if (arguments.output == Output::json) {
    auto rows = nlohmann::json::array();
    for (const auto& each : findings) {
      rows.push_back(
          {{"item", each.item}, {"status", to_string(each.grade)}, {"detail", each.detail}, {"fix", each.fix}});
    }
    print_json(out, {{"result", to_string(result)}, {"checks", std::move(rows)}});
  } else {
    Table table({"ITEM", "STATUS", "DETAIL"});
    for (const auto& each : findings) {
      table.add({each.item, std::string(to_string(each.grade)),
                 each.detail + (each.fix.empty() ? "" : "; fix: " + each.fix)});
    }
    out << table.to_string();
  }
  return result == Grade::fail ? 1 : 0;
}

}  // namespace netkite::cli
