// SPDX-License-Identifier: Apache-2.0
// Lists of an agent's reply as tables.
#pragma once

#include <nlohmann/json.hpp>
#include <ostream>
#include <string>
#include <vector>

namespace netkite::cli {

// One column for each field, a list's items in one.
void print_list(std::ostream& out, const std::vector<nlohmann::json>& rows, const std::vector<std::string>& headers,
                const std::vector<std::string>& keys);

// "192.0.2.1:80", "[2001:db8::1]:80": the address in a field, and the port in the field of its name and "_port". The
// field "address" has its port in "port".
[[nodiscard]] std::string place(const nlohmann::json& row, const std::string& key);

}  // namespace netkite::cli
