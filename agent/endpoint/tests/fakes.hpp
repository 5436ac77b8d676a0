// SPDX-License-Identifier: Apache-2.0
// Stand-ins for the kernel's two edges, for the tests of endpoint and api: they remember what was asked of them, in
// order, and fail on demand.
#pragma once

#include <unistd.h>

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "agent/datapath/datapath.hpp"
#include "agent/endpoint/host_link.hpp"

namespace netkite::endpoint::testing {

// What was called, such as "attach nk012345678901", and what is to fail: the same words.
struct Journal {
  std::vector<std::string> calls;
  std::set<std::string> failing;  // the first word suffices

  Result<void> note(const std::string& verb, const std::string& object = "") {
    calls.push_back(object.empty() ? verb : verb + " " + object);
    if (failing.contains(verb)) return fail(Code::io, verb + " was told to fail");
    return {};
  }
  [[nodiscard]] std::ptrdiff_t count(const std::string& verb) const {
    return std::ranges::count_if(calls, [&verb](const auto& call) { return call.starts_with(verb); });
  }
};

class FakeDatapath final : public datapath::Datapath {
 public:
  explicit FakeDatapath(Journal& journal) : journal_(journal) {
    if (::pipe(pipe_) != 0) std::abort();
  }
  ~FakeDatapath() override {
    ::close(pipe_[0]);
    ::close(pipe_[1]);
  }

  Result<void> attach_endpoint(const datapath::EndpointDevice& device) override {
    auto done = journal_.note("attach", device.host_ifname);
    if (done) attached.insert_or_assign(device.host_ifname, device);
    return done;
  }
  Result<void> detach_endpoint(const datapath::EndpointDevice& device) override {
    attached.erase(device.host_ifname);
    return journal_.note("detach", device.host_ifname);
  }
  Result<void> verify_endpoint(const datapath::EndpointDevice& device) override {
    if (!attached.contains(device.host_ifname)) return fail(Code::not_found, "no program on " + device.host_ifname);
    return journal_.note("verify", device.host_ifname);
  }
  Result<void> attach_uplink(std::uint32_t, const std::string& name) override { return journal_.note("uplink+", name); }
  Result<void> detach_uplink(std::uint32_t, const std::string& name) override { return journal_.note("uplink-", name); }
  Result<void> attach_overlay(std::uint32_t, const std::string& name) override {
    return journal_.note("overlay+", name);
  }
  Result<void> remove_stale(const std::vector<std::uint32_t>&) override { return journal_.note("stale"); }
  Result<void> set_remotes(const std::vector<datapath::Remote>&) override { return journal_.note("remotes"); }
  Result<void> set_masquerade(const datapath::Masquerade&) override { return journal_.note("masquerade"); }
  Result<void> attach_sockets() override { return journal_.note("sockets"); }
  Result<service::Table> services() override {
    std::ignore = journal_.note("read services");
    return service_table;
  }
  Result<std::vector<datapath::StaleSocket>> stale_sockets() override {
    if (auto noted = journal_.note("stale sockets"); !noted) return tl::make_unexpected(noted.error());
    return stale_socket_list;
  }
  Result<void> change_services(const service::Changes& changes) override {
    last_changes = changes;
    std::this_thread::sleep_for(write_time);
    if (auto noted = journal_.note("write services"); !noted) return noted;
    if (full_services) return fail(Code::exhausted, "map is full");
    return {};
  }
  Result<void> set_self(const datapath::Self& given) override {
    self = given;
    return journal_.note("self");
  }
  Result<std::size_t> take_over(const std::vector<datapath::MaskedConnection>& connections) override {
    if (auto noted = journal_.note("take over"); !noted) return tl::make_unexpected(noted.error());
    return connections.size();
  }
  // A page has two.
  Result<datapath::ConnectionPlace> list_connections(
      std::uint32_t place, const std::function<void(const datapath::ConnectionEntry&)>& each) override {
    if (auto noted = journal_.note("list"); !noted) return tl::make_unexpected(noted.error());
    const auto end = std::min<std::size_t>(place + 2, connection_list.size());
    for (std::size_t i = place; i < end; ++i) each(connection_list[i]);
    return end < connection_list.size() ? datapath::ConnectionPlace(end) : std::nullopt;
  }
  Result<FlushStep> flush_connections(std::uint32_t place, const datapath::ConnectionFilter& filter) override {
    last_filter = filter;
    if (auto noted = journal_.note("flush", std::to_string(place)); !noted) return tl::make_unexpected(noted.error());
    return FlushStep{.removed = 1, .next = place == 0 ? datapath::ConnectionPlace(9) : std::nullopt};
  }
  Result<SweepStep> sweep_connections() override {
    if (auto noted = journal_.note("sweep"); !noted) return tl::make_unexpected(noted.error());
    return sweep_step;
  }
  [[nodiscard]] Result<datapath::ConnectionCounts> connection_counts() const override {
    if (journal_.failing.contains("counts")) return fail(Code::not_found, "no services");
    return connection_count;
  }
  Result<void> deny(const std::vector<Cidr>& prefixes) override {
    for (const auto& prefix : prefixes) denied_list.push_back({.prefix = prefix});
    return journal_.note("deny");
  }
  Result<void> undeny(const std::vector<Cidr>& prefixes) override {
    for (const auto& prefix : prefixes) {
      const auto gone = std::erase_if(denied_list, [&](const auto& each) { return each.prefix == prefix; });
      if (gone == 0) return fail(Code::not_found, prefix.to_string() + " is not denied");
    }
    return journal_.note("undeny");
  }
  Result<std::vector<datapath::DeniedPrefix>> denied() override {
    std::ignore = journal_.note("denied");
    return denied_list;
  }
  Result<std::vector<datapath::DropCount>> drops() override {
    return std::vector<datapath::DropCount>{{.reason = "spoofed-source", .packets = 2, .bytes = 128}};
  }
  Result<std::vector<datapath::MapReport>> maps() override {
    return std::vector<datapath::MapReport>{
        {.name = "nk_a", .type = "hash", .max_entries = 8, .bytes = 4096, .entries = 3},
        {.name = "nk_b", .type = "ringbuf", .max_entries = 1, .bytes = 1000, .entries = {}}};
  }
  Result<std::vector<datapath::ProgramReport>> programs() override { return program_list; }
  [[nodiscard]] int event_fd() const override { return pipe_[0]; }
  Result<bool> drain_events(const std::function<void(const datapath::DropEvent&)>& each) override {
    char byte = 0;
    std::ignore = ::read(pipe_[0], &byte, 1);
    datapath::DropEvent event;
    event.time_ns = 7;
    event.reason = "spoofed-source";
    event.source = Ip::parse("10.0.0.1").value();
    for (int i = 0; i < events_per_drain; ++i) each(event);
    return {};
  }
  Result<void> set_monitor(bool on) override { return journal_.note(on ? "monitor on" : "monitor off"); }
  [[nodiscard]] std::string program_origin() const override { return "fake"; }

  void raise_event() const { std::ignore = ::write(pipe_[1], "x", 1); }

  std::map<std::string, datapath::EndpointDevice> attached;
  std::vector<datapath::DeniedPrefix> denied_list;
  std::vector<datapath::ProgramReport> program_list;
  service::Table service_table;
  service::Changes last_changes;
  bool full_services = false;
  std::chrono::milliseconds write_time{0};
  std::vector<datapath::StaleSocket> stale_socket_list;
  datapath::Self self;
  std::vector<datapath::ConnectionEntry> connection_list;
  datapath::ConnectionFilter last_filter;
  SweepStep sweep_step{.round_over = true};
  datapath::ConnectionCounts connection_count;
  int events_per_drain = 1;

 private:
  Journal& journal_;
  int pipe_[2] = {-1, -1};
};

class FakeHostLink final : public HostLink {
 public:
  explicit FakeHostLink(Journal& journal, std::map<std::string, netlink::Link>& links)
      : journal_(journal), links_(links) {}

  Result<netlink::Link> find(const std::string& name) override {
    const auto found = links_.find(name);
    if (found == links_.end()) return fail(Code::not_found, "no device " + name);
    return found->second;
  }
  Result<std::vector<netlink::Link>> list() override {
    std::vector<netlink::Link> all;
    for (const auto& [name, link] : links_) all.push_back(link);
    return all;
  }
  Result<void> configure(const Endpoint& endpoint) override { return journal_.note("configure", endpoint.host_ifname); }
  Result<void> verify(const Endpoint& endpoint) override { return journal_.note("routed", endpoint.host_ifname); }
  Result<void> lift_limit(const Endpoint& endpoint) override { return journal_.note("lift", endpoint.host_ifname); }
  Result<bool> owns(const Ip& address) override { return address == Ip::parse("192.0.2.1").value(); }
  Result<void> remove(const std::string& name) override {
    auto done = journal_.note("delete", name);
    if (done) links_.erase(name);
    return done;
  }

 private:
  Journal& journal_;
  std::map<std::string, netlink::Link>& links_;
};

// A netkit primary in L3 mode as the plugin makes it.
inline netlink::Link netkit_link(const std::string& name, std::uint32_t index) {
  netlink::Link link;
  link.index = index;
  link.name = name;
  link.kind = "netkit";
  link.netkit_mode = 1;
  link.netkit_policy = 2;
  link.netkit_peer_policy = 2;
  link.netkit_primary = true;
  return link;
}

}  // namespace netkite::endpoint::testing
