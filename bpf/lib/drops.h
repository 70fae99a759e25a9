/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef SALLYPORT_DROPS_H
#define SALLYPORT_DROPS_H

/* Counting what did not pass, and what went wrong beside it. */

#include "maps.h"

static __always_inline void count_drop(__u32 reason, __u32 bytes)
{
	struct drop_counter *counter = bpf_map_lookup_elem(&drops, &reason);

	if (!counter)
		return;
	counter->packets++;
	counter->bytes += bytes;
}

static __always_inline void count_rule(__u32 rule, __u32 bytes)
{
	struct rule_counter *counter = bpf_map_lookup_elem(&rule_counters, &rule);

	if (!counter)
		return;
	__sync_fetch_and_add(&counter->packets, 1);
	__sync_fetch_and_add(&counter->bytes, bytes);
}

#endif
