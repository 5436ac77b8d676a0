// SPDX-License-Identifier: Apache-2.0
#include "cli/list.hpp"

#include "cli/fields.hpp"
#include "cli/table.hpp"

namespace netkite::cli {

void print_list(std::ostream& out, const std::vector<nlohmann::json>& rows, const std::vector<std::string>& headers,
                const std::vector<std::string>& keys) {
  Table table(headers);
  for (const auto& row : rows) {
    std::vector<std::string> cells;
    for (const auto& key : keys) {
      const auto found = row.find(key);
      cells.push_back(found != row.end() && found->is_array() ? joined(row, key) : text(row, key));
    }
    table.add(std::move(cells));
  }
  out << table.to_string();
}

std::string place(const nlohmann::json& row, const std::string& key) {
  const auto address = text(row, key);
  return (address.find(':') == std::string::npos ? address : "[" + address + "]") + ":" +
         text(row, key == "address" ? "port" : key + "_port");
}

}  // namespace netkite::cli
