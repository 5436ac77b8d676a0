// SPDX-License-Identifier: Apache-2.0
// Services and endpoints in a line, and maps that are as strict as a reader of the kernel's.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <initializer_list>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "agent/service/compiler.hpp"
#include "agent/service/table.hpp"

namespace netkite::service {

inline constexpr auto kTcp = kube::Protocol::tcp;
inline constexpr auto kUdp = kube::Protocol::udp;

Ip ip(const std::string& text);
Frontend at(const std::string& address, std::uint16_t port, kube::Protocol protocol = kTcp);
// One port: "http", 80/TCP, without a NodePort.
kube::Service service_at(std::initializer_list<const char*> addresses);
// Of a node at these addresses.
Facts facts_at(std::vector<Ip> addresses, bool external_ips = true);
kube::Endpoint endpoint(const std::string& address);
// Port "http" is 8080/TCP of each.
kube::EndpointSlice slice_of(const std::string& service, std::initializer_list<kube::Endpoint> endpoints);

// Each write has to change something, and each removal to find something. Identifiers never come back, until another
// process begins.
class Maps {
 public:
  // Step by step, with a look at everything from a reader's point of view after each; at most `steps` of them.
  void apply(const Changes& changes, std::size_t steps = SIZE_MAX);
  // For large ones: no looks.
  void apply_unseen(const Changes& changes);
  void forget_gone() { gone_backends_.clear(); }
  [[nodiscard]] Table table() const;
  // The addresses and ports behind a frontend, "10.0.0.1:8080" each, in the order of its slots.
  [[nodiscard]] std::vector<std::string> behind(const Frontend& frontend) const;
  [[nodiscard]] std::vector<std::string> behind_entrance(const Frontend& frontend) const;

  std::map<Frontend, FrontendEntry> frontends;
  std::map<Slot, std::uint32_t> slots;
  std::map<std::uint32_t, Backend> backends;
  std::map<Frontend, EntranceEntry> entrances;
  std::set<Range> ranges;
  std::map<MaglevPiece, std::vector<std::uint32_t>> maglev;

 private:
  using Step = std::function<bool(bool readers_gone)>;
  void run(const Changes& changes, const Step& step);
  [[nodiscard]] bool write(const Changes& changes, const Step& step);
  [[nodiscard]] bool remove(const Changes& changes, const Step& step);
  void look(const std::map<Frontend, FrontendEntry>& seen) const;
  void look(const std::map<Frontend, EntranceEntry>& seen) const;
  void look(const Frontend& frontend, std::uint32_t set, std::uint32_t count) const;
  [[nodiscard]] std::vector<std::string> slots_of(std::uint32_t set, std::uint32_t count) const;

  std::set<std::uint32_t> gone_backends_;
};

std::string text_of(const Ip& address, std::uint16_t port);

}  // namespace netkite::service
