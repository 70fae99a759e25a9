/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef SALLYPORT_OPENED_H
#define SALLYPORT_OPENED_H

/*
 * The policy's word on a conversation, by who opened it, whatever direction the packet in hand has: who is at the
 * other end, and what the tables say of the two. Functions of their own: they are the bulk of the program, no
 * packet of a known flow comes here, and their stacks must fit below a program's.
 */

#include "decide.h"
#include "identity.h"
#include "verified.h"

/* The other end as this node's own tables have it; SLOT_WORLD where they have nothing. */
FUNCTION know_here(struct __sk_buff *skb, const struct packet *p, struct question *q)
{
	if (!p || !q)
		return 0;
	__builtin_memset(&q->peer, 0, sizeof(q->peer));
	if (q->opened == DIRECTION_EGRESS) {
		addressed_peer(&q->key.remote, p->protocol, q->key.remote_port, &q->peer);
	} else {
		sending_peer(skb, p, &q->key.remote, q->key.remote_port, q->known, &q->peer);
		q->peer.port = q->key.local_port;
	}
	return 0;
}

/* What the tables say of the peer that was found. */
FUNCTION consult(const struct packet *p, struct question *q)
{
	struct subject *subject;
	__u64 set = 0;
	__u32 slot;
	__be16 port;

	if (!p || !q)
		return REASON_NO_TABLE;
	port = q->peer.port;
	if (p->protocol == IPPROTO_ICMP || p->protocol == IPPROTO_ICMPV6) {
		__u8 type = p->icmp_type;

		if (q->opened != q->direction)
			type = p->ipv6 ? ICMPV6_ECHO : ICMP_ECHO;
		port = bpf_htons(type);
	}
	/* To itself, also through a service's address, always. */
	if (!q->peer.party.endpoint || q->peer.party.endpoint != q->me.endpoint) {
		slot = q->me.slot;
		subject = bpf_map_lookup_elem(&subjects, &slot);
		if (!subject || !subject->identity)
			return REASON_NO_TABLE;
		set = subject->sets[q->opened & 1];
	}
	return decide(set, q->peer.party.slot, &q->key.remote, p->protocol, port, &q->decision);
}

/* Who is at an address that is nobody's of this node: *q tells it, or that nobody has told. */
static __always_inline enum reason know_elsewhere(struct __sk_buff *skb, const struct packet *p, struct question *q)
{
	enum reason reason;

	if (!q->tag) {
		reason = know_verified(p, q);
		if (reason || q->told)
			return reason;
		if (may_tell(p, q)) {
			reason = verify_tag(skb, p, &q->tag);
			if (reason)
				return reason;
			if (q->tag && opens_tcp(p) && tcp_payload(skb, p))
				return REASON_UNVERIFIED;
		}
	}
	if (q->tag)
		return believe(q, q->tag, TOLD_TAG) ? REASON_NONE : REASON_TAG_UNKNOWN;
	know_domain(q);
	return REASON_NONE;
}

FUNCTION decide_opened(struct __sk_buff *skb, const struct packet *p, struct question *q)
{
	enum reason reason;

	if (!p || !q)
		return REASON_NO_TABLE;
	q->identity = 0;
	q->expires = 0;
	q->told = q->domain = q->step = 0;
	no_decision(&q->decision);
	know_here(skb, p, q);
	if (q->peer.party.slot != SLOT_WORLD)
		return consult(p, q);
	reason = know_elsewhere(skb, p, q);
	if (reason)
		return reason;
	if (!q->domain)
		return consult(p, q);
	if (q->opened == DIRECTION_INGRESS) {
		reason = consult(p, q);
		return reason == REASON_POLICY ? REASON_UNTAGGED : reason;
	}
	reason = next_step(skb, p, q);
	if (reason || q->step == STEP_END)
		return reason;
	if (q->step)
		q->peer.party.slot = SLOT_SOME;
	return consult(p, q);
}

/*
 * A TCP packet in mid-stream of a flow that is not in the table: the agent came later, or the table was full.
 * Who opened it is asked of connection tracking; where that is not known, both readings must be allowed, so
 * that nobody gains by being forgotten.
 */
static __always_inline enum reason decide_adopted(struct __sk_buff *skb, const struct packet *p, struct question *q)
{
	enum reason reason;

	count_incident(INCIDENT_ADOPTED);
#ifdef WITH_CONNTRACK
	struct connection connection = {};

	read_connection(skb, p, &connection);
	if (connection.known) {
		q->opened = connection.reversed ? !q->direction : q->direction;
		return decide_opened(skb, p, q);
	}
#endif
	q->opened = DIRECTION_INGRESS;
	reason = decide_opened(skb, p, q);
	if (reason)
		return reason;
	q->opened = DIRECTION_EGRESS;
	return decide_opened(skb, p, q);
}

/*
 * A SYN against the direction of one that the endpoint has sent, and that is pending: what was not asked then is asked
 * now, of whom this one's tag names, in the name of the container that sent the other.
 */
static __always_inline enum reason decide_crossing(struct __sk_buff *skb, const struct packet *p, struct question *q,
						   __u32 sender)
{
	__u32 slot = q->me.slot;
	enum reason reason;

	q->me.slot = sender;
	q->opened = DIRECTION_EGRESS;
	reason = decide_opened(skb, p, q);
	if (!reason) {
		q->me.slot = slot;
		q->opened = DIRECTION_INGRESS;
	}
	return reason;
}

/*
 * A datagram nobody knows looks like the first of a conversation. Where connection tracking knows that it answers
 * another, its sender must not be taken for the one who opened: else what it answers would be let in as its reply.
 */
static __always_inline bool is_answer(struct __sk_buff *skb, const struct packet *p)
{
#ifdef WITH_CONNTRACK
	struct connection connection = {};

	if (p->protocol == IPPROTO_UDP)
		read_connection(skb, p, &connection);
	return connection.known && connection.reversed;
#else
	return false;
#endif
}

#endif
