/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef SALLYPORT_VERIFIED_H
#define SALLYPORT_VERIFIED_H

/*
 * Whose an address is that belongs to nobody of this node: docs/protocol.md, "Who is asked about what". In this
 * order: a tag of the connection, a good one of the packet in hand, what a handshake has verified, the domain.
 */

#include "maps.h"
#include "parse.h"
#include "flow.h"
#include "question.h"
#include "tag.h"

/* How long a flow goes on without asking for its entry again, in seconds. */
#define VERIFIED_TRUST 60

/* Slots are given anew: what is remembered of a peer is its identity, and its slot is asked for each time. */
static __always_inline bool believe(struct question *q, __u64 identity, enum told told)
{
	__u64 key = identity;
	__u32 *slot = bpf_map_lookup_elem(&identities, &key);

	q->identity = identity;
	if (!slot || *slot < SLOT_FIRST)
		return false;
	q->peer.party.slot = *slot;
	q->told = told;
	return true;
}

/* What a handshake has verified: this conversation, else everything between the endpoint and that address. */
FUNCTION know_verified(const struct packet *p, struct question *q)
{
	struct verified_key key = {};
	struct verified *entry;
	__u32 now = bpf_ktime_get_coarse_ns() / SECOND;

	if (!p || !q)
		return REASON_NO_TABLE;
	key.endpoint = q->me.endpoint;
	key.local = q->opened == DIRECTION_EGRESS ? q->me.slot : 0;
	key.remote = q->key.remote;
	key.remote_port = q->key.remote_port;
	key.local_port = q->key.local_port;
	key.protocol = p->protocol;
	entry = bpf_map_lookup_elem(&verified, &key);
	if (!entry || entry->expires <= now) {
		key.remote_port = key.local_port = 0;
		key.protocol = 0;
		entry = bpf_map_lookup_elem(&verified, &key);
		if (!entry || entry->expires <= now)
			return REASON_NONE;
	}
	if (entry->used != now)
		entry->used = now;
	q->expires = entry->expires < now + VERIFIED_TRUST ? entry->expires : now + VERIFIED_TRUST;
	if (entry->flags & VERIFIED_WORLD) {
		q->told = TOLD_HANDSHAKE;
		return REASON_NONE;
	}
	if (entry->flags & VERIFIED_REFUSED) {
		believe(q, entry->identity, TOLD_HANDSHAKE);
		return REASON_REFUSED;
	}
	return believe(q, entry->identity, TOLD_HANDSHAKE) ? REASON_NONE : REASON_NO_TABLE;
}

/* Whether the address is one of the domain's. */
FUNCTION know_domain(struct question *q)
{
	struct domain_key key = { .prefix = 128 };
	struct domain *domain;

	if (!q)
		return 0;
	key.network = q->key.remote;
	domain = bpf_map_lookup_elem(&domains, &key);
	if (domain)
		q->domain = domain->flags;
	return 0;
}

/* Where a packet ends by its own account: frames may be longer. */
static __always_inline __u32 packet_end(struct __sk_buff *skb, const struct packet *p)
{
	__u32 at = p->ipv6 ? offsetof(struct ipv6_header, length) : offsetof(struct ipv4_header, length);
	__be16 length = 0;

	/* zero is a segmented buffer of more than 64 KiB */
	if (bpf_skb_load_bytes(skb, NETWORK_HEADER + at, &length, sizeof(length)) || !length)
		return skb->len;
	return NETWORK_HEADER + bpf_ntohs(length) + (p->ipv6 ? sizeof(struct ipv6_header) : 0);
}

/* Bytes of a TCP segment behind its header. */
FUNCTION tcp_payload(struct __sk_buff *skb, const struct packet *p)
{
	__u32 end, header;
	__u8 offset = 0;

	if (!p || bpf_skb_load_bytes(skb, p->l4 + offsetof(struct tcp_head, offset), &offset, 1))
		return 1;
	end = packet_end(skb, p);
	header = p->l4 + (offset >> 4) * 4;
	return end > header ? end - header : 0;
}

/* True when the packet in hand is one whose tag may tell who the remote end is. */
static __always_inline bool may_tell(const struct packet *p, const struct question *q)
{
	if (q->direction != DIRECTION_INGRESS || p->protocol != IPPROTO_TCP || !(p->tcp_flags & TCP_SYN))
		return false;
	/* A SYN-ACK tells it of a connection that is waiting for one, and of no other. */
	return !(p->tcp_flags & TCP_ACK) || q->pending;
}

/* An agent whose last word is older than this is dead, as far as anybody who waits is concerned. */
#define AGENT_STALE (5 * SECOND)

/* How long what could not be asked goes as to the world before somebody is looked for again, in seconds. */
#define UNASKED_TRUST 5

/* True where the packet can wait for an answer, and our agent is there to ask. */
static __always_inline bool can_ask(const struct question *q, const struct settings *settings)
{
	return q->waits && settings->hold_mark && bpf_ktime_get_coarse_ns() < settings->heartbeat + AGENT_STALE;
}

/* Whether a policy says whom the endpoint may open to. */
FUNCTION is_restricted(const struct question *q)
{
	struct subject *subject;
	__u32 slot;

	if (!q)
		return true;
	slot = q->me.slot;
	subject = bpf_map_lookup_elem(&subjects, &slot);
	return !subject || subject->sets[DIRECTION_EGRESS];
}

/*
 * True where nothing may pass before somebody is asked: an agent speaks for the address. Where nobody can ask it, that
 * holds for whom a policy restricts. Who may open to anybody goes as to the world: the other end judges strangers.
 */
static __always_inline bool must_ask(struct question *q, const struct settings *settings)
{
	if (!(q->domain & DOMAIN_HOLD))
		return false;
	if (!settings || can_ask(q, settings) || (!settings->hold_open && is_restricted(q)))
		return true;
	q->expires = bpf_ktime_get_coarse_ns() / SECOND + UNASKED_TRUST;
	return false;
}

/*
 * What becomes of a packet to or from a peer of the domain whom the endpoint has opened to, and whom nobody knows
 * yet. STEP_DECIDED: it is of the world. REASON_UNVERIFIED: it is dropped.
 */
static __always_inline enum reason next_step(struct __sk_buff *skb, const struct packet *p, struct question *q)
{
	struct settings *settings = settings_now();
	bool tcp = p->protocol == IPPROTO_TCP, hold = must_ask(q, settings);

	if (q->direction == DIRECTION_INGRESS) {
		if (q->pending && tcp && p->tcp_flags & TCP_RST && !tcp_payload(skb, p)) {
			q->step = STEP_END;
			return REASON_NONE;
		}
		if (hold)
			return REASON_UNVERIFIED;
		return !q->pending || (tcp && p->tcp_flags & TCP_SYN) ? REASON_NONE : REASON_UNVERIFIED;
	}
	if (tcp && opens_tcp(p)) {
		bool payload = tcp_payload(skb, p);

		/* Sent again: nobody has answered with a tag. Where nobody can ask either, the answer's tag is all there is. */
		if (q->own_tag && q->domain & DOMAIN_TAG && !payload &&
		    (!q->pending || !hold || !settings || !can_ask(q, settings)))
			q->step = STEP_GO;
		else if (hold)
			q->step = STEP_HOLD;
		else if (q->own_tag && payload)
			return REASON_UNVERIFIED; /* it is sent again without */
		return REASON_NONE;
	}
	if (tcp && q->pending)
		return REASON_UNVERIFIED;
	if (hold)
		q->step = STEP_HOLD;
	return REASON_NONE;
}

#endif
