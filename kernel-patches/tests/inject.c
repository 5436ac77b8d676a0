// SPDX-License-Identifier: GPL-2.0
/* In net/core of debug kernels only: functions of pair creation and attach which nk-attach lets fail
 * (Documentation/fault-injection, fail_function). The kernel itself lists none on these ways.
 */
#include <linux/bpf.h>
#include <linux/bpf_mprog.h>
#include <linux/error-injection.h>
#include <linux/netdevice.h>
#include <net/rtnetlink.h>

ALLOW_ERROR_INJECTION(rtnl_create_link, ERRNO);
ALLOW_ERROR_INJECTION(register_netdevice, ERRNO);
ALLOW_ERROR_INJECTION(rtnl_configure_link, ERRNO);
ALLOW_ERROR_INJECTION(bpf_link_prime, ERRNO);
ALLOW_ERROR_INJECTION(bpf_mprog_attach, ERRNO);
