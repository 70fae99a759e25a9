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
#include "service.h"

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

/*
 * Who is at an address that is nobody's of this node: *q tells it, or that nobody has told. What the packet's own tag
 * proves comes before what is remembered of the address, which may be another's by now. With a payload it proves too
 * little, data would pass before both ends agree; and it must not contradict what is remembered.
 */
static __always_inline enum reason know_elsewhere(struct __sk_buff *skb, const struct packet *p, struct question *q)
{
	enum reason reason, unproven = REASON_NONE;
	__u64 shown = 0;

	if (!q->tag && may_tell(p, q)) {
		unproven = verify_tag(skb, p, &shown);
		if (shown && opens_tcp(p) && tcp_payload(skb, p))
			unproven = REASON_UNVERIFIED;
		else
			q->tag = shown;
	}
	if (q->tag)
		return believe(q, q->tag, TOLD_TAG) ? REASON_NONE : REASON_TAG_UNKNOWN;
	reason = know_verified(p, q);
	if (reason)
		return reason;
	if (q->told)
		return shown && shown != q->identity ? REASON_UNVERIFIED : REASON_NONE;
	if (unproven)
		return unproven;
	know_domain(q);
	return REASON_NONE;
}

/* Who is at q->key.remote, which is nobody's of this node, and what becomes of the packet meanwhile. */
static __always_inline enum reason know_remote(struct __sk_buff *skb, const struct packet *p, struct question *q)
{
	enum reason reason = know_elsewhere(skb, p, q);

	if (reason || !q->domain)
		return reason;
	return next_step(skb, p, q);
}

static __always_inline void exchange_addresses(struct address *a, struct address *b)
{
	__u32 *one = (__u32 *)a->bytes, *other = (__u32 *)b->bytes;

	for (int i = 0; i < 4; i++) {
		__u32 kept = one[i];

		one[i] = other[i];
		other[i] = kept;
	}
}

/* No answers: what is to be asked next. Functions one after the other, not within each other: there is little stack. */
#define ASK_SERVICE REASON_MAX
#define ASK_ADDRESSES (REASON_MAX + 1)

/* The same of what the endpoint has opened to the address of a Service. */
FUNCTION decide_service(struct __sk_buff *skb, const struct packet *p, struct question *q)
{
	struct address real = {};
	enum reason reason;
	__be16 port;

	if (!p || !q)
		return REASON_NO_TABLE;
	if (q->direction == DIRECTION_INGRESS && q->pending && p->protocol == IPPROTO_TCP && p->tcp_flags & TCP_RST &&
	    !tcp_payload(skb, p)) {
		q->step = STEP_END;
		return REASON_NONE;
	}
	if (know_backend(skb, p, q, &real)) {
		if (q->peer.party.slot != SLOT_WORLD)
			return ASK_ADDRESSES;
		/* What was verified of this very conversation bears the address it was opened to. */
		reason = know_verified(p, q);
		if (!reason && !q->told) {
			/* Asked for is who is there; rules for addresses mean what was written. */
			port = q->key.remote_port;
			exchange_addresses(&q->key.remote, &real);
			q->key.remote_port = q->peer.port;
			reason = know_remote(skb, p, q);
			exchange_addresses(&q->key.remote, &real);
			q->key.remote_port = port;
		}
	} else {
		q->peer.party.slot = SLOT_WORLD;
		reason = know_elsewhere(skb, p, q);
		if (!reason && !q->told)
			return pass_service(skb, p, q);
	}
	if (reason || q->step == STEP_END)
		return reason;
	if (q->step) {
		q->peer.party.slot = SLOT_SOME;
		return consult(p, q);
	}
	return ASK_ADDRESSES;
}

/*
 * What the tables say of whom a Service's address leads to. Rules for addresses mean the one that was written and the one it
 * has become: of all that match the first decides.
 */
FUNCTION consult_addresses(struct __sk_buff *skb, const struct packet *p, struct question *q)
{
	struct address real = {};
	struct decision written;
	struct peer peer;

	if (!p || !q)
		return REASON_NO_TABLE;
	consult(p, q);
	peer = q->peer;
	written = q->decision;
	if (know_backend(skb, p, q, &real)) {
		q->peer = peer;
		exchange_addresses(&q->key.remote, &real);
		consult(p, q);
		exchange_addresses(&q->key.remote, &real);
		take_lower(&q->decision, &written);
	}
	return q->decision.verdict == VERDICT_ALLOW || q->decision.verdict == VERDICT_ALERT ? REASON_NONE : REASON_POLICY;
}

FUNCTION decide_known(struct __sk_buff *skb, const struct packet *p, struct question *q)
{
	enum reason reason;

	if (!p || !q)
		return REASON_NO_TABLE;
	q->identity = 0;
	q->expires = 0;
	q->told = q->domain = q->step = 0;
	no_decision(&q->decision);
	know_here(skb, p, q);
	if (q->peer.party.slot == SLOT_SOME) {
#ifdef WITH_CONNTRACK
		if (is_restricted(q) || must_introduce(p, q))
			return ASK_SERVICE;
#else
		/* An answer: the interface, which knows more, has let it through; what is sent here is rewritten already. */
		if (q->direction == DIRECTION_INGRESS && !q->pending) {
			q->decision.verdict = q->decision.staged_verdict = VERDICT_ALLOW;
			return REASON_NONE;
		}
#endif
		q->peer.party.slot = SLOT_WORLD;
	}
	if (q->peer.party.slot != SLOT_WORLD)
		return consult(p, q);
	reason = know_elsewhere(skb, p, q);
	if (reason)
		return reason;
	if (!q->domain)
		return consult(p, q);
	if (q->opened == DIRECTION_INGRESS) {
		reason = consult(p, q);
		return reason == REASON_POLICY && !(q->domain & DOMAIN_NODE) ? REASON_UNTAGGED : reason;
	}
	reason = next_step(skb, p, q);
	if (reason || q->step == STEP_END)
		return reason;
	if (q->step)
		q->peer.party.slot = SLOT_SOME;
	return consult(p, q);
}

static __always_inline enum reason decide_opened(struct __sk_buff *skb, const struct packet *p, struct question *q)
{
	int reason = decide_known(skb, p, q);

	if (reason == ASK_SERVICE)
		reason = decide_service(skb, p, q);
	return reason == ASK_ADDRESSES ? consult_addresses(skb, p, q) : reason;
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
	int course = course_of(skb, p);

	if (course != COURSE_UNKNOWN) {
		q->opened = course == COURSE_BACK ? !q->direction : q->direction;
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
	return p->protocol == IPPROTO_UDP && course_of(skb, p) == COURSE_BACK;
#else
	return false;
#endif
}

#endif
