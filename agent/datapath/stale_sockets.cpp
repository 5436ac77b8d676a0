// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/stale_sockets.hpp"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <unistd.h>

#include <cerrno>

#include "agent/datapath/abi.hpp"
#include "agent/datapath/map_names.hpp"

namespace netkite::datapath {
namespace {

constexpr std::size_t kRead = 1024;  // sockets
constexpr auto kWhat = "list sockets whose backend has gone";

StaleSocket socket_of(const nk_stale_socket& value) {
  return {.socket = {.cookie = value.cookie,
                     .local = read_mapped(value.local),
                     .remote = read_mapped(value.remote),
                     .local_port = ntohs(value.local_port),
                     .remote_port = ntohs(value.remote_port),
                     .ifindex = value.ifindex,
                     .v6 = value.family == AF_INET6},
          .netns = value.netns,
          .service = frontend_of(value.service),
          .held = value.held != 0};
}

Result<UniqueFd> iterate(int program, int map) {
  bpf_iter_link_info over{};
  over.map.map_fd = static_cast<std::uint32_t>(map);
  LIBBPF_OPTS(bpf_link_create_opts, options, .iter_info = &over, .iter_info_len = sizeof(over));
  const UniqueFd link(bpf_link_create(program, 0, BPF_TRACE_ITER, &options));
  if (!link.valid()) return fail_errno(errno, kWhat);
  UniqueFd iterator(bpf_iter_create(link.get()));
  if (!iterator.valid()) return fail_errno(errno, kWhat);
  return iterator;
}

}  // namespace

Result<std::vector<StaleSocket>> list_stale_sockets(Programs& programs, const MapStore& maps) {
  const auto sockets = maps.find(kSockets);
  if (!sockets) return fail(Code::not_found, std::string(kSockets) + " is not there");
  const auto program = programs.get({.kind = ProgramKind::stale_sockets, .netkit = false, .after_hooks = false});
  if (!program) return tl::make_unexpected(program.error());
  const auto iterator = iterate((*program)->fd.get(), sockets->fd);
  if (!iterator) return tl::make_unexpected(iterator.error());
  std::vector<StaleSocket> list;
  // Between two reads a socket that is closed may have the kernel pass over another one: few reads.
  std::vector<nk_stale_socket> values(kRead);
  for (;;) {
    // The kernel gives whole records, as many as there is room for.
    const auto bytes = ::read(iterator->get(), values.data(), values.size() * sizeof(nk_stale_socket));
    if (bytes < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (bytes < 0) return fail_errno(errno, kWhat);
    if (bytes == 0) return list;
    const auto count = static_cast<std::size_t>(bytes) / sizeof(nk_stale_socket);
    for (std::size_t i = 0; i < count; ++i) list.push_back(socket_of(values[i]));
  }
}

}  // namespace netkite::datapath
