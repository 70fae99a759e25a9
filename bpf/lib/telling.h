/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef SALLYPORT_TELLING_H
#define SALLYPORT_TELLING_H

/* The tables by which every program tells, of packets or of what containers do; and how much it may. */

#include "kernel.h"
#include "../api/types.h"
#include "../api/event.h"

#define TABLE(name, kind, entries, key_type, value_type, options) \
	struct {                                                    \
		__uint(type, kind);                                 \
		__uint(max_entries, entries);                       \
		__uint(map_flags, options);                         \
		__type(key, key_type);                              \
		__type(value, value_type);                          \
	} name SEC(".maps")

TABLE(settings, BPF_MAP_TYPE_ARRAY, 1, __u32, struct settings, 0);
TABLE(incidents, BPF_MAP_TYPE_PERCPU_ARRAY, INCIDENT_MAX, __u32, __u64, 0); /* kernel */

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20);
} events SEC(".maps"); /* kernel */

static __always_inline struct settings *settings_now(void)
{
	__u32 key = 0;

	return bpf_map_lookup_elem(&settings, &key);
}

static __always_inline void count_incident(__u32 incident)
{
	__u64 *counter = bpf_map_lookup_elem(&incidents, &incident);

	if (counter)
		(*counter)++;
}

/* Takes one of `left`, which fills up to `burst` at `rate` a second; false when there is none. */
static __always_inline bool take_token(__u64 now, __u64 *refilled, __u32 *left, __u32 rate, __u32 burst)
{
	__u64 waited = now - *refilled;
	__u64 refill = waited >= SECOND ? rate : waited * rate / SECOND;
	__u64 budget = *left + refill;

	if (refill)
		*refilled = now;
	*left = budget > burst ? burst : budget;
	if (!*left)
		return false;
	--*left;
	return true;
}

#endif
