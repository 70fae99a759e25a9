/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * host: cgroup_skb programs, for endpoints that an interface cannot tell apart.
 *
 *   from_host_endpoint, to_host_endpoint   what an endpoint on the host's network sends and receives
 *   to_container                           what reaches one of several containers behind one veth; what such a
 *                                          container sends is judged at the veth, where its cgroup shows
 *   find_receiver                          at no door: the agent runs it, to know whom a port of the host's leads to
 *
 * They are attached to the container's own cgroup and so run for its sockets only, and for those in cgroups
 * below. They decide (1 passes, 0 drops), change nothing, and share every table with `network`. Packets that no
 * socket receives (a closed port, an echo request on the host's network) do not come here. What has to wait for a
 * handshake is dropped here, so that its sender learns nothing of it (2), after the agent has got a copy (lib/hold.h):
 * it has been routed already. Of an endpoint in a namespace of its own, from where the agent cannot send, it is only
 * dropped, where a policy restricts its sender. Refused packets are not answered here.
 *
 * What a packet costs: as in `network`, with the socket's cgroup looked up in place of the interface.
 */

#define NETWORK_HEADER 0
#define WITH_TAKING
#include "lib/judge.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define PASS 1
#define DROP 0
#define DROP_QUIETLY 2 /* as a link does that is full */

/* How deep below its container's cgroup a process may have moved. */
#define LEVELS_MAX 12

/* The container at `cgroup`, or at one above it; `ancestor` tells that of a level below the root. */
#define CONTAINER_AT(cgroup, ancestor)                                              \
	({                                                                          \
		__u64 at = cgroup;                                                  \
		struct container *found = bpf_map_lookup_elem(&containers, &at);    \
		for (int level = 1; !found && level <= LEVELS_MAX; level++) {       \
			at = ancestor;                                              \
			if (!at)                                                    \
				break;                                              \
			found = bpf_map_lookup_elem(&containers, &at);              \
		}                                                                   \
		found;                                                              \
	})

static __always_inline struct container *container_of_socket(struct __sk_buff *skb)
{
	return CONTAINER_AT(bpf_skb_cgroup_id(skb), bpf_skb_ancestor_cgroup_id(skb, level));
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
	enum outcome outcome;
	enum reason reason;
	struct party me;

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
	outcome = judge(skb, &p, &me, direction, place, true, container->flags & CONTAINER_HERE);
	if (direction == DIRECTION_EGRESS && unlikely(outcome == OUTCOME_TAKEN))
		return DROP_QUIETLY;
	if (outcome != OUTCOME_PASS)
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

static __always_inline struct bpf_sock *socket_at(struct __sk_buff *skb, const struct receiver_question *question)
{
	const __u32 *words = (const __u32 *)question->address.bytes;
	bool ipv4 = !words[0] && !words[1] && words[2] == bpf_htonl(0xffff);
	struct bpf_sock_tuple tuple = {};
	__u32 size;

	if (ipv4) {
		tuple.ipv4.daddr = words[3];
		tuple.ipv4.dport = question->port;
		size = sizeof(tuple.ipv4);
	} else {
		__builtin_memcpy(tuple.ipv6.daddr, words, sizeof(tuple.ipv6.daddr));
		tuple.ipv6.dport = question->port;
		size = sizeof(tuple.ipv6);
	}
	if (question->protocol == IPPROTO_TCP)
		return bpf_sk_lookup_tcp(skb, &tuple, size, BPF_F_CURRENT_NETNS, 0);
	if (question->protocol == IPPROTO_UDP)
		return bpf_sk_lookup_udp(skb, &tuple, size, BPF_F_CURRENT_NETNS, 0);
	return NULL;
}

/* Runs on a `struct receiver_question`. 1: `cb` is the `struct receiver`; 0: it is nobody we know. */
SEC("cgroup_skb/ingress")
int find_receiver(struct __sk_buff *skb)
{
	struct receiver_question question;
	struct container *container;
	struct bpf_sock *socket;
	struct owner *owner;

	if (bpf_skb_load_bytes(skb, 0, &question, sizeof(question)))
		return 0;
	/* Whoever listens on all addresses is not at those of others. */
	owner = owner_of(&question.address);
	if (!owner || owner->endpoint)
		return 0;
	socket = socket_at(skb, &question);
	if (!socket)
		return 0;
	container = CONTAINER_AT(bpf_sk_cgroup_id(socket), bpf_sk_ancestor_cgroup_id(socket, level));
	bpf_sk_release(socket);
	if (!container)
		return 0;
	skb->cb[0] = container->endpoint;
	skb->cb[1] = container->slot;
	return 1;
}
