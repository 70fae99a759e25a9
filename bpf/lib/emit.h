/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef SALLYPORT_EMIT_H
#define SALLYPORT_EMIT_H

/*
 * Telling user space. An endpoint has a budget of events that refills with time; what it exceeds is counted
 * and told with the next event. A full ring buffer loses an event, never a verdict.
 */

#include "drops.h"
#include "parse.h"
#include "question.h"

/* True when the endpoint may raise an event now; then *suppressed is what it could not raise before. */
static __always_inline bool take_budget(struct endpoint_state *state, __u32 *suppressed)
{
	struct settings *settings = settings_now();

	if (!settings)
		return false;
	if (!take_token(bpf_ktime_get_coarse_ns(), &state->refilled, &state->budget, settings->event_rate, settings->event_burst)) {
		__sync_fetch_and_add(&state->suppressed, 1);
		return false;
	}
	*suppressed = state->suppressed;
	state->suppressed = 0;
	return true;
}

static __always_inline void emit_verdict(struct __sk_buff *skb, const struct packet *p, const struct question *q)
{
	__u32 endpoint = q->me.endpoint;
	struct endpoint_state *state = bpf_map_lookup_elem(&endpoint_states, &endpoint);
	struct verdict_event *event;
	__u32 suppressed = 0;

	if (!state || !take_budget(state, &suppressed))
		return;
	event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);
	if (!event) {
		count_incident(INCIDENT_EVENT_LOST);
		return;
	}
	event->head.time = bpf_ktime_get_ns();
	event->head.kind = q->reason > REASON_POLICY ? EVENT_DROP : EVENT_VERDICT;
	event->endpoint = q->me.endpoint;
	event->local = q->me.slot;
	event->peer = q->peer.party.slot;
	event->rule = q->decision.rule;
	event->staged_rule = q->decision.staged_rule;
	event->suppressed = suppressed;
	event->bytes = skb->len;
	event->verdict = q->decision.verdict;
	event->staged_verdict = q->decision.staged_verdict;
	event->direction = q->opened;
	event->reason = q->reason;
	event->source = p->source;
	event->destination = p->destination;
	event->source_port = p->source_port;
	event->destination_port = p->protocol == IPPROTO_ICMP || p->protocol == IPPROTO_ICMPV6 ?
					  bpf_htons(p->icmp_type) : p->destination_port;
	event->protocol = p->protocol;
	/* Wakes the reader unless it is at work already: records that are left unannounced would silence later ones. */
	bpf_ringbuf_submit(event, 0);
}

/* Tells that somebody has come with a good tag of an identity that this node does not know. */
static __always_inline void emit_stranger(const struct packet *p, const struct question *q)
{
	__u32 endpoint = q->me.endpoint;
	struct endpoint_state *state = bpf_map_lookup_elem(&endpoint_states, &endpoint);
	struct peer_event *event;
	__u32 suppressed = 0;

	if (!state || !take_budget(state, &suppressed))
		return;
	/* That event tells it too; this one has no place for it. */
	if (suppressed)
		__sync_fetch_and_add(&state->suppressed, suppressed);
	event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);
	if (!event) {
		count_incident(INCIDENT_EVENT_LOST);
		return;
	}
	__builtin_memset(event, 0, sizeof(*event));
	event->head.time = bpf_ktime_get_ns();
	event->head.kind = EVENT_STRANGER;
	event->identity = q->identity;
	event->endpoint = q->me.endpoint;
	event->local = q->me.slot;
	event->source = p->source;
	event->destination = p->destination;
	event->source_port = p->source_port;
	event->destination_port = p->destination_port;
	event->protocol = p->protocol;
	bpf_ringbuf_submit(event, 0);
}

/* Counts and tells a packet that will not pass. */
FUNCTION refuse(struct __sk_buff *skb, const struct packet *p, struct question *q)
{
	struct endpoint_state *state;
	__u32 endpoint;

	if (!p || !q)
		return 0;
	endpoint = q->me.endpoint;
	state = bpf_map_lookup_elem(&endpoint_states, &endpoint);
	q->decision.verdict = VERDICT_DENY;
	if (q->reason > REASON_POLICY)
		q->decision.staged_verdict = VERDICT_DENY;
	count_drop(q->reason, skb->len);
	if (state) {
		__sync_fetch_and_add(&state->denied_packets, 1);
		__sync_fetch_and_add(&state->denied_bytes, skb->len);
	}
	if (q->reason == REASON_TAG_UNKNOWN)
		emit_stranger(p, q);
	emit_verdict(skb, p, q);
	return 0;
}

#endif
