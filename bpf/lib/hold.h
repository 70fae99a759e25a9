/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef SALLYPORT_HOLD_H
#define SALLYPORT_HOLD_H

/*
 * Packets that must wait for a handshake: marked here, queued where they leave the node, let go by the agent. Only
 * where a packet is met before routing can it be held: at a socket's cgroup it has been routed already.
 */

#include "emit.h"

/* Marks the packet to be held, as far as the endpoint may. */
FUNCTION hold_packet(struct __sk_buff *skb, __u32 endpoint)
{
#ifdef WITH_HOLD
	struct settings *settings = settings_now();
	struct endpoint_state *state;
	__u32 key = endpoint;

	if (!settings || !settings->hold_mark)
		return REASON_UNVERIFIED;
	state = bpf_map_lookup_elem(&endpoint_states, &key);
	if (!state || !take_token(bpf_ktime_get_coarse_ns(), &state->hold_refilled, &state->hold_budget, settings->hold_rate, settings->hold_rate))
		return REASON_HOLD_RATE;
	skb->mark |= settings->hold_mark;
	count_incident(INCIDENT_HELD);
	return REASON_NONE;
#else
	/* An argument that is not used would not be passed, and the function not be the one that is called. */
	return endpoint == ~0U ? REASON_NO_TABLE : REASON_UNVERIFIED;
#endif
}

#endif
