/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef SALLYPORT_PARSE_H
#define SALLYPORT_PARSE_H

/*
 * From bytes to a packet. Parsed right or refused, never waved through: options and extension headers are
 * walked, headers shorter than they claim are refused, later fragments borrow the ports of their first one.
 * The common case costs two reads of packet memory and no helper call.
 */

#include "headers.h"

/* The link's own business in IPv6: needed before any policy can be met. */
static __always_inline bool is_neighbour_message(const struct packet *p)
{
	switch (p->icmp_type) {
	case ICMPV6_ROUTER_SOLICITATION:
	case ICMPV6_ROUTER_ADVERTISEMENT:
	case ICMPV6_NEIGHBOUR_SOLICITATION:
	case ICMPV6_NEIGHBOUR_ADVERTISEMENT:
	case ICMPV6_REDIRECT:
		return p->hop_limit == 255;
	case ICMPV6_MLD_QUERY ... ICMPV6_MLD_DONE:
	case ICMPV6_MLD_V2_REPORT:
		return p->hop_limit == 1 && is_multicast(&p->destination);
	}
	return false;
}

static __always_inline bool is_icmp_error(const struct packet *p)
{
	if (p->protocol == IPPROTO_ICMPV6)
		return p->icmp_type <= ICMPV6_ERROR_LAST;
	return p->icmp_type == ICMP_UNREACHABLE || p->icmp_type == ICMP_TIME_EXCEEDED ||
	       p->icmp_type == ICMP_PARAMETER_PROBLEM;
}

/*
 * What stands for ports in ICMP. The one who asks for an echo has the identifier, the other end none: the answer is of
 * the same flow, a question back is not. Every other type is a flow of its own in each direction, so that nothing
 * rides on an allowed echo. Identifier 0 is told apart from "none".
 */
static __always_inline void icmp_ports(struct packet *p, __be16 id)
{
	id = id ? id : PORT_MESSAGE;
	if (p->icmp_type == (p->ipv6 ? ICMPV6_ECHO : ICMP_ECHO)) {
		p->source_port = id;
		p->destination_port = 0;
	} else if (p->icmp_type == (p->ipv6 ? ICMPV6_ECHO_REPLY : ICMP_ECHO_REPLY)) {
		p->source_port = 0;
		p->destination_port = id;
	} else {
		p->source_port = PORT_MESSAGE;
		p->destination_port = bpf_htons(p->icmp_type);
	}
}

/* The type again, of a later fragment. */
static __always_inline __u8 icmp_type_of_ports(const struct packet *p)
{
	if (!p->destination_port)
		return p->ipv6 ? ICMPV6_ECHO : ICMP_ECHO;
	if (!p->source_port)
		return p->ipv6 ? ICMPV6_ECHO_REPLY : ICMP_ECHO_REPLY;
	return bpf_ntohs(p->destination_port);
}

/* Ports, flags and types. */
static __always_inline enum reason parse_transport(struct __sk_buff *skb, struct packet *p)
{
	union {
		struct tcp_head tcp;
		struct icmp_head icmp;
		__be16 ports[2];
	} head;

	switch (p->protocol) {
	case IPPROTO_TCP:
		if (read_packet(skb, p->l4, &head.tcp, sizeof(head.tcp)))
			return p->first_fragment ? REASON_FRAGMENT : REASON_TRUNCATED;
		if (head.tcp.offset >> 4 < 5)
			return REASON_HEADER;
		p->source_port = head.tcp.source;
		p->destination_port = head.tcp.destination;
		p->tcp_flags = head.tcp.flags;
		return REASON_NONE;
	case IPPROTO_UDP:
	case IPPROTO_UDPLITE:
	case IPPROTO_SCTP:
	case IPPROTO_DCCP:
		if (read_packet(skb, p->l4, &head.icmp, sizeof(head.icmp)))
			return REASON_TRUNCATED;
		p->source_port = head.ports[0];
		p->destination_port = head.ports[1];
		return REASON_NONE;
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		if (read_packet(skb, p->l4, &head.icmp, sizeof(head.icmp)))
			return REASON_TRUNCATED;
		if (p->ipv6 != (p->protocol == IPPROTO_ICMPV6))
			return REASON_HEADER;
		p->icmp_type = head.icmp.type;
		icmp_ports(p, head.icmp.id);
		if (is_icmp_error(p)) {
			p->kind = PACKET_ERROR;
		} else if (p->protocol == IPPROTO_ICMPV6 && is_neighbour_message(p)) {
			p->kind = PACKET_NEIGHBOUR;
		}
		return REASON_NONE;
	}
	return REASON_NONE;
}

static __always_inline enum reason parse_ipv4(struct __sk_buff *skb, __u32 l3, struct packet *p)
{
	struct ipv4_header ip;
	__u32 header, length, fragment;

	if (read_packet(skb, l3, &ip, sizeof(ip)))
		return REASON_TRUNCATED;
	header = (ip.version_length & 0xf) * 4;
	if (ip.version_length >> 4 != 4 || header < sizeof(ip))
		return REASON_HEADER;
	/* zero is a segmented buffer of more than 64 KiB, which only this kernel can have made */
	length = bpf_ntohs(ip.length);
	if (length < header + 8 && (length || skb->len <= 0xffff))
		return length < header ? REASON_HEADER : REASON_TRUNCATED;
	map_ipv4(&p->source, ip.source);
	map_ipv4(&p->destination, ip.destination);
	p->protocol = ip.protocol;
	p->hop_limit = ip.ttl;
	p->l4 = l3 + header;
	fragment = bpf_ntohs(ip.fragment) & 0x3fff;
	if (unlikely(fragment)) {
		p->fragment_id = ip.id;
		p->first_fragment = (fragment & 0x1fff) == 0;
		p->later_fragment = !p->first_fragment;
		/* RFC 1858: an offset of 1 rewrites the flags of the first fragment's TCP header */
		if (ip.protocol == IPPROTO_TCP && (fragment & 0x1fff) == 1)
			return REASON_FRAGMENT;
		/* what follows the packet in its frame is no part of its header */
		if (ip.protocol == IPPROTO_TCP && p->first_fragment && length < header + sizeof(struct tcp_head))
			return REASON_FRAGMENT;
	}
	return REASON_NONE;
}

struct extension {
	__u8 next;
	__u8 length;
	__u8 body[6];
};

/* Bytes of a transport header that are read. */
static __always_inline __u32 transport_size(__u8 protocol)
{
	switch (protocol) {
	case IPPROTO_TCP:
		return sizeof(struct tcp_head);
	case IPPROTO_UDP:
	case IPPROTO_UDPLITE:
	case IPPROTO_SCTP:
	case IPPROTO_DCCP:
	case IPPROTO_ICMPV6:
		return 8;
	}
	return 0;
}

/*
 * `end` is where the packet ends by its own account: behind it there may be padding, which the receiver cuts off, and
 * which must not pass for the header that a later fragment brings.
 */
static __always_inline enum reason parse_extensions(struct __sk_buff *skb, struct packet *p, __u8 next, __u32 end)
{
	struct extension extension;
	__u32 offset = p->l4;

	for (int i = 0; i < EXTENSIONS_MAX; i++) {
		if (next != NEXT_HOP_BY_HOP && next != NEXT_ROUTING && next != NEXT_FRAGMENT && next != NEXT_AUTHENTICATION &&
		    next != NEXT_DESTINATION && next != NEXT_MOBILITY) {
			p->protocol = next;
			p->l4 = offset;
			return offset + transport_size(next) > end ? REASON_TRUNCATED : REASON_NONE;
		}
		if (bpf_skb_load_bytes(skb, offset, &extension, sizeof(extension)))
			return REASON_TRUNCATED;
		if (next == NEXT_ROUTING && extension.body[0] == 0)
			return REASON_EXTENSIONS; /* RFC 5095 */
		if (next == NEXT_FRAGMENT) {
			__u32 place = extension.body[0] << 8 | extension.body[1];

			p->fragment_id = extension.body[2] | extension.body[3] << 8 | extension.body[4] << 16 |
					 (__u32)extension.body[5] << 24;
			p->first_fragment = !(place >> 3) && (place & 1);
			p->later_fragment = place >> 3 != 0;
			offset += 8;
			if (p->later_fragment) {
				if (extension.next == IPPROTO_TCP && place >> 3 == 1)
					return REASON_FRAGMENT;
				p->protocol = extension.next;
				p->l4 = offset;
				return REASON_NONE;
			}
		} else if (next == NEXT_AUTHENTICATION) {
			offset += (extension.length + 2) * 4;
		} else {
			offset += (extension.length + 1) * 8;
		}
		next = extension.next;
	}
	return REASON_EXTENSIONS;
}

static __always_inline enum reason parse_ipv6(struct __sk_buff *skb, __u32 l3, struct packet *p)
{
	struct ipv6_header ip;
	__u32 length;

	if (read_packet(skb, l3, &ip, sizeof(ip)))
		return REASON_TRUNCATED;
	if (ip.version_class >> 4 != 6)
		return REASON_HEADER;
	p->ipv6 = 1;
	p->source = ip.source;
	p->destination = ip.destination;
	p->hop_limit = ip.hop_limit;
	p->l4 = l3 + sizeof(ip);
	/* An IPv4 address in IPv6 clothes on the wire would be taken for the real one. */
	if (!((__u64 *)&ip.source)[0] && ((__u32 *)&ip.source)[2] == bpf_htonl(0xffff))
		return REASON_HEADER;
	if (!((__u64 *)&ip.destination)[0] && ((__u32 *)&ip.destination)[2] == bpf_htonl(0xffff))
		return REASON_HEADER;
	switch (ip.next) {
	case IPPROTO_TCP:
	case IPPROTO_UDP:
	case IPPROTO_ICMPV6:
		p->protocol = ip.next;
		return REASON_NONE;
	}
	length = bpf_ntohs(ip.length);
	/* zero: as in IPv4 */
	return parse_extensions(skb, p, ip.next, length || skb->len <= 0xffff ? p->l4 + length : ~0U);
}

static __always_inline void fragment_key(struct fragment_key *key, const struct packet *p, __u32 endpoint)
{
	__builtin_memset(key, 0, sizeof(*key));
	key->endpoint = endpoint;
	key->id = p->fragment_id;
	key->source = p->source;
	key->destination = p->destination;
	key->protocol = p->protocol;
}

/* Ports of a later fragment: those its first one had. */
FUNCTION resolve_fragment(struct __sk_buff *skb, struct packet *p, __u32 endpoint)
{
	struct fragment_key key;
	struct fragment *first;

	if (!p)
		return REASON_FRAGMENT;
	fragment_key(&key, p, endpoint);
	first = bpf_map_lookup_elem(&fragments, &key);
	/* 30 s: how long a receiver waits for the rest (net.ipv4.ipfrag_time) */
	if (!first || bpf_ktime_get_coarse_ns() - first->seen > 30 * SECOND)
		return REASON_FRAGMENT;
	p->source_port = first->source_port;
	p->destination_port = first->destination_port;
	if (p->protocol == IPPROTO_ICMP || p->protocol == IPPROTO_ICMPV6)
		p->icmp_type = icmp_type_of_ports(p);
	return REASON_NONE;
}

/* Lets the later fragments follow a first one that has passed; a refused one takes no room from others. */
FUNCTION remember_fragment(struct __sk_buff *skb, const struct packet *p, __u32 endpoint)
{
	struct fragment_key key;
	struct fragment seen = { .seen = bpf_ktime_get_coarse_ns() };

	if (!p)
		return 0;
	fragment_key(&key, p, endpoint);
	seen.source_port = p->source_port;
	seen.destination_port = p->destination_port;
	bpf_map_update_elem(&fragments, &key, &seen, BPF_ANY);
	return 0;
}

/* Parses the IP packet at `l3`. `protocol` is an ethertype in network order. */
static __always_inline enum reason parse_packet(struct __sk_buff *skb, __u32 l3, __be16 protocol, struct packet *p)
{
	enum reason reason;

	if (protocol == bpf_htons(ETH_P_IP))
		reason = parse_ipv4(skb, l3, p);
	else
		reason = parse_ipv6(skb, l3, p);
	if (reason || p->later_fragment)
		return reason;
	return parse_transport(skb, p);
}

#endif
