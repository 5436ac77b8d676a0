// SPDX-License-Identifier: Apache-2.0
#include "bpf/tests/program.hpp"

#include <bpf/bpf.h>
#include <sched.h>

#include <cstring>
#include <map>
#include <stdexcept>
#include <string_view>

namespace netkite::bpf_tests {
namespace {

void require(bool good, const std::string& what) {
  if (!good) throw std::runtime_error(what + ": " + std::strerror(errno));
}

int keep_event(void* context, void* data, std::size_t size) {
  nk_event event{};
  std::memcpy(&event, data, std::min(size, sizeof(event)));
  static_cast<std::vector<nk_event>*>(context)->push_back(event);
  return 0;
}

void prepare_map(bpf_map* map, const nk_config& config) {
  const std::string_view name = bpf_map__name(map);
  if (name.ends_with(".rodata")) {
    std::size_t size = 0;
    void* value = bpf_map__initial_value(map, &size);
    require(value != nullptr && size == sizeof(config), "nk_config is not the only constant");
    std::memcpy(value, &config, sizeof(config));
  } else if (bpf_map__max_entries(map) == 1 && bpf_map__type(map) != BPF_MAP_TYPE_ARRAY) {
    require(bpf_map__set_max_entries(map, 64) == 0, "set_max_entries");
  }
}

void stay_on_this_cpu() {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(static_cast<std::size_t>(::sched_getcpu()), &set);
  require(::sched_setaffinity(0, sizeof(set), &set) == 0, "affinity");
}

Bytes prefix_key(const std::string& prefix, unsigned length) {
  const std::uint32_t bits = length;
  Bytes key(sizeof(bits));
  std::memcpy(key.data(), &bits, sizeof(bits));
  return key + address(prefix);
}

}  // namespace

Program::Program(const void* elf, std::size_t size, const nk_config& config, const Program* other) {
  stay_on_this_cpu();
  object_ = bpf_object__open_mem(elf, size, nullptr);
  require(object_ != nullptr, "open");
  bpf_map* map = nullptr;
  bpf_object__for_each_map(map, object_) {
    prepare_map(map, config);
    if (const int shared = other != nullptr ? other->map(bpf_map__name(map)) : -1; shared >= 0) {
      require(bpf_map__reuse_fd(map, shared) == 0, "share a map");
    }
  }
  require(bpf_object__load(object_) == 0, "load (as root?)");
  if (const int events = this->map("nk_events_v1"); events >= 0) {
    ring_ = ring_buffer__new(events, &keep_event, &events_, nullptr);
    require(ring_ != nullptr, "ring buffer");
  }
}

Program::~Program() {
  ring_buffer__free(ring_);
  bpf_object__close(object_);
}

int Program::fd() const { return bpf_program__fd(bpf_object__next_program(object_, nullptr)); }

int Program::map(const std::string& name) const { return bpf_object__find_map_fd_by_name(object_, name.c_str()); }

Outcome Program::run(const Bytes& frame, std::uint32_t gso_size, std::uint32_t device) const {
  __sk_buff context{};
  context.ifindex = device;
  context.gso_size = gso_size;
  return run(frame, context, 0);
}

Outcome Program::run_summed(const Bytes& frame) const {
  constexpr std::uint32_t kChecksumComplete = 1U << 2;  // BPF_F_TEST_SKB_CHECKSUM_COMPLETE, Linux 6.12
  __sk_buff context{};
  context.ifindex = kDevice;
  return run(frame, context, kChecksumComplete);
}

Outcome Program::run(const Bytes& frame, __sk_buff context, std::uint32_t flags) const {
  Bytes out(frame.size() + 256);
  LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = frame.data(), .data_out = out.data(),
              .data_size_in = static_cast<std::uint32_t>(frame.size()),
              .data_size_out = static_cast<std::uint32_t>(out.size()), .flags = flags);
  const bool xdp = bpf_program__type(bpf_object__next_program(object_, nullptr)) == BPF_PROG_TYPE_XDP;
  if (!xdp) {
    options.ctx_in = &context;
    options.ctx_size_in = sizeof(context);
    options.ctx_out = &context;
    options.ctx_size_out = sizeof(context);
  }
  const int status = bpf_prog_test_run_opts(fd(), &options);
  out.resize(options.data_size_out);
  return {.status = status, .verdict = static_cast<int>(options.retval), .frame = out, .departs = context.tstamp};
}

void Program::add_endpoint(const std::string& text, const nk_endpoint& endpoint) const {
  const auto key = address(text);
  const int fd = map(key.size() == 4 ? "nk_ep4_v1" : "nk_ep6_v1");
  require(bpf_map_update_elem(fd, key.data(), &endpoint, BPF_ANY) == 0, "endpoint");
}

void Program::remove_endpoint(const std::string& text) const {
  const auto key = address(text);
  require(bpf_map_delete_elem(map(key.size() == 4 ? "nk_ep4_v1" : "nk_ep6_v1"), key.data()) == 0, "endpoint");
}

void Program::add_remote(const std::string& prefix, unsigned length, const nk_remote& remote) const {
  const auto key = prefix_key(prefix, length);
  const int fd = map(key.size() == 8 ? "nk_remote4_v1" : "nk_remote6_v1");
  require(bpf_map_update_elem(fd, key.data(), &remote, BPF_ANY) == 0, "remote");
}

void Program::add_tunnel(const std::string& prefix, unsigned length, const nk_tunnel& tunnel) const {
  const auto key = prefix_key(prefix, length);
  const int fd = map(key.size() == 8 ? "nk_tunnel4_v2" : "nk_tunnel6_v2");
  require(bpf_map_update_elem(fd, key.data(), &tunnel, BPF_ANY) == 0, "tunnel");
}

void Program::remove_remote(const std::string& prefix, unsigned length) const {
  const auto key = prefix_key(prefix, length);
  require(bpf_map_delete_elem(map(key.size() == 8 ? "nk_remote4_v1" : "nk_remote6_v1"), key.data()) == 0, "remote");
}

void Program::add_deny(const std::string& prefix, unsigned length) const {
  const auto key = prefix_key(prefix, length);
  const nk_deny none{};
  const int fd = map(key.size() == 8 ? "nk_deny4_v1" : "nk_deny6_v1");
  require(bpf_map_update_elem(fd, key.data(), &none, BPF_ANY) == 0, "deny");
}

nk_deny Program::denied(const std::string& prefix, unsigned length) const {
  const auto key = prefix_key(prefix, length);
  nk_deny value{};
  require(bpf_map_lookup_elem(map(key.size() == 8 ? "nk_deny4_v1" : "nk_deny6_v1"), key.data(), &value) == 0, "denied");
  return value;
}

void Program::set_device(std::uint32_t ifindex, const nk_device& device) const {
  require(bpf_map_update_elem(map("nk_dev_v1"), &ifindex, &device, BPF_ANY) == 0, "device");
}

void Program::remove_device(std::uint32_t ifindex) const {
  require(bpf_map_delete_elem(map("nk_dev_v1"), &ifindex) == 0, "device");
}

void Program::set_monitor(bool on) const {
  const std::uint32_t key = 0;
  const nk_control control{.monitor = on ? 1U : 0U, .pad = 0};
  require(bpf_map_update_elem(map("nk_control_v1"), &key, &control, BPF_ANY) == 0, "control");
}

void Program::set_epoch(std::uint64_t epoch) const {
  const std::uint32_t key = 0;
  if (const int fd = map("nk_epoch_v1"); fd >= 0) require(bpf_map_update_elem(fd, &key, &epoch, BPF_ANY) == 0, "epoch");
}

std::vector<Drop> Program::drops() const {
  const int fd = map("nk_drops_v1");
  std::vector<Drop> result;
  if (fd < 0) return result;
  std::vector<nk_counter> cpus(static_cast<std::size_t>(libbpf_num_possible_cpus()));
  for (std::uint32_t reason = 0; reason < NK_DROP_REASON_COUNT; ++reason) {
    require(bpf_map_lookup_elem(fd, &reason, cpus.data()) == 0, "drops");
    Drop total{.reason = reason};
    for (const auto& cpu : cpus) {
      total.packets += cpu.packets;
      total.bytes += cpu.bytes;
    }
    if (total.packets != 0) result.push_back(total);
  }
  return result;
}

std::vector<nk_event> Program::events() const {
  events_.clear();
  ring_buffer__consume(ring_);
  return events_;
}

std::vector<Drop> difference(const std::vector<Drop>& before, const std::vector<Drop>& after) {
  std::map<std::uint32_t, Drop> known;
  for (const auto& each : before) known[each.reason] = each;
  std::vector<Drop> result;
  for (auto each : after) {
    const auto& old = known[each.reason];
    each.packets -= old.packets;
    each.bytes -= old.bytes;
    if (each.packets != 0) result.push_back(each);
  }
  return result;
}

}  // namespace netkite::bpf_tests
