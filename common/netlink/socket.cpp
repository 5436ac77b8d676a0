// SPDX-License-Identifier: Apache-2.0
#include "common/netlink/socket.hpp"

#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <netlink/socket.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <span>
#include <utility>

#include "common/base/unique_fd.hpp"
#include "common/netlink/attributes.hpp"
#include "common/netlink/netns.hpp"

namespace netkite::netlink {
namespace {

// The kernel fills at most 32 KiB at a time in a dump, and only as much as the reader offers.
constexpr std::size_t kReceiveBuffer = 32768;
constexpr std::size_t kLongestName = 64;

enum class Step { more, done };

// The text of NLMSGERR_ATTR_MSG, empty when there is none. `offset` is where the extended-ack attributes begin.
std::string extended_ack(const nlmsghdr& message, std::size_t offset) {
  if ((message.nlmsg_flags & NLM_F_ACK_TLVS) == 0 || offset >= message.nlmsg_len) return {};
  const std::span<const std::byte> bytes{reinterpret_cast<const std::byte*>(&message), message.nlmsg_len};
  return Attributes(bytes.subspan(offset)).text(NLMSGERR_ATTR_MSG);
}

Result<Step> ended(int status, std::string_view what, const std::string& detail) {
  if (status == 0) return Step::done;
  auto error = fail_errno(-status, what);
  if (!detail.empty()) error.value().message += " (" + detail + ")";
  return error;
}

// NLMSG_ERROR: an acknowledgement (0) or a refusal.
Result<Step> acknowledged(const nlmsghdr& message, std::string_view what) {
  const auto parsed = parse<nlmsgerr>(message);
  if (!parsed) return fail(Code::io, std::string(what) + ": short acknowledgement from the kernel");
  std::size_t offset = NLMSG_SPACE(sizeof(nlmsgerr));
  if ((message.nlmsg_flags & NLM_F_CAPPED) == 0) offset += NLMSG_ALIGN(parsed->header.msg.nlmsg_len) - NLMSG_HDRLEN;
  return ended(parsed->header.error, what, extended_ack(message, offset));
}

// NLMSG_DONE: the end of a dump, with its status.
Result<Step> dump_ended(const nlmsghdr& message, std::string_view what) {
  const auto parsed = parse<int>(message);
  return ended(parsed ? parsed->header : 0, what, extended_ack(message, NLMSG_SPACE(sizeof(int))));
}

Result<std::size_t> receive(int fd, std::span<std::byte> buffer, std::string_view what) {
  for (;;) {
    const ssize_t length = ::recv(fd, buffer.data(), buffer.size(), MSG_TRUNC);
    if (length >= 0 && static_cast<std::size_t>(length) <= buffer.size()) return static_cast<std::size_t>(length);
    if (length >= 0) return fail(Code::io, std::string(what) + ": answer of " + std::to_string(length) + " bytes");
    if (errno != EINTR) return fail_errno(errno, std::string(what) + ": receive");
  }
}

// The answers to one request.
struct Answers {
  std::uint32_t sequence;
  std::string_view what;
  const std::function<void(const nlmsghdr&)>& each;
  bool first_is_enough = false;
  bool interrupted = false;

  // One datagram, which holds any number of messages.
  Result<Step> take(std::span<const std::byte> bytes) {
    while (bytes.size() >= sizeof(nlmsghdr)) {
      const auto& message = *reinterpret_cast<const nlmsghdr*>(bytes.data());
      if (message.nlmsg_len < sizeof(nlmsghdr) || message.nlmsg_len > bytes.size()) break;
      bytes = bytes.subspan(std::min<std::size_t>(NLMSG_ALIGN(message.nlmsg_len), bytes.size()));
      if (message.nlmsg_seq != sequence) continue;  // left over from a query that failed half-way
      auto step = take(message);
      if (!step || *step == Step::done) return step;
    }
    return Step::more;
  }

  Result<Step> take(const nlmsghdr& message) {
    interrupted |= (message.nlmsg_flags & NLM_F_DUMP_INTR) != 0;
    if (message.nlmsg_type == NLMSG_ERROR) return acknowledged(message, what);
    if (message.nlmsg_type != NLMSG_DONE) {
      each(message);
      return first_is_enough ? Step::done : Step::more;
    }
    auto step = dump_ended(message, what);
    if (step && interrupted) return ended(-EINTR, what, "changed while it was read");
    return step;
  }
};

Result<void> read_answers(int fd, Answers answers) {
  alignas(nlmsghdr) std::array<std::byte, kReceiveBuffer> buffer;
  for (;;) {
    auto received = receive(fd, buffer, answers.what);
    if (!received) return tl::make_unexpected(std::move(received.error()));
    auto step = answers.take({buffer.data(), *received});
    if (!step) return tl::make_unexpected(std::move(step.error()));
    if (*step == Step::done) return {};
  }
}

// Until there is something to read. A child that ended before it sent anything is an error.
Result<void> wait_for_answer(int fd, pid_t child, std::string_view what) {
  const UniqueFd process(static_cast<int>(::syscall(SYS_pidfd_open, child, 0)));  // glibc's has no C++ linkage
  if (!process.valid()) return fail_errno(errno, std::string(what) + ": follow the child");
  std::array<pollfd, 2> wanted{
      {{.fd = fd, .events = POLLIN, .revents = 0}, {.fd = process.get(), .events = POLLIN, .revents = 0}}};
  while (::poll(wanted.data(), wanted.size(), -1) < 0) {
    if (errno != EINTR) return fail_errno(errno, std::string(what) + ": wait for the kernel");
  }
  // What the child sent is answered before it ends, but perhaps after the look at the socket.
  if (wanted[0].revents == 0 && ::poll(wanted.data(), 1, 0) != 1) {
    return fail(Code::io, std::string(what) + ": the request could not be sent");
  }
  return {};
}

}  // namespace

Result<Socket> Socket::open(int protocol) {
  Socket socket(nl_socket_alloc());
  if (socket.socket_ == nullptr) return fail(Code::io, "no memory for a netlink socket");
  if (const int error = nl_connect(socket.socket_, protocol); error < 0) {
    return fail(Code::io, std::string("open a netlink socket: ") + nl_geterror(error));
  }
  for (const int option : {NETLINK_EXT_ACK, NETLINK_CAP_ACK, NETLINK_GET_STRICT_CHK}) {
    const int on = 1;
    if (::setsockopt(socket.fd(), SOL_NETLINK, option, &on, sizeof(on)) != 0) {
      return fail_errno(errno, "set netlink socket option " + std::to_string(option));
    }
  }
  return socket;
}

Result<Socket> Socket::open_in(int netns_fd) {
  Result<Socket> socket = fail(Code::io, "not opened");
  auto ran = in_netns(netns_fd, [&socket]() -> Result<void> {
    socket = open();
    return {};
  });
  if (!ran) return tl::make_unexpected(std::move(ran.error()));
  return socket;
}

Socket::Socket(Socket&& other) noexcept : socket_(std::exchange(other.socket_, nullptr)) {}

Socket& Socket::operator=(Socket&& other) noexcept {
  std::swap(socket_, other.socket_);
  return *this;
}

Socket::~Socket() {
  if (socket_ != nullptr) nl_socket_free(socket_);
}

int Socket::fd() const { return nl_socket_get_fd(socket_); }

Result<void> Socket::request(const Message& message, std::string_view what) {
  return query(message, what, [](const nlmsghdr&) {});
}

Result<void> Socket::query(const Message& message, std::string_view what,
                           const std::function<void(const nlmsghdr&)>& each) {
  if (!message.complete()) return fail(Code::invalid, std::string(what) + ": a value is too long");
  nlmsghdr* const header = nlmsg_hdr(message.raw());
  header->nlmsg_seq = NL_AUTO_SEQ;  // a message may be sent again, and through another socket
  header->nlmsg_pid = NL_AUTO_PORT;
  if (const int error = nl_send_auto(socket_, message.raw()); error < 0) {
    return fail(Code::io, std::string(what) + ": send: " + nl_geterror(error));
  }
  return read_answers(fd(), {.sequence = header->nlmsg_seq, .what = what, .each = each});
}

Result<void> Socket::request_early(const Message& message, std::string_view what) {
  if (!message.complete()) return fail(Code::invalid, std::string(what) + ": a value is too long");
  nlmsghdr* const header = nlmsg_hdr(message.raw());
  header->nlmsg_flags |= NLM_F_ECHO;
  header->nlmsg_seq = NL_AUTO_SEQ;
  header->nlmsg_pid = NL_AUTO_PORT;
  nl_complete_msg(socket_, message.raw());
  const pid_t child = ::fork();
  if (child < 0) return fail_errno(errno, std::string(what) + ": fork");
  if (child == 0) {
    // Whoever waits for the end of our output, or of our connection to the agent, must not wait for this process.
    const auto keep = static_cast<unsigned>(fd());
    if (keep > 0) ::close_range(0, keep - 1, 0);
    ::close_range(keep + 1, ~0U, 0);
    ::_exit(::send(fd(), header, header->nlmsg_len, 0) < 0 ? 1 : 0);
  }
  if (auto alive = wait_for_answer(fd(), child, what); !alive) return alive;
  const std::function<void(const nlmsghdr&)> ignore = [](const nlmsghdr&) {};
  return read_answers(fd(), {.sequence = header->nlmsg_seq, .what = what, .each = ignore, .first_is_enough = true});
}

}  // namespace netkite::netlink
