/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef SALLYPORT_ADMIT_H
#define SALLYPORT_ADMIT_H

/* Whether a packet may be where it is met, whatever the policy. */

#include "identity.h"

/* How the endpoint's own side is proven. */
enum place {
	PLACE_INTERFACE = 0, /* its own veth: its addresses are listed */
	PLACE_HOST = 1,      /* its cgroup: on the host's network, or behind no veth */
	PLACE_SHARED = 2,    /* a veth of several containers: what reaches their sockets is judged there */
	PLACE_CONTAINER = 3, /* one of those */
	PLACE_REST = 4,      /* such a veth, for what reaches no socket */
};

/*
 * Behind a veth every address an endpoint may send from is listed. At a cgroup it may also be one that only its own
 * namespace knows (macvlan, ipvlan); what it must not bear is another endpoint's.
 */
FUNCTION source_is_own(struct __sk_buff *skb, const struct packet *p, __u32 endpoint, enum place place)
{
	struct owner *owner;

	if (!p)
		return false;
	if (place == PLACE_CONTAINER)
		return true;
	owner = owner_of(&p->source);
	if (place == PLACE_HOST)
		return !owner || !owner->endpoint;
	return owner && owner->endpoint == endpoint;
}

/*
 * At a veth nothing arrives for others but what is sent to all. A container on a bridge can attract what is meant for
 * another (with frames that bear its hardware address), or be sent it by an accomplice. *own is false where the
 * destination is a broadcast's or a group's: then there must be no flow, which would let answers out in its name.
 */
static __always_inline bool is_stray(struct __sk_buff *skb, const struct packet *p, const struct party *me, bool *own)
{
	struct owner *owner = owner_of(&p->destination);
	__u8 hardware = 0;

	if (owner)
		return owner->endpoint != me->endpoint;
	*own = false;
	return bpf_skb_load_bytes(skb, 0, &hardware, 1) || !(hardware & 1);
}

static __always_inline bool at_veth(enum place place)
{
	return place == PLACE_INTERFACE || place == PLACE_SHARED || place == PLACE_REST;
}

/* A packet that claims a local source must not have come from outside the node. */
static __always_inline bool came_from_uplink(struct __sk_buff *skb, const struct packet *p)
{
	__u32 ifindex = skb->ingress_ifindex;
	struct interface *interface = bpf_map_lookup_elem(&interfaces, &ifindex);

	return interface && interface->flags & INTERFACE_UPLINK && owner_of(&p->source);
}

/* Whether the packet may be here at all, before any policy. *own: see is_stray. */
static __always_inline enum reason admit(struct __sk_buff *skb, const struct packet *p, const struct question *q,
					 enum place place, bool *own)
{
	if (q->direction == DIRECTION_EGRESS)
		return source_is_own(skb, p, q->me.endpoint, place) ? REASON_NONE : REASON_SPOOFED;
	if (!at_veth(place))
		return REASON_NONE;
	if (came_from_uplink(skb, p))
		return REASON_SPOOFED;
	return is_stray(skb, p, &q->me, own) ? REASON_STRAY : REASON_NONE;
}

#endif
