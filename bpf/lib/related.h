/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef SALLYPORT_RELATED_H
#define SALLYPORT_RELATED_H

/* ICMP errors: whether the packet they speak about is one that was let through. */

#include "flow.h"

/* The packet an ICMP error speaks about; false where that cannot be read. */
FUNCTION quoted_packet(struct __sk_buff *skb, const struct packet *p, struct packet *inner)
{
	struct icmp_head head;
	__u8 version = 0;
	__u32 start;

	if (!p || !inner)
		return false;
	__builtin_memset(inner, 0, sizeof(*inner));
	start = p->l4 + sizeof(head);
	if (bpf_skb_load_bytes(skb, start, &version, 1))
		return false;
	if ((version >> 4 == 4 ? parse_ipv4(skb, start, inner) : parse_ipv6(skb, start, inner)) || inner->later_fragment)
		return false;
	/* Errors go to who sent the packet, and to nobody else. */
	if (!same_address(&p->destination, &inner->source))
		return false;
	/* Eight bytes of the transport header are all an error must carry: RFC 792. */
	if (bpf_skb_load_bytes(skb, inner->l4, &head, sizeof(head)))
		return false;
	switch (inner->protocol) {
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		inner->icmp_type = head.type;
		icmp_ports(inner, head.id);
		break;
	case IPPROTO_TCP:
	case IPPROTO_UDP:
	case IPPROTO_UDPLITE:
	case IPPROTO_SCTP:
	case IPPROTO_DCCP:
		inner->source_port = ((__be16 *)&head)[0];
		inner->destination_port = ((__be16 *)&head)[1];
		break;
	}
	return true;
}

/* True when that packet is of a flow that was let through. `direction` is the error's. */
FUNCTION flow_of_quoted(const struct packet *inner, __u32 endpoint, enum direction direction)
{
	struct settings *settings = settings_now();
	struct flow_key key;
	struct flow *flow;

	if (!inner || !settings)
		return false;
	flow_key(&key, endpoint, inner, direction == DIRECTION_INGRESS ? DIRECTION_EGRESS : DIRECTION_INGRESS);
	flow = bpf_map_lookup_elem(&flows, &key);
	if (!flow || flow->verdict == VERDICT_DENY ||
	    bpf_ktime_get_coarse_ns() - flow->seen >= flow_lifetime(flow, inner->protocol))
		return false;
	/* What the endpoint says of a packet it cannot have had, to somebody nobody knows yet, is payload. */
	if (flow->flags & FLOW_PENDING)
		return direction == DIRECTION_INGRESS;
	/* The packet that met the error was judged a moment ago: a flow of another policy has not been. */
	return flow->revision == settings->revision;
}

static __always_inline bool is_related(struct __sk_buff *skb, const struct packet *p, __u32 endpoint,
				       enum direction direction)
{
	struct packet inner;

	return quoted_packet(skb, p, &inner) && flow_of_quoted(&inner, endpoint, direction);
}

#endif
