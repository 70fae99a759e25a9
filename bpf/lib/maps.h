/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef SALLYPORT_MAPS_H
#define SALLYPORT_MAPS_H

/*
 * Every table the network programs share. The loader pins each by its name and sets the sizes; the sizes here
 * are the defaults. Only the agent writes, except where "kernel" stands beside it. What programs of any kind tell by is
 * in telling.h.
 */

#include "telling.h"
#include "../api/policy.h"
#include "../api/endpoint.h"
#include "../api/flow.h"
#include "../api/peer.h"

/* Who is who. */
TABLE(interfaces, BPF_MAP_TYPE_HASH, 4096, __u32, struct interface, 0);
TABLE(containers, BPF_MAP_TYPE_HASH, 8192, __u64, struct container, 0);
TABLE(addresses, BPF_MAP_TYPE_HASH, 65536, struct address, struct owner, BPF_F_NO_PREALLOC);
TABLE(frontends, BPF_MAP_TYPE_HASH, 65536, struct frontend_key, struct backend, BPF_F_NO_PREALLOC);
TABLE(senders, BPF_MAP_TYPE_LRU_HASH, 16384, struct sender_key, struct sender, 0); /* kernel */

/* What may be. */
TABLE(subjects, BPF_MAP_TYPE_ARRAY, 65536, __u32, struct subject, 0);
TABLE(peers, BPF_MAP_TYPE_HASH, 262144, struct peer_key, struct class, BPF_F_NO_PREALLOC);
TABLE(networks, BPF_MAP_TYPE_LPM_TRIE, 262144, struct network_key, struct class, BPF_F_NO_PREALLOC);
TABLE(ports, BPF_MAP_TYPE_HASH, 262144, struct port_key, struct decision, BPF_F_NO_PREALLOC);
TABLE(port_ranges, BPF_MAP_TYPE_LPM_TRIE, 262144, struct port_range_key, struct decision, BPF_F_NO_PREALLOC);

/* Who is elsewhere. */
TABLE(domains, BPF_MAP_TYPE_LPM_TRIE, 4096, struct domain_key, struct domain, BPF_F_NO_PREALLOC);
TABLE(identities, BPF_MAP_TYPE_HASH, 65536, __u64, __u32, BPF_F_NO_PREALLOC);
TABLE(verified, BPF_MAP_TYPE_HASH, 131072, struct verified_key, struct verified, BPF_F_NO_PREALLOC); /* kernel: used */
TABLE(claims, BPF_MAP_TYPE_HASH, 16384, struct claim_key, struct claim, BPF_F_NO_PREALLOC);          /* kernel: used */
TABLE(tag_keys, BPF_MAP_TYPE_ARRAY, 4, __u32, struct tag_key, 0);
TABLE(replays, BPF_MAP_TYPE_ARRAY, REPLAY_BUCKETS, __u32, struct replay_bucket, 0); /* kernel */

/* What goes on. */
TABLE(flows, BPF_MAP_TYPE_LRU_HASH, 131072, struct flow_key, struct flow, 0);             /* kernel */
TABLE(fragments, BPF_MAP_TYPE_LRU_HASH, 8192, struct fragment_key, struct fragment, 0); /* kernel */
TABLE(endpoint_states, BPF_MAP_TYPE_HASH, 4096, __u32, struct endpoint_state, 0);       /* both */

/* What is told. */
TABLE(rule_counters, BPF_MAP_TYPE_HASH, 262144, __u32, struct rule_counter, BPF_F_NO_PREALLOC); /* kernel adds */
TABLE(drops, BPF_MAP_TYPE_PERCPU_ARRAY, REASON_MAX, __u32, struct drop_counter, 0);             /* kernel */

#endif
