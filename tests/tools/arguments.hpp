// SPDX-License-Identifier: Apache-2.0
// Command lines of the test tools: <verb> <positional>… --option <value>…  An error prints one line and exits with 2.
#pragma once

#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace netkite::tools {

// The tools report failures to people and scripts: one line on stderr, exit 1 (2 for a wrong command line).
[[noreturn]] inline void die(std::string_view message, int status = 1) {
  std::fprintf(stderr, "error: %.*s\n", static_cast<int>(message.size()), message.data());
  std::exit(status);
}

class Arguments {
 public:
  // `known` are the options that the verb understands; each takes a value and may be repeated.
  Arguments(int argc, char** argv, const std::set<std::string_view>& known) {
    for (int i = 0; i < argc; ++i) {
      const std::string_view word = argv[i];
      if (!word.starts_with("--")) {
        positional_.emplace_back(word);
      } else if (!known.contains(word)) {
        die("unknown option " + std::string(word), 2);
      } else if (i + 1 == argc) {
        die("option " + std::string(word) + " needs a value", 2);
      } else {
        options_[std::string(word)].emplace_back(argv[++i]);
      }
    }
  }

  [[nodiscard]] const std::string& positional(std::size_t index, std::string_view name) const {
    if (index >= positional_.size()) die("missing argument " + std::string(name), 2);
    return positional_[index];
  }

  [[nodiscard]] std::size_t positionals() const { return positional_.size(); }

  [[nodiscard]] std::vector<std::string> all(const std::string& option) const {
    const auto found = options_.find(option);
    return found == options_.end() ? std::vector<std::string>{} : found->second;
  }

  [[nodiscard]] std::optional<std::string> find(const std::string& option) const {
    const auto found = options_.find(option);
    if (found == options_.end()) return std::nullopt;
    return found->second.back();
  }

  [[nodiscard]] std::string get(const std::string& option) const {
    auto value = find(option);
    if (!value) die("missing option " + option, 2);
    return *value;
  }

  [[nodiscard]] unsigned long number(const std::string& option, std::optional<unsigned long> fallback = {}) const {
    const auto text = find(option);
    if (!text && fallback) return *fallback;
    return to_number(get(option), option);
  }

  [[nodiscard]] static unsigned long to_number(std::string_view text, std::string_view name) {
    unsigned long value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size()) {
      die(std::string(name) + ": not a number: " + std::string(text), 2);
    }
    return value;
  }

 private:
  std::vector<std::string> positional_;
  std::map<std::string, std::vector<std::string>> options_;
};

}  // namespace netkite::tools
