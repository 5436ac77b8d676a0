// SPDX-License-Identifier: Apache-2.0
// clsact and BPF filters against the running kernel.
#include "common/netlink/qdisc.hpp"

#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <sys/syscall.h>

#include <bit>
#include <vector>

#include "common/netlink/attributes.hpp"
#include "common/netlink/link_veth.hpp"
#include "common/netlink/tests/test_namespaces.hpp"

namespace netkite::netlink {
namespace {

// A scheduler classifier that returns `verdict`.
UniqueFd load_program(int verdict) {
  static constexpr char kLicense[] = "GPL";
  const bpf_insn instructions[] = {
      {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .src_reg = 0, .off = 0, .imm = verdict},
      {.code = BPF_JMP | BPF_EXIT, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = 0},
  };
  bpf_attr attributes{};
  attributes.prog_type = BPF_PROG_TYPE_SCHED_CLS;
  attributes.insn_cnt = 2;
  attributes.insns = std::bit_cast<std::uint64_t>(&instructions[0]);
  attributes.license = std::bit_cast<std::uint64_t>(&kLicense[0]);
  return UniqueFd(static_cast<int>(::syscall(SYS_bpf, BPF_PROG_LOAD, &attributes, sizeof(attributes))));
}

std::uint32_t id_of(const UniqueFd& program) {
  bpf_prog_info info{};
  bpf_attr attributes{};
  attributes.info.bpf_fd = static_cast<std::uint32_t>(program.get());
  attributes.info.info_len = sizeof(info);
  attributes.info.info = std::bit_cast<std::uint64_t>(&info);
  EXPECT_EQ(::syscall(SYS_bpf, BPF_OBJ_GET_INFO_BY_FD, &attributes, sizeof(attributes)), 0);
  return info.id;
}

struct Filter {
  std::uint32_t preference, handle, program, flags;
  std::string name;
};

std::vector<Filter> list_filters(Socket& socket, std::uint32_t ifindex, std::uint32_t direction) {
  Message message(RTM_GETTFILTER, NLM_F_DUMP);
  tcmsg header{};
  header.tcm_ifindex = static_cast<int>(ifindex);
  header.tcm_parent = 0xffff0000U | direction;
  message.header(header);
  std::vector<Filter> filters;
  must(socket.query(message, "filters", [&](const nlmsghdr& answer) {
    const auto parsed = parse<tcmsg>(answer);
    const Attributes options = parsed->attributes.nested(TCA_OPTIONS);
    if (parsed->header.tcm_handle == 0) return;  // the chain's own entry
    filters.push_back({.preference = parsed->header.tcm_info >> 16U,
                       .handle = parsed->header.tcm_handle,
                       .program = options.value<std::uint32_t>(TCA_BPF_ID).value_or(0),
                       .flags = options.value<std::uint32_t>(TCA_BPF_FLAGS).value_or(0),
                       .name = options.text(TCA_BPF_NAME)});
  }));
  return filters;
}

class QdiscTest : public TwoNamespaces {
 protected:
  void SetUp() override {
    TwoNamespaces::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    must(create_veth(host(), {.host_name = "nk1", .pod_name = "eth0", .pod_netns_fd = pod_netns()}));
    ifindex_ = must(get_link(host(), "nk1")).index;
  }
  std::uint32_t ifindex_ = 0;
};

TEST_F(QdiscTest, OneFilterEachWayHoweverOften) {
  const UniqueFd first = load_program(TC_ACT_SHOT), second = load_program(TC_ACT_OK);
  ASSERT_TRUE(first.valid() && second.valid());
  must(add_clsact(host(), ifindex_));
  must(add_clsact(host(), ifindex_));
  for (const bool ingress : {true, false}) {
    must(add_bpf_filter(host(), ifindex_, ingress, first.get(), "nk_backstop"));
    must(add_bpf_filter(host(), ifindex_, ingress, second.get(), "nk_backstop"));
    const auto filters = list_filters(host(), ifindex_, ingress ? TC_H_MIN_INGRESS : TC_H_MIN_EGRESS);
    ASSERT_EQ(filters.size(), 1U);
    EXPECT_EQ(filters[0].preference, 1U);
    EXPECT_EQ(filters[0].handle, 1U);
    EXPECT_EQ(filters[0].program, id_of(second)) << "replaced";
    EXPECT_EQ(filters[0].flags & TCA_BPF_FLAG_ACT_DIRECT, TCA_BPF_FLAG_ACT_DIRECT);
    EXPECT_EQ(filters[0].name, "nk_backstop");
  }
}

TEST_F(QdiscTest, RefusalsNameTheDevice) {
  const UniqueFd program = load_program(TC_ACT_SHOT);
  EXPECT_FALSE(add_bpf_filter(host(), ifindex_, true, program.get(), "nk_backstop")) << "no clsact";
  EXPECT_EQ(add_clsact(host(), 4242).error().code, Code::not_found);
  must(add_clsact(host(), ifindex_));
  EXPECT_FALSE(add_bpf_filter(host(), ifindex_, true, -1, "nk_backstop"));
  EXPECT_TRUE(list_filters(host(), ifindex_, TC_H_MIN_INGRESS).empty());
}

}  // namespace
}  // namespace netkite::netlink
