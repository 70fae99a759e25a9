/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef SALLYPORT_IDENTITY_H
#define SALLYPORT_IDENTITY_H

/* Who a packet's ends are: from the interface and the socket's cgroup on this side, from the address on the other. */

#include "maps.h"
#include "parse.h"
#include "flow.h"
#include "drops.h"
#include "question.h"
#ifdef WITH_CONNTRACK
#include "conntrack.h"
#endif

/* A sender entry older than this was not made by the packet in hand. */
#define SENDER_FRESH SECOND

/* Kernels before 6.8 take no key from memory that a FUNCTION was given, hence the copy. */
static __always_inline struct owner *owner_of(const struct address *address)
{
	struct address key = *address;

	return bpf_map_lookup_elem(&addresses, &key);
}

static __always_inline bool owns(__u32 endpoint, const struct address *address)
{
	struct owner *owner = owner_of(address);

	return owner && owner->endpoint == endpoint;
}

/* Neighbour discovery that no router carries on: a hop limit of 255 alone does not keep a packet on the link. */
FUNCTION stays_on_link(struct __sk_buff *skb, const struct packet *p)
{
	const __u8 *to;

	if (!p)
		return false;
	to = p->destination.bytes;
	return is_multicast(&p->destination) || (to[0] == 0xfe && (to[1] & 0xc0) == 0x80) || owner_of(&p->destination);
}

/* The container of a shared endpoint that owns the sending socket; its slot, or 0 where no socket tells. */
static __always_inline __u32 container_slot(struct __sk_buff *skb, const struct interface *interface)
{
	__u64 cgroup = bpf_skb_ancestor_cgroup_id(skb, interface->cgroup_level);
	struct container *container;

	if (!cgroup)
		return 0;
	container = bpf_map_lookup_elem(&containers, &cgroup);
	if (!container)
		return 0;
	if (container->endpoint != interface->endpoint) {
		count_incident(INCIDENT_CONTRADICTION);
		return 0;
	}
	return container->slot;
}

/* Whom a packet to this address and port is for. */
static __always_inline void addressed_peer(const struct address *address, __u8 protocol, __be16 port, struct peer *peer)
{
	struct frontend_key key = { .address = *address, .port = port, .protocol = protocol };
	struct owner *owner = owner_of(address);
	struct backend *backend;

	peer->port = port;
	if (owner && owner->endpoint) {
		peer->party.endpoint = owner->endpoint;
		peer->party.slot = owner->slot;
		return;
	}
	backend = bpf_map_lookup_elem(&frontends, &key);
	if (backend) {
		peer->party.slot = backend->slot;
		peer->port = backend->port;
		peer->flags = backend->flags;
	} else {
		peer->party.slot = owner || is_loopback(address) ? SLOT_HOST : SLOT_WORLD;
	}
}

static __always_inline void refine_sender(const struct address *address, __u8 protocol, __be16 port, __u32 known,
					  struct party *party)
{
	struct sender_key key = { .address = *address, .port = port, .protocol = protocol };
	struct sender *sender = bpf_map_lookup_elem(&senders, &key);

	if (!sender)
		return;
	/* In the middle of a conversation the entry may be old, if it still says the same. */
	if (sender->slot != known && bpf_ktime_get_coarse_ns() - sender->seen > SENDER_FRESH)
		return;
	party->endpoint = sender->endpoint;
	party->slot = sender->slot;
}

/* Makes the next packet of this flow be decided again, if there is such a flow. */
static __always_inline void doubt_flow(const struct flow_key *key)
{
	struct settings *settings = settings_now();
	struct flow *flow = bpf_map_lookup_elem(&flows, key);

	if (flow && settings)
		flow->revision = settings->revision - 1;
}

/*
 * Notes which container sends from a port of an address it does not have for itself. Where another did before, what
 * was decided for that one, here and where the packet is going, does not hold for this one.
 */
FUNCTION remember_sender(struct __sk_buff *skb, const struct packet *p, const struct party *me)
{
	struct sender sender = { .seen = bpf_ktime_get_coarse_ns() };
	struct sender_key key = {};
	struct sender *before;
	struct owner *receiver;
	struct flow_key flow;
	__u32 other = 0;

	if (!p || !me)
		return 0;
	key.address = p->source;
	key.port = p->source_port;
	key.protocol = p->protocol;
	sender.endpoint = me->endpoint;
	sender.slot = me->slot;
	before = bpf_map_lookup_elem(&senders, &key);
	if (before && (before->slot != me->slot || before->endpoint != me->endpoint))
		other = before->endpoint;
	bpf_map_update_elem(&senders, &key, &sender, BPF_ANY);
	if (likely(!other))
		return 0;
	flow_key(&flow, other, p, DIRECTION_EGRESS);
	doubt_flow(&flow);
	receiver = owner_of(&p->destination);
	if (!receiver || !receiver->endpoint)
		return 0;
	flow_key(&flow, receiver->endpoint, p, DIRECTION_INGRESS);
	doubt_flow(&flow);
	flow.endpoint |= SCOPE_CONTAINER;
	doubt_flow(&flow);
	return 0;
}

/*
 * Who the remote end of a conversation opened from there is. `known` is the slot an earlier packet found, or 0.
 * An address of the host itself may hide a container: one on the host's network, or one behind a rewritten
 * source.
 */
static __always_inline void sending_peer(struct __sk_buff *skb, const struct packet *p, const struct address *address,
					 __be16 port, __u32 known, struct peer *peer)
{
	struct owner *owner = owner_of(address);

	peer->party.slot = SLOT_WORLD;
	if (owner) {
		peer->party.endpoint = owner->endpoint;
		peer->party.slot = owner->slot;
		if (owner->endpoint && !(owner->flags & OWNER_SHARED))
			return;
	} else if (is_loopback(address)) {
		peer->party.slot = SLOT_HOST;
	} else {
		return;
	}
#ifdef WITH_CONNTRACK
	/* First: a rewritten source may have the port that a container on the host's network has just sent from. */
	if (!peer->party.endpoint) {
		struct connection connection = {};

		read_connection(skb, p, &connection, TRACKED_SOURCE);
		/* Not where this end opened what is tracked: it would be taken for a sender to itself. */
		if (connection.known && connection.reversed != same_address(&p->source, address) &&
		    !same_address(&connection.address, address)) {
			owner = owner_of(&connection.address);
			if (!owner || !owner->endpoint)
				return;
			peer->party.endpoint = owner->endpoint;
			peer->party.slot = owner->slot;
			if (owner->flags & OWNER_SHARED)
				refine_sender(&connection.address, p->protocol, connection.port, known,
					      &peer->party);
			return;
		}
	}
#endif
	refine_sender(address, p->protocol, port, known, &peer->party);
}

#endif
