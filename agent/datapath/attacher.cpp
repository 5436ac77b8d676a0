// SPDX-License-Identifier: Apache-2.0
#include "agent/datapath/attacher.hpp"

#include <bpf/bpf.h>
#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <tuple>

#include "common/netlink/link.hpp"

namespace netkite::datapath {
namespace {

constexpr int kAttempts = 8;  // how often others may change the chain under our hands

std::string describe(const Place& place, const Slot& slot) {
  return slot.program_name + " on " + place.ifname + " (" + std::string(to_string(place.hook)) + ")";
}

bool is_foreign(const Chain::Entry& entry, const std::vector<Slot>& slots) {
  return std::ranges::none_of(slots, [&](const Slot& slot) { return slot.link && slot.link->id == entry.link_id; });
}

// Where a new link goes: at an end of the chain, or beside a link or a program.
struct Relation {
  __u32 flags = BPF_F_BEFORE;
  int fd = 0;
};

UniqueFd create_link(const Place& place, int program_fd, const Relation& relation, std::uint64_t revision) {
  LIBBPF_OPTS(bpf_link_create_opts, options);
  options.flags = relation.flags;
  const auto relative = static_cast<__u32>(relation.fd);
  if (place.netkit()) {
    options.netkit.relative_fd = relative;
    options.netkit.expected_revision = revision;
  } else {
    options.tcx.relative_fd = relative;
    options.tcx.expected_revision = revision;
  }
  return UniqueFd(bpf_link_create(program_fd, static_cast<int>(place.ifindex), attach_type(place.hook), &options));
}

// Takes our backstop out of a chain as queried, so that it counts as nobody's program. Gives its number, 0 for none.
// An entry that cannot be told is an error: taken for a stranger's, it would make ours accept in front of a backstop
// that does not believe it.
Result<std::uint32_t> extract_backstop(Chain& chain) {
  for (auto entry = chain.entries.begin(); entry != chain.entries.end(); ++entry) {
    if (entry->link_id != 0) continue;
    const auto info = program_info_by_id(entry->program_id);
    if (!info) return tl::make_unexpected(info.error());
    if (info->name != program_name(ProgramKind::backstop)) continue;
    chain.entries.erase(entry);
    return info->id;
  }
  return 0;
}

}  // namespace

struct Attacher::Plan {
  Place place;
  Chain chain;
  std::vector<Slot> slots;
  std::vector<Link> replaced;  // users' hooks that stand in the wrong order: dropped once their successors run
  std::size_t anchor = 0;      // our program's slot, or the first
  std::uint32_t backstop = 0;  // the number of the program that is there, 0: none
  int backstop_fd = -1;        // once it is as it should be; the program is kept by Programs
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
  if (place.backstop) {
    const auto backstop = extract_backstop(plan.chain);
    if (!backstop) return tl::make_unexpected(backstop.error());
    plan.backstop = *backstop;
  }
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
    if (slot.link->program_id != program->info.id) {
      if (bpf_link_update(slot.link->fd.get(), program->fd.get(), nullptr) != 0) {
        return fail_errno(errno, "replace " + describe(plan.place, slot));
      }
      plan.chain.count_change();
    }
    return restore_pin(slot, context_.pins);
  }

  Relation relation;
  if (index != plan.anchor) {
    const bool before = index < plan.anchor;
    relation.flags = BPF_F_LINK | (before ? BPF_F_BEFORE : BPF_F_AFTER);
    relation.fd = plan.slots.at(before ? index + 1 : index - 1).link->fd.get();
  } else if (context_.position == config::Position::last) {
    if (plan.backstop_fd >= 0) {
      relation.fd = plan.backstop_fd;
    } else {
      relation.flags = BPF_F_AFTER;
    }
  }
  auto fd = create_link(plan.place, program->fd.get(), relation, plan.chain.revision);
  if (!fd.valid()) return fail_errno(errno, "attach " + describe(plan.place, slot));
  plan.chain.count_change();
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

Result<void> Attacher::put_backstop(Plan& plan) {
  auto program =
      context_.programs.get({.kind = ProgramKind::backstop, .netkit = false, .after_hooks = plan.after_hooks});
  if (!program) return tl::make_unexpected(program.error());
  plan.backstop_fd = (*program)->fd.get();
  if (plan.backstop == (*program)->info.id) return {};
  LIBBPF_OPTS(bpf_prog_attach_opts, options, .flags = BPF_F_AFTER, .expected_revision = plan.chain.revision);
  UniqueFd old;
  if (plan.backstop != 0) {
    old.reset(bpf_prog_get_fd_by_id(plan.backstop));
    options.flags = BPF_F_REPLACE;
    options.replace_prog_fd = old.get();
  }
  if (bpf_prog_attach_opts(plan.backstop_fd, static_cast<int>(plan.place.ifindex), attach_type(plan.place.hook),
                           &options) != 0) {
    return fail_errno(errno, "attach the backstop on " + plan.place.ifname);
  }
  plan.backstop = (*program)->info.id;
  plan.chain.count_change();
  return {};
}

Result<Attacher::Outcome> Attacher::attach(const Place& place, Rollback& undo) {
  for (int attempt = 0;; ++attempt) {
    auto now = plan(place);
    if (!now) return tl::make_unexpected(now.error());
    // The backstop that lets accepted packets through must be there before the program that counts on it, and go after.
    const bool backstop_first = !now->adopted || now->after_hooks;
    Result<void> done;
    if (place.backstop && backstop_first) done = put_backstop(*now);
    if (done) done = apply(*now, undo);
    if (done && place.backstop && !backstop_first) done = put_backstop(*now);
    if (done) {
      return Outcome{.others = now->others,
                     .after_hooks = now->after_hooks,
                     .link_id = place.ours ? now->slots.at(now->anchor).link->id : 0};
    }
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
  const auto backstop = extract_backstop(*chain);
  if (!backstop) return tl::make_unexpected(backstop.error());
  if (place.backstop && *backstop == 0) {
    return fail(Code::not_found, "no backstop on " + place.ifname + " (" + std::string(to_string(place.hook)) + ")");
  }
  for (const auto& slot : slots_of(place, context_.pins, context_.hooks)) {
    const auto fd = open_pin(slot.pin);
    const auto info = fd ? link_info(fd->get()) : tl::make_unexpected(fd.error());
    if (!info || !chain->has(info->id)) return fail(Code::not_found, "no link of " + describe(place, slot));
  }
  return {};
}

}  // namespace netkite::datapath
