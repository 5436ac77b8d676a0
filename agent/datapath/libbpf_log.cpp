// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/libbpf_log.hpp"

#include <bpf/libbpf.h>

#include <array>
#include <cstdarg>
#include <cstdio>

namespace netkite::datapath {
namespace {

constexpr std::size_t kKept = 4096;  // bytes: the end of a verifier log names the instruction and the reason

std::string& kept() {
  static std::string text;
  return text;
}

int keep(libbpf_print_level level, const char* format, std::va_list arguments) {
  if (level == LIBBPF_DEBUG || level == LIBBPF_INFO) return 0;
  std::va_list again;
  va_copy(again, arguments);
  const int length = std::vsnprintf(nullptr, 0, format, again);
  va_end(again);
  if (length <= 0) return 0;
  std::string line(static_cast<std::size_t>(length) + 1, '\0');
  std::vsnprintf(line.data(), line.size(), format, arguments);
  line.pop_back();
  auto& text = kept();
  text += line;
  if (text.size() > kKept) text.erase(0, text.size() - kKept);
  return length;
}

}  // namespace

void capture_libbpf_log() {
  libbpf_set_print(keep);
  kept().clear();
  kept().shrink_to_fit();
}

std::string libbpf_log() {
  std::string text = kept();
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

tl::unexpected<Error> fail_libbpf(int os_error, std::string_view what) {
  auto error = fail_errno(os_error, what);
  if (const auto log = libbpf_log(); !log.empty()) error.value().message += "\n" + log;
  return error;
}

}  // namespace netkite::datapath
