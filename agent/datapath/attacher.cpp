// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/attacher.hpp"

#include <bpf/bpf.h>
#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <tuple>

#include "common/netlink/qdisc.hpp"

namespace netkite::datapath {
namespace {

constexpr int kAttempts = 8;  // how often others may change the chain under our hands

std::string describe(const Place& place, const Slot& slot) {
  return slot.program_name + " on " + place.ifname + " (" + std::string(to_string(place.hook)) + ")";
}

bool is_foreign(const Chain::Entry& entry, const std::vector<Slot>& slots) {
  return std::ranges::none_of(slots, [&](const Slot& slot) { return slot.link && slot.link->id == entry.link_id; });
}

// Where a new link goes: next to another of ours, or at an end of the chain.
struct Relation {
  bool before = true;
  int link_fd = -1;
};

UniqueFd create_link(const Place& place, int program_fd, const Relation& relation, std::uint64_t revision) {
  LIBBPF_OPTS(bpf_link_create_opts, options);
  options.flags = relation.before ? BPF_F_BEFORE : BPF_F_AFTER;
  if (relation.link_fd >= 0) options.flags |= BPF_F_LINK;
  const auto relative = relation.link_fd >= 0 ? static_cast<__u32>(relation.link_fd) : 0U;
  if (place.netkit()) {
    options.netkit.relative_fd = relative;
    options.netkit.expected_revision = revision;
  } else {
    options.tcx.relative_fd = relative;
    options.tcx.expected_revision = revision;
  }
  return UniqueFd(bpf_link_create(program_fd, static_cast<int>(place.ifindex), attach_type(place.hook), &options));
}

}  // namespace

struct Attacher::Plan {
  Place place;
  Chain chain;
  std::vector<Slot> slots;
  std::vector<Link> replaced;  // users' hooks that stand in the wrong order: dropped once their successors run
  std::size_t anchor = 0;      // our program's slot, or the first
  bool adopted = false;        // our program is there already
  bool after_hooks = false;
  bool others = false;
};

Result<Attacher::Plan> Attacher::plan(const Place& place) {
  Plan plan;
  plan.place = place;
  auto chain = query_chain(place.ifindex, place.hook);
  if (!chain) return tl::make_unexpected(chain.error());
  plan.chain = std::move(*chain);
  plan.slots = slots_of(place, context_.pins, context_.hooks);
  find_links(plan.slots, plan.chain);
  const auto ours = std::ranges::find(plan.slots, nullptr, &Slot::user);
  if (ours != plan.slots.end()) plan.anchor = static_cast<std::size_t>(ours - plan.slots.begin());

  const auto foreign = [&](const Chain::Entry& entry) { return is_foreign(entry, plan.slots); };
  plan.others = std::ranges::any_of(plan.chain.entries, foreign) || plan.slots.size() > (place.ours ? 1U : 0U);
  plan.adopted = ours != plan.slots.end() && ours->link.has_value();
  auto behind = plan.chain.entries.begin();
  if (plan.adopted) {
    behind += static_cast<std::ptrdiff_t>(plan.chain.position(ours->link->id)) + 1;
  } else if (context_.position == config::Position::last) {
    behind = plan.chain.entries.end();
  }
  plan.after_hooks = place.after_hooks || plan.anchor + 1 < plan.slots.size() ||
                     std::any_of(behind, plan.chain.entries.end(), foreign);

  std::vector<std::size_t> order;
  for (const auto& slot : plan.slots) {
    if (slot.link) order.push_back(plan.chain.position(slot.link->id));
  }
  if (std::ranges::is_sorted(order)) return plan;
  for (auto& slot : plan.slots) {
    if (slot.user == nullptr || !slot.link) continue;
    plan.replaced.push_back(std::move(*slot.link));
    slot.link.reset();
  }
  return plan;
}

Result<void> Attacher::put(Plan& plan, std::size_t index, Rollback& undo) {
  auto& slot = plan.slots.at(index);
  const LoadedProgram* program = slot.user == nullptr ? nullptr : &slot.user->program;
  if (program == nullptr) {
    auto loaded = context_.programs.get(
        {.kind = *plan.place.ours, .netkit = plan.place.netkit(), .after_hooks = plan.after_hooks});
    if (!loaded) return tl::make_unexpected(loaded.error());
    program = *loaded;
  }
  if (slot.link) {
    if (slot.link->program_id != program->info.id &&
        bpf_link_update(slot.link->fd.get(), program->fd.get(), nullptr) != 0) {
      return fail_errno(errno, "replace " + describe(plan.place, slot));
    }
    return restore_pin(slot, context_.pins);
  }

  Relation relation{.before = context_.position == config::Position::first, .link_fd = -1};
  if (index != plan.anchor) {
    relation.before = index < plan.anchor;
    relation.link_fd = plan.slots.at(relation.before ? index + 1 : index - 1).link->fd.get();
  }
  auto fd = create_link(plan.place, program->fd.get(), relation, plan.chain.revision);
  if (!fd.valid()) return fail_errno(errno, "attach " + describe(plan.place, slot));
  if (plan.chain.revision != 0) ++plan.chain.revision;
  unpin(slot.pin);
  auto kept = std::make_shared<UniqueFd>(::fcntl(fd.get(), F_DUPFD_CLOEXEC, 0));
  undo.add([kept, pin = slot.pin] { drop_link(pin, kept->get()); });
  if (auto pinned = pin(fd.get(), slot.pin); !pinned) return pinned;
  const auto info = link_info(fd.get());
  if (!info) return tl::make_unexpected(info.error());
  slot.link = Link{.fd = std::move(fd), .id = info->id, .program_id = info->program_id};
  return {};
}

// Our program first, then the users' hooks from there outwards, each beside its neighbour.
Result<void> Attacher::apply(Plan& plan, Rollback& undo) {
  if (plan.slots.empty()) return {};
  if (auto done = put(plan, plan.anchor, undo); !done) return done;
  for (std::size_t i = plan.anchor; i-- > 0;) {
    if (auto done = put(plan, i, undo); !done) return done;
  }
  for (std::size_t i = plan.anchor + 1; i < plan.slots.size(); ++i) {
    if (auto done = put(plan, i, undo); !done) return done;
  }
  for (const auto& link : plan.replaced) bpf_link_detach(link.fd.get());
  return {};
}

Result<void> Attacher::put_backstop(const Place& place, bool after_hooks) {
  auto program = context_.programs.get({.kind = ProgramKind::backstop, .netkit = false, .after_hooks = after_hooks});
  if (!program) return tl::make_unexpected(program.error());
  auto done = netlink::add_clsact(socket_, place.ifindex);
  if (done) {
    done = netlink::add_bpf_filter(socket_, place.ifindex, place.hook == Hook::tcx_ingress, (*program)->fd.get(),
                                   (*program)->info.name);
  }
  return done ? done : wrap(done.error(), "backstop on " + place.ifname);
}

Result<Attacher::Outcome> Attacher::attach(const Place& place, Rollback& undo) {
  for (int attempt = 0;; ++attempt) {
    auto now = plan(place);
    if (!now) return tl::make_unexpected(now.error());
    // The backstop that lets accepted packets through must be there before the program that counts on it, and go after.
    const bool backstop_first = !now->adopted || now->after_hooks;
    Result<void> done;
    if (place.backstop && backstop_first) done = put_backstop(place, now->after_hooks);
    if (done) done = apply(*now, undo);
    if (done && place.backstop && !backstop_first) done = put_backstop(place, now->after_hooks);
    if (done) return Outcome{.others = now->others};
    if (done.error().os_error != ESTALE || attempt + 1 == kAttempts) return tl::make_unexpected(done.error());
  }
}

void Attacher::detach(const Place& place) {
  auto slots = slots_of(place, context_.pins, context_.hooks);
  const auto chain = query_chain(place.ifindex, place.hook).value_or(Chain{});
  find_links(slots, chain);
  // netkit's closed policy counts only while no program at all is there: foreign ones that stay would open the device.
  // It is about to be deleted, so a failure to take it down (it is gone already) is of no matter.
  const auto foreign = [&](const Chain::Entry& entry) { return is_foreign(entry, slots); };
  if (place.netkit() && std::ranges::any_of(chain.entries, foreign)) {
    std::ignore = netlink::change_link(socket_, place.ifindex, {.up = false});
  }
  std::ranges::stable_partition(slots, [](const Slot& slot) { return slot.user != nullptr; });
  for (const auto& slot : slots) {
    if (slot.link) drop_link(slot.pin, slot.link->fd.get());
  }
}

Result<void> Attacher::verify(const Place& place) {
  auto chain = query_chain(place.ifindex, place.hook);
  if (!chain) return tl::make_unexpected(chain.error());
  for (const auto& slot : slots_of(place, context_.pins, context_.hooks)) {
    const auto fd = open_pin(slot.pin);
    const auto info = fd ? link_info(fd->get()) : tl::make_unexpected(fd.error());
    if (!info || !chain->has(info->id)) return fail(Code::not_found, "no link of " + describe(place, slot));
  }
  return {};
}

}  // namespace netkite::datapath
