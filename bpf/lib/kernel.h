/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef SALLYPORT_KERNEL_H
#define SALLYPORT_KERNEL_H

/* What every program includes: UAPI types, helpers, and the few constants no UAPI header gives. */

#include <linux/bpf.h>
#include <linux/types.h>
#include <stdbool.h>
#include <stddef.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>

#define ETH_P_IP 0x0800
#define ETH_P_IPV6 0x86dd
#define ETH_P_ARP 0x0806
#define ETH_HLEN 14

#define IPPROTO_IP 0
#define IPPROTO_ICMP 1
#define IPPROTO_TCP 6
#define IPPROTO_UDP 17
#define IPPROTO_DCCP 33
#define IPPROTO_IPV6 41
#define IPPROTO_ICMPV6 58
#define IPPROTO_SCTP 132
#define IPPROTO_UDPLITE 136

#define SECOND 1000000000ULL

#define unlikely(x) __builtin_expect(!!(x), 0)
/* Verified by itself, once, whatever calls it. Weak, so that the compiler leaves its arguments alone. */
#define FUNCTION __attribute__((weak, noinline)) int

#define likely(x) __builtin_expect(!!(x), 1)

#endif
