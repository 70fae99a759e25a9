/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef SALLYPORT_FLOW_H
#define SALLYPORT_FLOW_H

/* The flow table: whether a packet belongs to a conversation that was decided, and keeping its books. */

#include "maps.h"
#include "parse.h"

/* How long a silent flow is remembered as one. */
#define FLOW_UNANSWERED (30 * SECOND)
#define FLOW_DATAGRAMS (180 * SECOND)
#define FLOW_TCP_OPENING (60 * SECOND)
#define FLOW_TCP_ESTABLISHED (24 * 3600 * SECOND)
#define FLOW_TCP_CLOSING (120 * SECOND)

/* An entry of its own for what is judged at a container's cgroup behind an interface judged by TC. */
#define SCOPE_CONTAINER (1U << 31)

static __always_inline void flow_key(struct flow_key *key, __u32 endpoint, const struct packet *p, enum direction direction)
{
	__builtin_memset(key, 0, sizeof(*key));
	key->endpoint = endpoint;
	key->protocol = p->protocol;
	if (direction == DIRECTION_EGRESS) {
		key->local = p->source;
		key->remote = p->destination;
		key->local_port = p->source_port;
		key->remote_port = p->destination_port;
	} else {
		key->local = p->destination;
		key->remote = p->source;
		key->local_port = p->destination_port;
		key->remote_port = p->source_port;
	}
}

static __always_inline bool opens_tcp(const struct packet *p)
{
	return p->protocol == IPPROTO_TCP && (p->tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN && !p->later_fragment;
}

static __always_inline __u64 flow_lifetime(const struct flow *flow, __u8 protocol)
{
	if (protocol != IPPROTO_TCP)
		return flow->state == FLOW_NEW ? FLOW_UNANSWERED : FLOW_DATAGRAMS;
	switch (flow->state) {
	case FLOW_NEW:
		return FLOW_TCP_OPENING;
	case FLOW_ESTABLISHED:
		return FLOW_TCP_ESTABLISHED;
	default:
		return FLOW_TCP_CLOSING;
	}
}

/* False when the packet begins a conversation of its own, although an older one had the same addresses. */
static __always_inline bool flow_continues(const struct flow *flow, const struct packet *p, enum direction direction, __u64 now)
{
	if (now - flow->seen > flow_lifetime(flow, p->protocol))
		return false;
	if (opens_tcp(p)) /* again by the same side: a retransmission. Where a tag let it in, this one must show its own */
		return flow->state == FLOW_NEW && flow->direction == direction && !(flow->flags & FLOW_TAGGED);
	return true;
}

static __always_inline void flow_advance(struct flow *flow, const struct packet *p, enum direction direction)
{
	if (flow->state == FLOW_NEW && direction != flow->direction && !(p->tcp_flags & TCP_RST))
		flow->state = FLOW_ESTABLISHED;
	if (likely(!(p->tcp_flags & (TCP_FIN | TCP_RST))))
		return;
	flow->flags |= direction == DIRECTION_EGRESS ? FLOW_FIN_EGRESS : FLOW_FIN_INGRESS;
	if (p->tcp_flags & TCP_RST || (flow->flags & FLOW_FIN_EGRESS && flow->flags & FLOW_FIN_INGRESS))
		flow->state = FLOW_CLOSED;
	else
		flow->state = FLOW_CLOSING;
}

/* Atomic, because both directions and several CPUs may be at it; by branches, because an entry still on the
 * stack must be addressed by constants. */
static __always_inline void flow_count(struct flow *flow, enum direction direction, __u32 bytes, __u64 now)
{
	flow->seen = now;
	if (direction == DIRECTION_EGRESS) {
		__sync_fetch_and_add(&flow->packets[DIRECTION_EGRESS], 1);
		__sync_fetch_and_add(&flow->bytes[DIRECTION_EGRESS], bytes);
	} else {
		__sync_fetch_and_add(&flow->packets[DIRECTION_INGRESS], 1);
		__sync_fetch_and_add(&flow->bytes[DIRECTION_INGRESS], bytes);
	}
}

#endif
