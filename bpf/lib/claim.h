/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef SALLYPORT_CLAIM_H
#define SALLYPORT_CLAIM_H

/*
 * Claim tokens: sent by another node's agent along the way of a flow, in place of its first packet, to show who is at
 * the end of it. They are for our agent; no container ever gets one, right or wrong.
 */

#include "emit.h"
#include "verified.h"

enum claim_outcome {
	CLAIM_NONE = 0,    /* not a token */
	CLAIM_TAKEN = 1,   /* told to the agent, now or before */
	CLAIM_REFUSED = 2, /* nobody waits for it here */
};

/* What a datagram's or an echo request's length is with a token in it, from the transport header on. */
#define CLAIM_DATAGRAM (8 + sizeof(struct claim_payload))

/* The offset of a payload that has a token's length, or 0. */
static __always_inline __u32 claim_offset(struct __sk_buff *skb, const struct packet *p)
{
	__be16 length = 0;
	__u8 offset = 0;

	if (p->later_fragment || p->first_fragment)
		return 0;
	switch (p->protocol) {
	case IPPROTO_UDP:
		/* What is behind the datagram's own length the receiver cuts off. */
		if (bpf_skb_load_bytes(skb, p->l4 + 4, &length, sizeof(length)))
			return 0;
		if (length)
			return length == bpf_htons(CLAIM_DATAGRAM) ? p->l4 + 8 : 0;
		break;
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		if (p->icmp_type != (p->ipv6 ? ICMPV6_ECHO : ICMP_ECHO))
			return 0;
		break;
	case IPPROTO_UDPLITE:
		break;
	case IPPROTO_TCP:
		if (!opens_tcp(p) || tcp_payload(skb, p) != sizeof(struct claim_payload) ||
		    bpf_skb_load_bytes(skb, p->l4 + offsetof(struct tcp_head, offset), &offset, 1))
			return 0;
		return p->l4 + (offset >> 4) * 4;
	default:
		return 0;
	}
	return packet_end(skb, p) == p->l4 + CLAIM_DATAGRAM ? p->l4 + 8 : 0;
}

/* Returns enum claim_outcome; what is no CLAIM_NONE must be dropped. */
FUNCTION take_claim(struct __sk_buff *skb, const struct packet *p, const struct question *q)
{
	struct claim_payload payload;
	struct peer_event *event;
	struct claim *claim;
	__u32 offset;
	union {
		struct {
			__u8 protocol;
			__u8 used;
			__u8 pad[2];
		};
		__u32 word;
	} fresh = {}, taken = {};

	if (!p || !q)
		return CLAIM_NONE;
	offset = claim_offset(skb, p);
	if (likely(!offset) || bpf_skb_load_bytes(skb, offset, &payload, sizeof(payload)) ||
	    payload.magic != bpf_cpu_to_be64(CLAIM_MAGIC))
		return CLAIM_NONE;
	claim = bpf_map_lookup_elem(&claims, payload.token);
	if (!claim || claim->expires <= bpf_ktime_get_coarse_ns() || claim->protocol != p->protocol ||
	    (claim->endpoint && claim->endpoint != q->me.endpoint))
		return CLAIM_REFUSED;
	if (claim->used)
		return CLAIM_TAKEN;
	/* First the room to tell it: a token that cannot be told stays good, and is sent again. */
	event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);
	if (!event) {
		count_incident(INCIDENT_EVENT_LOST);
		return CLAIM_TAKEN;
	}
	fresh.protocol = taken.protocol = p->protocol;
	taken.used = 1;
	/* Of copies that come at the same moment, one counts. */
	if (!__sync_bool_compare_and_swap((__u32 *)&claim->protocol, fresh.word, taken.word)) {
		bpf_ringbuf_discard(event, 0);
		return CLAIM_TAKEN;
	}
	__builtin_memset(event, 0, sizeof(*event));
	event->head.time = bpf_ktime_get_ns();
	event->head.kind = EVENT_CLAIM;
	__builtin_memcpy(event->token, payload.token, sizeof(event->token));
	event->identity = claim->identity;
	event->endpoint = q->me.endpoint;
	event->local = q->me.slot;
	event->source = p->source;
	event->destination = p->destination;
	event->source_port = p->source_port;
	event->destination_port = p->destination_port;
	event->protocol = p->protocol;
	bpf_ringbuf_submit(event, 0);
	return CLAIM_TAKEN;
}

/* True for a packet of a current flow that must be looked at for a token: nearly none. */
static __always_inline bool may_be_claim(struct __sk_buff *skb, const struct packet *p)
{
	if (unlikely(p->tcp_flags & TCP_SYN))
		return true;
	return unlikely(skb->len - p->l4 == CLAIM_DATAGRAM) && p->protocol != IPPROTO_TCP;
}

#endif
