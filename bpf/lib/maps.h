/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef SALLYPORT_MAPS_H
#define SALLYPORT_MAPS_H

/*
 * Every table the network programs share. The loader pins each by its name and sets the sizes; the sizes here
 * are the defaults. Only the agent writes, except where "kernel" stands beside it.
 */

#include "kernel.h"
#include "../api/types.h"
#include "../api/policy.h"
#include "../api/endpoint.h"
#include "../api/flow.h"
#include "../api/event.h"
#include "../api/peer.h"

#define TABLE(name, kind, entries, key_type, value_type, options) \
	struct {                                                    \
		__uint(type, kind);                                 \
		__uint(max_entries, entries);                       \
		__uint(map_flags, options);                         \
		__type(key, key_type);                              \
		__type(value, value_type);                          \
	} name SEC(".maps")

/* Who is who. */
TABLE(interfaces, BPF_MAP_TYPE_HASH, 4096, __u32, struct interface, 0);
TABLE(containers, BPF_MAP_TYPE_HASH, 8192, __u64, struct container, 0);
TABLE(addresses, BPF_MAP_TYPE_HASH, 65536, struct address, struct owner, BPF_F_NO_PREALLOC);
TABLE(frontends, BPF_MAP_TYPE_HASH, 65536, struct frontend_key, struct backend, BPF_F_NO_PREALLOC);
TABLE(senders, BPF_MAP_TYPE_LRU_HASH, 16384, struct sender_key, struct sender, 0); /* kernel */

/* What may be. */
TABLE(subjects, BPF_MAP_TYPE_ARRAY, 65536, __u32, struct subject, 0);
TABLE(peers, BPF_MAP_TYPE_HASH, 262144, struct peer_key, struct class, BPF_F_NO_PREALLOC);
TABLE(networks, BPF_MAP_TYPE_LPM_TRIE, 131072, struct network_key, struct class, BPF_F_NO_PREALLOC);
TABLE(ports, BPF_MAP_TYPE_HASH, 262144, struct port_key, struct decision, BPF_F_NO_PREALLOC);
TABLE(port_ranges, BPF_MAP_TYPE_LPM_TRIE, 131072, struct port_range_key, struct decision, BPF_F_NO_PREALLOC);
TABLE(settings, BPF_MAP_TYPE_ARRAY, 1, __u32, struct settings, 0);

/* Who is elsewhere. */
TABLE(domains, BPF_MAP_TYPE_LPM_TRIE, 4096, struct domain_key, struct domain, BPF_F_NO_PREALLOC);
TABLE(identities, BPF_MAP_TYPE_HASH, 65536, __u64, __u32, BPF_F_NO_PREALLOC);
TABLE(verified, BPF_MAP_TYPE_HASH, 131072, struct verified_key, struct verified, BPF_F_NO_PREALLOC); /* kernel: used */
TABLE(claims, BPF_MAP_TYPE_HASH, 16384, struct claim_key, struct claim, BPF_F_NO_PREALLOC);          /* kernel: used */
TABLE(tag_keys, BPF_MAP_TYPE_ARRAY, 4, __u32, struct tag_key, 0);
TABLE(replays, BPF_MAP_TYPE_LRU_HASH, 65536, struct replay_key, struct replay, 0); /* kernel */

/* What goes on. */
TABLE(flows, BPF_MAP_TYPE_LRU_HASH, 131072, struct flow_key, struct flow, 0);             /* kernel */
TABLE(fragments, BPF_MAP_TYPE_LRU_HASH, 8192, struct fragment_key, struct fragment, 0); /* kernel */
TABLE(endpoint_states, BPF_MAP_TYPE_HASH, 4096, __u32, struct endpoint_state, 0);       /* both */

/* What is told. */
TABLE(rule_counters, BPF_MAP_TYPE_HASH, 262144, __u32, struct rule_counter, BPF_F_NO_PREALLOC); /* kernel adds */
TABLE(drops, BPF_MAP_TYPE_PERCPU_ARRAY, REASON_MAX, __u32, struct drop_counter, 0);             /* kernel */
TABLE(incidents, BPF_MAP_TYPE_PERCPU_ARRAY, INCIDENT_MAX, __u32, __u64, 0);                     /* kernel */

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20);
} events SEC(".maps"); /* kernel */

static __always_inline struct settings *settings_now(void)
{
	__u32 key = 0;

	return bpf_map_lookup_elem(&settings, &key);
}

#endif
