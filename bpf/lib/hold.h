/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef SALLYPORT_HOLD_H
#define SALLYPORT_HOLD_H

/*
 * Packets that must wait for a handshake. Met before routing they are marked here, queued where they leave the node, and
 * let go by the agent. At a socket's cgroup they have been routed already: there (WITH_TAKING) they are taken from their
 * sender, and the agent, who has got a copy, sends it in his place.
 */

#include "emit.h"
#include "headers.h"

#ifdef WITH_TAKING

/* Room for a packet in the ring: of what links carry, and of the most that a socket sends at once. */
#define TAKEN_SMALL (2048 - sizeof(struct taken_head))
#define TAKEN_LARGE 65536
#define TAKEN_RING (1 << 20)

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, TAKEN_RING);
} taken SEC(".maps"); /* kernel */

static __always_inline enum reason take_into(struct __sk_buff *skb, __u32 endpoint, const __u32 room)
{
	__u32 length = skb->len;
	struct taken_head *head = bpf_ringbuf_reserve(&taken, sizeof(*head) + room, 0);

	if (!head)
		return REASON_HOLD_RATE;
	head->endpoint = endpoint;
	head->length = length;
	head->segment = skb->gso_segs > 1 ? skb->gso_size : 0;
	if (length < sizeof(struct ipv4_header))
		goto malformed;
	/* Two comparisons and not one, and of the very value that is used: for the verifier. */
	asm volatile("" : "+r"(length));
	if (length > room || bpf_skb_load_bytes(skb, 0, head + 1, length))
		goto malformed;
	bpf_ringbuf_submit(head, 0);
	return REASON_NONE;
malformed:
	bpf_ringbuf_discard(head, 0);
	return REASON_TRUNCATED;
}

static __always_inline enum reason lay_by(struct __sk_buff *skb, __u32 endpoint, const struct settings *settings)
{
	if (skb->len <= TAKEN_SMALL)
		return take_into(skb, endpoint, TAKEN_SMALL);
	/* Sixteen of these fill the ring: half of it is for others. */
	if (bpf_ringbuf_query(&taken, BPF_RB_AVAIL_DATA) > TAKEN_RING / 2)
		return REASON_HOLD_RATE;
	return take_into(skb, endpoint, TAKEN_LARGE);
}

#else

static __always_inline enum reason lay_by(struct __sk_buff *skb, __u32 endpoint, const struct settings *settings)
{
	skb->mark |= settings->hold_mark;
	return REASON_NONE;
}

#endif

/* Makes the packet wait, as far as the endpoint may have it do so. `waits` says that it can. */
FUNCTION hold_packet(struct __sk_buff *skb, __u32 endpoint, __u32 waits)
{
	struct settings *settings = settings_now();
	struct endpoint_state *state;
	enum reason reason;
	__u32 key = endpoint;

	if (!waits || !settings || !settings->hold_mark)
		return REASON_UNVERIFIED;
	state = bpf_map_lookup_elem(&endpoint_states, &key);
	if (!state || !take_token(bpf_ktime_get_coarse_ns(), &state->hold_refilled, &state->hold_budget, settings->hold_rate, settings->hold_rate))
		return REASON_HOLD_RATE;
	reason = lay_by(skb, endpoint, settings);
	if (!reason)
		count_incident(INCIDENT_HELD);
	return reason;
}

#endif
