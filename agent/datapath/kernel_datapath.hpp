// SPDX-License-Identifier: Apache-2.0
// The Datapath on a real kernel: puts the parts of this room together. Room-internal.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "agent/datapath/attacher.hpp"
#include "agent/datapath/connection_map.hpp"
#include "agent/datapath/datapath.hpp"
#include "agent/datapath/endpoint_map.hpp"
#include "agent/datapath/epoch.hpp"
#include "agent/datapath/events.hpp"
#include "agent/datapath/link_guard.hpp"
#include "agent/datapath/masquerade_map.hpp"
#include "agent/datapath/pace_map.hpp"
#include "agent/datapath/prefilter.hpp"
#include "agent/datapath/remote_map.hpp"
#include "agent/datapath/service_map.hpp"
#include "agent/datapath/service_numbers.hpp"

namespace netkite::datapath {

class KernelDatapath : public Datapath {
 public:
  [[nodiscard]] static Result<std::unique_ptr<KernelDatapath>> open(const config::Options& options,
                                                                    const Features& features);

  [[nodiscard]] Result<void> attach_endpoint(const EndpointDevice& device) override;
  [[nodiscard]] Result<void> detach_endpoint(const EndpointDevice& device) override;
  [[nodiscard]] Result<void> verify_endpoint(const EndpointDevice& device) override;
  [[nodiscard]] Result<void> attach_uplink(std::uint32_t ifindex, const std::string& name) override;
  [[nodiscard]] Result<void> detach_uplink(std::uint32_t ifindex, const std::string& name) override;
  void refresh_uplinks() override;
  [[nodiscard]] std::string services_at(std::uint32_t ifindex) const override;
  [[nodiscard]] Result<void> attach_overlay(std::uint32_t ifindex, const std::string& name) override;
  [[nodiscard]] Result<void> remove_stale(const std::vector<std::uint32_t>& ifindexes) override;
  [[nodiscard]] Result<void> set_remotes(const std::vector<Remote>& remotes) override;
  [[nodiscard]] Result<void> set_masquerade(const Masquerade& masquerade) override;
  [[nodiscard]] Result<void> attach_sockets() override;
  [[nodiscard]] Result<service::Table> services() override;
  [[nodiscard]] Result<void> change_services(const service::Changes& changes) override;
  [[nodiscard]] Result<std::vector<StaleSocket>> stale_sockets() override;
  [[nodiscard]] Result<void> set_self(const Self& self) override;
  [[nodiscard]] Result<std::size_t> take_over(const std::vector<MaskedConnection>& connections) override;
  [[nodiscard]] Result<ConnectionPlace> list_connections(
      std::uint32_t place, const std::function<void(const ConnectionEntry&)>& each) override;
  [[nodiscard]] Result<FlushStep> flush_connections(std::uint32_t place, const ConnectionFilter& filter) override;
  [[nodiscard]] Result<SweepStep> sweep_connections() override;
  [[nodiscard]] Result<ConnectionCounts> connection_counts() const override;
  [[nodiscard]] Result<void> deny(const std::vector<Cidr>& prefixes) override;
  [[nodiscard]] Result<void> undeny(const std::vector<Cidr>& prefixes) override;
  [[nodiscard]] Result<std::vector<DeniedPrefix>> denied() override;
  [[nodiscard]] Result<std::vector<DropCount>> drops() override;
  [[nodiscard]] Result<std::vector<MapReport>> maps() override;
  [[nodiscard]] Result<std::vector<ProgramReport>> programs() override;
  [[nodiscard]] int event_fd() const override;
  [[nodiscard]] Result<bool> drain_events(const std::function<void(const DropEvent&)>& each) override;
  [[nodiscard]] Result<void> set_monitor(bool on) override;
  [[nodiscard]] std::string program_origin() const override;
  [[nodiscard]] std::vector<std::string> problems() const override;
  [[nodiscard]] std::vector<std::string> missing() const override;

 private:
  // What has to be at a fixed address, since the rest refers to it.
  struct Core {
    Pins pins;
    MapStore maps;
    std::vector<std::string> problems;  // of loading
    Programs programs;
    Hooks hooks;

    Core(Pins where, const config::Options& options, ProgramSource source, bool peer_redirect)
        : pins(std::move(where)),
          maps(pins, options),
          problems(source.problems),
          programs(std::move(source),
                   {.peer_redirect = peer_redirect,
                    .overlay = overlay_of(options),
                    .services = options.services.enabled,
                    .masquerade = config::masks_in_bpf(options),
                    .express = Prefilter::wants_express(options),
                    .bandwidth = options.bandwidth.enabled},
                   maps) {}
    static std::optional<config::Overlay> overlay_of(const config::Options& options) {
      return config::has_overlay(options) ? std::optional(options.overlay) : std::nullopt;
    }
  };
  KernelDatapath(std::unique_ptr<Core> core, Attacher attacher, Prefilter prefilter)
      : core_(std::move(core)), attacher_(std::move(attacher)), prefilter_(std::move(prefilter)) {}

  [[nodiscard]] static Result<std::unique_ptr<Core>> load(const config::Options& options, const Features& features,
                                                          ProgramSource source);
  [[nodiscard]] static Result<std::unique_ptr<Core>> load_best(const config::Options& options,
                                                               const Features& features);
  void remove_old_hooks() const;
  [[nodiscard]] Result<void> open_services(const config::Options& options);
  [[nodiscard]] Result<void> open_connections(const config::Options& options);
  [[nodiscard]] Result<void> open_paces(const config::Bandwidth& options);

  // The pod's two places: what it sends, what it gets.
  struct PodPlaces {
    Place from, to;
  };
  [[nodiscard]] static PodPlaces places_of(const EndpointDevice& device);
  [[nodiscard]] std::vector<Place> places_of_uplink(std::uint32_t ifindex, const std::string& name) const;
  // to_netdev at every uplink: before anybody is led to who answers by the node's stack. All of the node's packets pass
  // there, so not before there is somebody. It stays.
  [[nodiscard]] Result<void> attach_answers();
  [[nodiscard]] bool has_answers(const std::string& name) const;
  void detach_answers(std::uint32_t ifindex, const std::string& name);
  [[nodiscard]] std::vector<Place> places_of_overlay() const;
  [[nodiscard]] Result<void> attach_places(const std::vector<Place>& places);

  std::unique_ptr<Core> core_;
  Attacher attacher_;
  Prefilter prefilter_;
  EndpointMap endpoints_;
  RemoteMap remotes_;
  std::optional<ServiceMap> services_;  // none: not asked for
  ServiceNumbers numbers_;
  std::optional<ConnectionMap> connections_;  // the same
  std::optional<MasqueradeMap> masquerade_;   // the same
  bool answers_ = false;                      // to_netdev is at every uplink
  std::string cgroup_;                        // whose sockets, as configured
  std::optional<PaceMap> paces_;              // the same
  Epoch epoch_;
  LinkGuard guard_;
  Events events_;
  std::map<std::uint32_t, EndpointDevice> pods_;  // by the host end's index
  std::map<std::uint32_t, std::string> uplinks_;  // by index
  std::uint32_t overlay_ifindex_ = 0;             // 0: there is none
  std::string overlay_name_;
};

}  // namespace netkite::datapath
