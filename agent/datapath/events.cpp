// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/events.hpp"

#include <bpf/libbpf.h>
#include <netinet/in.h>

#include <cerrno>
#include <cstring>

#include "agent/datapath/abi.hpp"
#include "agent/datapath/map_names.hpp"

namespace netkite::datapath {
namespace {

std::string hook_name(std::uint32_t hook) {
  switch (hook) {
    case NK_HOOK_FROM_POD:
      return "from_pod";
    case NK_HOOK_TO_POD:
      return "to_pod";
    case NK_HOOK_FROM_NETDEV:
      return "from_netdev";
    case NK_HOOK_FROM_OVERLAY:
      return "from_overlay";
    case NK_HOOK_TO_OVERLAY:
      return "to_overlay";
    case NK_HOOK_TO_NETDEV:
      return "to_netdev";
    case NK_HOOK_XDP:
      return "xdp";
    default:
      return std::to_string(hook);
  }
}

constexpr int kEnough = -ECANCELED;  // ends a reading after this event

}  // namespace

DropEvent to_event(const nk_event& raw) {
  DropEvent event;
  event.time_ns = raw.time_ns;
  event.reason = drop_reason_name(raw.reason);
  event.hook = hook_name(raw.hook);
  event.ifindex = raw.ifindex;
  event.endpoint_id = raw.endpoint_id;
  event.length = raw.length;
  event.protocol = protocol_name(raw.l4_protocol);
  event.source_port = raw.source_port;
  event.destination_port = raw.destination_port;
  if (raw.family == AF_INET || raw.family == AF_INET6) {
    const auto family = raw.family == AF_INET ? Family::v4 : Family::v6;
    event.source = ip_of(family, raw.source.bytes);
    event.destination = ip_of(family, raw.destination.bytes);
  }
  return event;
}

void Events::Free::operator()(ring_buffer* buffer) const { ring_buffer__free(buffer); }

int Events::on_sample(void* context, void* data, std::size_t size) {
  auto& reader = *static_cast<Reader*>(context);
  if (size >= sizeof(nk_event)) {
    nk_event raw{};
    std::memcpy(&raw, data, sizeof(raw));
    (*reader.each)(to_event(raw));
  }
  return --reader.left == 0 ? kEnough : 0;
}

Result<Events> Events::open(const MapStore& maps) {
  auto control = TypedMap<std::uint32_t, nk_control>::open(maps, kControl);
  if (!control) return tl::make_unexpected(control.error());
  const auto buffer = maps.find(kEvents);
  if (!buffer) return fail(Code::not_found, "no map " + std::string(kEvents));
  Events events;
  events.control_ = std::move(*control);
  events.reader_ = std::make_unique<Reader>();
  events.buffer_.reset(ring_buffer__new(buffer->fd, on_sample, events.reader_.get(), nullptr));
  if (!events.buffer_) return fail_errno(errno, "map the event buffer");
  if (auto off = events.set_monitor(false); !off) return tl::make_unexpected(off.error());
  return events;
}

int Events::fd() const { return ring_buffer__epoll_fd(buffer_.get()); }

Result<bool> Events::drain(const Each& each, std::size_t at_most) {
  *reader_ = {.each = &each, .left = at_most};
  const int count = ring_buffer__consume(buffer_.get());
  if (count < 0 && count != kEnough) return fail_errno(-count, "read the event buffer");
  return count == kEnough;
}

Result<void> Events::set_monitor(bool on) { return control_.update(0, nk_control{.monitor = on ? 1U : 0U, .pad = 0}); }

}  // namespace netkite::datapath
