// SPDX-License-Identifier: Apache-2.0
// All services and their endpoints, the ports that pods have of the node, and the difference between what the kernel
// has of them and what it should have. Not thread-safe. Pure: no system calls, no clock.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "agent/kube/endpoint_slice.hpp"
#include "agent/kube/service.hpp"
#include "agent/service/arrangement.hpp"
#include "agent/service/compiler.hpp"
#include "agent/service/table.hpp"

namespace netkite::service {

struct ListedFrontend {
  Frontend frontend;
  Kind kind = Kind::cluster_ip;
  bool held = true;             // false: another service holds it
  std::optional<Scope> access;  // whose backends serve who asks here from outside; none: nobody is let in
  std::vector<Target> backends;
};

struct Listing {
  std::string key;  // the service's, or the pod's
  std::vector<ListedFrontend> frontends;
};

// What a load balancer asks a node about a service whose clients it only sends where there are backends.
struct HealthCheck {
  std::string space, name;    // the service's
  std::size_t endpoints = 0;  // on this node, ready

  bool operator==(const HealthCheck&) const = default;
};

// Keys are "namespace/name". A frontend that several want belongs to the service to which the API server has given it
// (ClusterIP, NodePort), so that nobody can take it away by writing it into spec.externalIPs; then to the pod that has
// asked for the port last, since what it takes over from may be a former life of the same pod; then to the oldest
// service; then to the first by key. When that one goes the next one gets it.
class Registry {
 public:
  explicit Registry(Facts facts) : facts_(std::move(facts)) {}
  Registry(const Registry&) = delete;
  Registry& operator=(const Registry&) = delete;
  ~Registry() = default;

  // What is in the kernel, now: left by a former run, or after a write that failed. The next flush() sets out from
  // there. What is still wanted keeps its identifiers: a set by a frontend that leads to it, a backend by its set,
  // address and port. All else goes, so after a start the first flush() has to wait until all services are known.
  void adopt(const Table& in_kernel);

  void set_facts(Facts facts);
  void set_service(const std::string& key, kube::Service service);
  void remove_service(const std::string& key);
  // Before its service, or after it.
  void set_slice(const std::string& key, kube::EndpointSlice slice);
  void remove_slice(const std::string& key);
  // Keys of their own, whatever they look like.
  void set_host_port(const std::string& key, HostPort host_port);
  void remove_host_port(const std::string& key);

  // The smallest difference since the last flush() or adopt(), which counts as carried out from then on. It takes as
  // long as there are services that were touched, not as there are services, unless there is no room for all.
  [[nodiscard]] Changes flush();
  // The same of pods' ports alone, while not all services are known. What a former run has left and may be a service's
  // stays as it is, until a flush().
  [[nodiscard]] Changes flush_host_ports();

  // Whether somebody who asks there may talk with this address and port, if only to the end of what he has begun: an
  // endpoint that serves, whoever is chosen for newcomers.
  [[nodiscard]] bool serves(const Frontend& asked, const Ip& address, std::uint16_t port) const;
  // Each service and each pod's port that is served, by key, as of the last flush().
  void list(const std::function<void(const Listing&)>& take) const;
  // By healthCheckNodePort, of the services with externalTrafficPolicy Local, as of the last flush(). The API server
  // gives each port to one service; elsewhere the first by key has it.
  [[nodiscard]] std::map<std::uint16_t, HealthCheck> health_checks() const;
  // A line for each frontend that a service or pod does not get, and for each service that gets none.
  [[nodiscard]] std::vector<std::string> problems() const;

 private:
  struct Set {
    SetKey key;
    std::uint32_t id = 0;
    std::vector<Member> members;  // in the order of the slots
    std::vector<Cidr> ranges;     // sorted
    std::uint32_t places = 0;     // in the Maglev table
  };
  struct Record {
    std::optional<kube::Service> service;  // none: slices came first, or it has just gone
    std::optional<HostPort> host_port;     // in place of a service and slices
    std::vector<const kube::EndpointSlice*> slices;
    std::vector<PlannedFrontend> frontends;  // for each there is a claim
    std::vector<Set> sets;
    std::size_t wanted = 0;  // frontends, but entrances only
    bool refused = false;    // and there is no room for them
    bool dirty = false;
  };
  using Records = std::map<std::string, Record>;
  using Entry = Records::value_type;
  struct Slice {
    Entry* owner;
    kube::EndpointSlice value;  // without the service's key: the owner has it
  };
  struct Claim {
    const Entry* owner;
    Kind kind;
    SetKey set;
    std::optional<Entrance> entrance;
  };
  struct Holding {
    std::vector<Claim> claims;
    std::optional<FrontendEntry> written;  // what the kernel has
    std::optional<EntranceEntry> written_entrance;
  };

  [[nodiscard]] static const Claim* holder_of(const Holding& holding);
  [[nodiscard]] bool holds(const Entry& entry, const Frontend& frontend) const;
  [[nodiscard]] static std::string name_of(const Entry& entry);
  [[nodiscard]] std::vector<Target> targets_of(const Record& record, const SetKey& set) const;
  void mark(Entry& entry);
  void detach(const Slice& slice);
  // What has gone is forgotten.
  void clean(const std::vector<Entry*>& flushed);
  void note_health_check(const Entry& entry);
  [[nodiscard]] std::vector<PlannedFrontend> plan(const Record& record) const;
  void claim(Entry& entry, std::vector<Frontend>& touched);
  void claim(Entry& entry, std::vector<PlannedFrontend> planned, std::vector<Frontend>& touched);
  void admit(std::vector<Frontend>& touched);
  void refuse(Record& record, bool refused);
  void refresh(Entry& entry, Changes& changes);
  [[nodiscard]] Former recognise(const Entry& entry, Set& set);
  void furnish(const Record& record, Set& set) const;
  // Each of `touched` once.
  void settle(std::vector<Frontend> touched, Changes& changes);
  void settle(const Frontend& frontend, Changes& changes);
  void settle_entrance(const Frontend& frontend, Holding& holding, Changes& changes) const;

  Facts facts_;
  Records records_;
  std::map<std::string, Slice> slices_;
  std::map<Frontend, Holding> frontends_;
  std::map<std::string, const Record*> checked_;  // those with a healthCheckNodePort
  std::vector<Entry*> dirty_;
  std::optional<Leftovers> leftovers_;  // adopted, and not flushed yet
  std::size_t wanted_ = 0;              // by all records
  std::size_t refused_ = 0;             // records
  std::uint32_t next_set_ = 1, next_backend_ = 1;
};

}  // namespace netkite::service
