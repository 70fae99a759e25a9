/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef SALLYPORT_DECIDE_H
#define SALLYPORT_DECIDE_H

/*
 * What the policy says: at most two lookups by peer, one by address, and two by port for each of the two
 * classes found; see api/policy.h. Nothing here depends on the number of rules.
 */

#include "maps.h"
#include "question.h"

/* What the class says of this port: the port itself, else the narrowest range, else what holds for any. */
static __always_inline void decide_port(const struct class *class, __u8 protocol, __be16 port, struct decision *d)
{
	struct decision *found;

	if (class->flags & CLASS_PORTS) {
		struct port_key key = { .class = class->id, .protocol = protocol, .port = port };

		found = bpf_map_lookup_elem(&ports, &key);
		if (found) {
			*d = *found;
			return;
		}
	}
	if (class->flags & CLASS_RANGES) {
		struct port_range_key key = { .prefix = 64 + 8 + 16, .protocol = protocol };

		__builtin_memcpy(key.class, &class->id, sizeof(key.class));
		__builtin_memcpy(key.port, &port, sizeof(key.port));
		found = bpf_map_lookup_elem(&port_ranges, &key);
		if (found) {
			*d = *found;
			return;
		}
	}
	*d = class->any;
}

/* Takes of each layer, enforced and staged, the one with the lower rank; rules of one rank agree, the lower id is named. */
static __always_inline void take_lower(struct decision *d, const struct decision *other)
{
	if (other->rank < d->rank || (other->rank == d->rank && other->rule < d->rule)) {
		d->rank = other->rank;
		d->rule = other->rule;
		d->verdict = other->verdict;
	}
	if (other->staged_rank < d->staged_rank ||
	    (other->staged_rank == d->staged_rank && other->staged_rule < d->staged_rule)) {
		d->staged_rank = other->staged_rank;
		d->staged_rule = other->staged_rule;
		d->staged_verdict = other->staged_verdict;
	}
}

/*
 * The set's decision on a peer and a port. Without a set everything is allowed; with a set that is not in the
 * tables nothing is: REASON_NO_TABLE.
 */
static __always_inline enum reason decide(__u64 set, __u32 peer, const struct address *address, __u8 protocol,
					  __be16 port, struct decision *d)
{
	struct peer_key key = { .set = set, .peer = peer };
	struct class *class, *network;

	if (!set) {
		no_decision(d);
		d->verdict = d->staged_verdict = VERDICT_ALLOW;
		return REASON_NONE;
	}
	class = bpf_map_lookup_elem(&peers, &key);
	if (!class) {
		key.peer = SLOT_ANY;
		class = bpf_map_lookup_elem(&peers, &key);
	}
	if (!class) {
		no_decision(d);
		return REASON_NO_TABLE;
	}
	decide_port(class, protocol, port, d);
	if (class->flags & CLASS_NETWORKS) {
		struct network_key where = { .prefix = 64 + 128, .network = *address };
		struct decision other;

		__builtin_memcpy(where.set, &set, sizeof(where.set));
		network = bpf_map_lookup_elem(&networks, &where);
		if (network) {
			decide_port(network, protocol, port, &other);
			take_lower(d, &other);
		}
	}
	return d->verdict == VERDICT_ALLOW || d->verdict == VERDICT_ALERT ? REASON_NONE : REASON_POLICY;
}

#endif
