/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * host: cgroup_skb programs, for endpoints that an interface cannot tell apart.
 *
 *   from_host_endpoint, to_host_endpoint   what an endpoint on the host's network sends and receives
 *   to_container                           what reaches one of several containers behind one veth; what such a
 *                                          container sends is judged at the veth, where its cgroup shows
 *
 * They are attached to the container's own cgroup and so run for its sockets only, and for those in cgroups
 * below. They decide (1 passes, 0 drops), change nothing, and share every table with `network`. Packets that no
 * socket receives (a closed port, an echo request on the host's network) do not come here. What has to wait for a
 * handshake cannot: it has been routed already, and is dropped where a policy restricts its sender. Refused packets are
 * not answered here.
 *
 * What a packet costs: as in `network`, with the socket's cgroup looked up in place of the interface.
 */

#define NETWORK_HEADER 0
#include "lib/judge.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define PASS 1
#define DROP 0

/* How deep below its container's cgroup a process may have moved. */
#define LEVELS_MAX 12

static __always_inline struct container *container_of_socket(struct __sk_buff *skb)
{
	__u64 cgroup = bpf_skb_cgroup_id(skb);
	struct container *container = bpf_map_lookup_elem(&containers, &cgroup);

	if (likely(container))
		return container;
	for (int level = 1; level <= LEVELS_MAX; level++) {
		cgroup = bpf_skb_ancestor_cgroup_id(skb, level);
		if (!cgroup)
			break;
		container = bpf_map_lookup_elem(&containers, &cgroup);
		if (container)
			return container;
	}
	return NULL;
}

FUNCTION clear_mark(struct __sk_buff *skb)
{
	struct settings *settings = settings_now();

	if (!settings)
		return 0;
	skb->mark &= ~settings->hold_mark;
	if (skb->mark == settings->answer_mark)
		skb->mark = 0;
	return 0;
}

static __always_inline int judge_packet(struct __sk_buff *skb, enum direction direction, enum place place)
{
	struct container *container = container_of_socket(skb);
	struct packet p = {};
	struct party me;
	enum reason reason;

	if (unlikely(!container)) {
		count_drop(REASON_NO_TABLE, skb->len);
		return DROP;
	}
	/* A container that may set marks must not have its packets pass for ones that we have marked. */
	if (direction == DIRECTION_EGRESS && unlikely(skb->mark))
		clear_mark(skb);
	me.endpoint = container->endpoint;
	me.slot = container->slot;
	reason = parse_packet(skb, 0, skb->protocol, &p);
	if (likely(!reason) && unlikely(p.later_fragment))
		reason = resolve_fragment(skb, &p, me.endpoint);
	if (likely(!reason) && unlikely(p.kind == PACKET_NEIGHBOUR) && (direction == DIRECTION_INGRESS || stays_on_link(skb, &p)))
		return PASS;
	if (likely(!reason) && unlikely(p.kind == PACKET_ERROR)) {
		if (is_related(skb, &p, me.endpoint | (place == PLACE_CONTAINER ? SCOPE_CONTAINER : 0), direction))
			return PASS;
		reason = REASON_UNRELATED;
	}
	if (unlikely(reason)) {
		refuse_packet(skb, &p, &me, direction, reason);
		return DROP;
	}
	if (judge(skb, &p, &me, direction, place, true) != OUTCOME_PASS)
		return DROP;
	if (unlikely(p.first_fragment))
		remember_fragment(skb, &p, me.endpoint);
	return PASS;
}

SEC("cgroup_skb/egress")
int from_host_endpoint(struct __sk_buff *skb)
{
	return judge_packet(skb, DIRECTION_EGRESS, PLACE_HOST);
}

SEC("cgroup_skb/ingress")
int to_host_endpoint(struct __sk_buff *skb)
{
	return judge_packet(skb, DIRECTION_INGRESS, PLACE_HOST);
}

SEC("cgroup_skb/ingress")
int to_container(struct __sk_buff *skb)
{
	return judge_packet(skb, DIRECTION_INGRESS, PLACE_CONTAINER);
}
