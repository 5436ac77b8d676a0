// SPDX-License-Identifier: Apache-2.0
#include "bpf/tests/verdict_flow.hpp"

#include <bpf/bpf.h>

#include <array>
#include <map>
#include <stdexcept>

namespace netkite::bpf_tests {
namespace {

using Value = std::optional<std::set<std::int32_t>>;  // nullopt: anything
using Registers = std::array<Value, 16>;

void join(Value& into, const Value& other) {
  if (!into || !other) {
    into = std::nullopt;
  } else {
    into->insert(other->begin(), other->end());
  }
}

class Flow {
 public:
  explicit Flow(const std::vector<bpf_insn>& program) : program_(program) {}

  Value from(std::size_t entry) {
    if (const auto known = results_.find(entry); known != results_.end()) return known->second;
    results_[entry] = std::nullopt;  // recursion, which the kernel refuses: anything
    const Value result = walk(entry);
    results_[entry] = result;
    return result;
  }

 private:
  struct State {
    std::map<std::size_t, Registers> at;
    std::vector<std::size_t> pending;
  };

  Value walk(std::size_t entry) {
    State state;
    state.at[entry] = Registers{};
    state.pending.push_back(entry);
    Value result = std::set<std::int32_t>{};
    while (!state.pending.empty()) {
      const auto here = state.pending.back();
      state.pending.pop_back();
      auto registers = state.at.at(here);
      const auto& insn = program_.at(here);
      if (insn.code == (BPF_JMP | BPF_EXIT)) {
        join(result, registers[0]);
        continue;
      }
      execute(here, registers);
      for (const auto next : successors(here)) {
        if (const auto known = narrowed(here, next, registers)) arrive(state, next, *known);
      }
    }
    return result;
  }

  static void arrive(State& state, std::size_t next, const Registers& registers) {
    const auto [place, fresh] = state.at.try_emplace(next, registers);
    auto merged = place->second;
    for (std::size_t i = 0; i < merged.size(); ++i) join(merged[i], registers[i]);
    if (!fresh && merged == place->second) return;
    place->second = merged;
    state.pending.push_back(next);
  }

  // What a comparison for (in)equality tells on its way to `next`; nullopt: the way is impossible. Only constants that
  // are the same number in 32 and in 64 bits.
  std::optional<Registers> narrowed(std::size_t here, std::size_t next, const Registers& registers) const {
    const auto& insn = program_.at(here);
    const auto kind = BPF_CLASS(insn.code), operation = BPF_OP(insn.code);
    const bool compares = (kind == BPF_JMP || kind == BPF_JMP32) && (operation == BPF_JEQ || operation == BPF_JNE);
    const auto& value = registers.at(insn.dst_reg);
    if (!compares || BPF_SRC(insn.code) != BPF_K || insn.imm < 0 || insn.off == 0 || !value) return registers;
    const bool equal = (operation == BPF_JEQ) == (next != here + 1);
    Registers result = registers;
    std::erase_if(*result.at(insn.dst_reg), [&](std::int32_t each) { return (each == insn.imm) != equal; });
    return result.at(insn.dst_reg)->empty() ? std::nullopt : std::optional(result);
  }

  void execute(std::size_t here, Registers& registers) {
    const auto& insn = program_.at(here);
    switch (BPF_CLASS(insn.code)) {
      case BPF_ALU:
      case BPF_ALU64:
        registers.at(insn.dst_reg) = moved(insn, registers);
        break;
      case BPF_JMP:
      case BPF_JMP32:
        if (BPF_OP(insn.code) == BPF_CALL) call(here, registers);
        break;
      case BPF_LD:  // a 64-bit constant, or a packet's bytes into register 0
        registers.at(BPF_MODE(insn.code) == BPF_IMM ? insn.dst_reg : 0) = std::nullopt;
        break;
      case BPF_LDX:
        registers.at(insn.dst_reg) = std::nullopt;
        break;
      case BPF_STX:
        if (BPF_MODE(insn.code) == BPF_ATOMIC) registers.at(insn.src_reg) = registers[0] = std::nullopt;
        break;
      default:
        break;
    }
  }

  static Value moved(const bpf_insn& insn, const Registers& registers) {
    if (BPF_OP(insn.code) != BPF_MOV) return std::nullopt;
    if (BPF_SRC(insn.code) == BPF_K) return std::set<std::int32_t>{insn.imm};
    return insn.off == 0 ? registers.at(insn.src_reg) : std::nullopt;  // an offset: sign extension
  }

  void call(std::size_t here, Registers& registers) {
    const auto& insn = program_.at(here);
    // After the kernel's own translation the distance to a function of the program stands in `off`.
    registers[0] = insn.src_reg == BPF_PSEUDO_CALL ? from(target(here, insn.off)) : std::nullopt;
    for (std::size_t i = 1; i <= 5; ++i) registers.at(i) = std::nullopt;
  }

  std::vector<std::size_t> successors(std::size_t here) const {
    const auto& insn = program_.at(here);
    const auto kind = BPF_CLASS(insn.code);
    if (insn.code == (BPF_LD | BPF_IMM | BPF_DW)) return {here + 2};
    if ((kind != BPF_JMP && kind != BPF_JMP32) || BPF_OP(insn.code) == BPF_CALL) return {here + 1};
    if (insn.code == (BPF_JMP32 | BPF_JA)) return {target(here, insn.imm)};
    if (insn.code == (BPF_JMP | BPF_JA)) return {target(here, insn.off)};
    return {here + 1, target(here, insn.off)};
  }

  static std::size_t target(std::size_t here, std::int32_t distance) {
    return static_cast<std::size_t>(static_cast<std::int64_t>(here) + 1 + distance);
  }

  const std::vector<bpf_insn>& program_;
  std::map<std::size_t, Value> results_;
};

}  // namespace

std::optional<std::set<std::int32_t>> return_values(const std::vector<bpf_insn>& program) {
  return Flow(program).from(0);
}

std::vector<bpf_insn> translated_instructions(int program_fd) {
  bpf_prog_info info{};
  std::uint32_t length = sizeof(info);
  if (bpf_prog_get_info_by_fd(program_fd, &info, &length) != 0) throw std::runtime_error("program info");
  std::vector<bpf_insn> program(info.xlated_prog_len / sizeof(bpf_insn));
  info = {};
  info.xlated_prog_len = static_cast<std::uint32_t>(program.size() * sizeof(bpf_insn));
  info.xlated_prog_insns = reinterpret_cast<std::uintptr_t>(program.data());
  length = sizeof(info);
  if (bpf_prog_get_info_by_fd(program_fd, &info, &length) != 0 || info.xlated_prog_insns == 0) {
    throw std::runtime_error("the kernel does not show the translated program");
  }
  return program;
}

}  // namespace netkite::bpf_tests
