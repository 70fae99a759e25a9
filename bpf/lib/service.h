/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef SALLYPORT_SERVICE_H
#define SALLYPORT_SERVICE_H

/*
 * Addresses of Services: whoever is behind one is chosen after the sender's program has seen the packet, and before the
 * receiver's. So the address decides nothing but what rules for addresses say. The first packet goes on or waits; it is
 * decided by whom it has come to, at the receiver's interface where that is on this node, by the answer's tag or in a
 * handshake where it is not. Later ones are decided where they leave: by then connection tracking tells whose they are.
 */

#include "decide.h"
#include "identity.h"

/* Who a conversation with a Service goes to, as far as it has been rewritten: *q gets the peer, *address where it is. */
FUNCTION know_backend(struct __sk_buff *skb, const struct packet *p, struct question *q, struct address *address)
{
	if (!p || !q || !address)
		return false;
#ifdef WITH_CONNTRACK
	struct connection connection = {};
	struct owner *owner;

	read_connection(skb, p, &connection, TRACKED_ANSWERER);
	if (!connection.known || connection.reversed != (q->direction == DIRECTION_INGRESS))
		return false;
	if (same_address(&connection.address, &q->key.remote) && connection.port == q->key.remote_port)
		return false;
	*address = connection.address;
	owner = owner_of(address);
	q->peer.party.endpoint = owner ? owner->endpoint : 0;
	q->peer.party.slot = owner ? owner->slot : SLOT_WORLD;
	q->peer.port = connection.port;
	return true;
#else
	return false;
#endif
}

/* Whether the packet was sent to another address than it has come to. */
FUNCTION was_rewritten(struct __sk_buff *skb, const struct packet *p, struct address *target)
{
	if (!p || !target)
		return false;
#ifdef WITH_CONNTRACK
	struct connection connection = {};

	read_connection(skb, p, &connection, TRACKED_TARGET);
	*target = connection.address;
	return connection.known && !connection.reversed &&
	       !(same_address(target, &p->destination) && connection.port == p->destination_port);
#else
	return false;
#endif
}

/* What a sender's set says of who has received; the decision becomes the question's where it refuses. */
FUNCTION decide_sent(const struct packet *p, struct question *q, const struct address *target, __u64 set)
{
	struct decision decision = {};
	enum reason reason;

	if (!p || !q || !target)
		return REASON_NO_TABLE;
	reason = decide(set, q->me.slot, target, p->protocol, p->destination_port, &decision);
	if (reason)
		q->decision = decision;
	return reason;
}

/*
 * What the sender's own policy says, where it could not be asked when it sent: its packet was to another address than
 * this one, and has been rewritten since.
 */
FUNCTION ask_sender(struct __sk_buff *skb, const struct packet *p, struct question *q)
{
	struct address target = {};
	struct subject *subject;
	__u32 slot;
	__u64 set;

	if (!p || !q)
		return REASON_NO_TABLE;
	slot = q->peer.party.slot;
	if (slot < SLOT_FIRST || !q->peer.party.endpoint || q->peer.party.endpoint == q->me.endpoint)
		return REASON_NONE;
	subject = bpf_map_lookup_elem(&subjects, &slot);
	if (!subject)
		return REASON_NONE;
	set = subject->sets[DIRECTION_EGRESS];
	if (!set || !was_rewritten(skb, p, &target))
		return REASON_NONE;
	if (!decide_sent(p, q, &target, set))
		return REASON_NONE;
	return decide_sent(p, q, &p->destination, set);
}

/*
 * Whether one whom nothing restricts has to say who he is before a datagram of his gets to a Service: somebody behind it may
 * be particular about that, and on another node nobody knows but by a handshake. Where none can be had it goes as to the world.
 */
static __always_inline bool must_introduce(const struct packet *p, const struct question *q)
{
#ifdef WITH_CONNTRACK
	struct settings *settings = settings_now();

	return with_conntrack && p->protocol == IPPROTO_UDP && q->peer.flags & BACKEND_GUARDED && settings &&
	       can_ask(q, settings);
#else
	return false;
#endif
}

/* A first packet to a Service of which nobody tells yet where it goes: it passes, waits or, where it can do neither, ends. */
static __always_inline enum reason pass_service(struct __sk_buff *skb, const struct packet *p, struct question *q)
{
	struct settings *settings = settings_now();

	if (q->direction == DIRECTION_INGRESS || !settings)
		return REASON_UNVERIFIED;
	if (p->protocol == IPPROTO_TCP) {
		/* One with payload is sent again without. */
		if (!opens_tcp(p) || tcp_payload(skb, p))
			return REASON_UNVERIFIED;
		q->step = STEP_GO;
	} else if (can_ask(q, settings)) {
		q->step = STEP_HOLD;
	} else if (settings->hold_mark && !settings->hold_open) {
		return REASON_UNVERIFIED;
	} else {
		q->step = STEP_GO;
	}
	return REASON_NONE;
}

#endif
