/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef SALLYPORT_HEADERS_H
#define SALLYPORT_HEADERS_H

/* Headers as they lie on the wire, reading them, and what is kept of a packet. */

#include "maps.h"

/* Where the network header begins: behind the link's, unless the object's programs see none. */
#ifndef NETWORK_HEADER
#define NETWORK_HEADER ETH_HLEN
#endif

#define TCP_FIN 0x01
#define TCP_SYN 0x02
#define TCP_RST 0x04
#define TCP_ACK 0x10

#define ICMP_ECHO_REPLY 0
#define ICMP_UNREACHABLE 3
#define ICMP_ECHO 8
#define ICMP_TIME_EXCEEDED 11
#define ICMP_PARAMETER_PROBLEM 12
#define ICMPV6_ERROR_LAST 4
#define ICMPV6_ECHO 128
#define ICMPV6_ECHO_REPLY 129
#define ICMPV6_ROUTER_SOLICITATION 133
#define ICMPV6_ROUTER_ADVERTISEMENT 134
#define ICMPV6_NEIGHBOUR_SOLICITATION 135
#define ICMPV6_NEIGHBOUR_ADVERTISEMENT 136
#define ICMPV6_REDIRECT 137
#define ICMPV6_MLD_QUERY 130
#define ICMPV6_MLD_DONE 132
#define ICMPV6_MLD_V2_REPORT 143

#define NEXT_HOP_BY_HOP 0
#define NEXT_ROUTING 43
#define NEXT_FRAGMENT 44
#define NEXT_AUTHENTICATION 51
#define NEXT_DESTINATION 60
#define NEXT_MOBILITY 135
#define EXTENSIONS_MAX 8

#define PORT_MESSAGE 0xffff /* ICMP that is no echo, see icmp_ports */

enum packet_kind {
	PACKET_PLAIN = 0,
	PACKET_ERROR = 1,     /* an ICMP error: speaks about another packet, behind its head */
	PACKET_NEIGHBOUR = 2, /* neighbour and multicast-listener discovery on the link */
};

struct packet {
	struct address source;
	struct address destination;
	__be16 source_port;
	__be16 destination_port;
	__u8 protocol;
	__u8 tcp_flags;
	__u8 icmp_type;
	__u8 kind;
	__u8 later_fragment;
	__u8 first_fragment;
	__u8 hop_limit;
	__u8 ipv6;
	__u32 fragment_id;
	__u32 l4; /* offset of the transport header */
};

struct ipv4_header {
	__u8 version_length;
	__u8 tos;
	__be16 length;
	__be16 id;
	__be16 fragment;
	__u8 ttl;
	__u8 protocol;
	__u16 checksum;
	__u8 source[4];
	__u8 destination[4];
} __attribute__((aligned(4)));

struct ipv6_header {
	__u8 version_class;
	__u8 flow[3];
	__be16 length;
	__u8 next;
	__u8 hop_limit;
	struct address source;
	struct address destination;
} __attribute__((aligned(4)));

struct tcp_head {
	__be16 source;
	__be16 destination;
	__be32 sequence;
	__be32 acknowledged;
	__u8 offset;
	__u8 flags;
	__be16 window;
	__be16 checksum;
	__be16 urgent;
} __attribute__((aligned(4)));

struct icmp_head {
	__u8 type;
	__u8 code;
	__be16 checksum;
	__be16 id;
	__be16 sequence;
} __attribute__((aligned(4)));

/*
 * Copies the header `to` points at from `offset`, out of packet memory where it is mapped, else through the
 * helper. Headers are declared aligned as the stack aligns them, so that this is words and not bytes.
 */
#define read_packet(skb, offset, to, size)                                                   \
	({                                                                                   \
		void *data_ = (void *)(long)(skb)->data;                                     \
		void *end_ = (void *)(long)(skb)->data_end;                                  \
		__u32 offset_ = (offset)&0x7fff;                                             \
		int failed_ = 0;                                                             \
		if (likely(data_ + offset_ + (size) <= end_))                                \
			__builtin_memcpy((to), data_ + offset_, (size));                     \
		else                                                                         \
			failed_ = bpf_skb_load_bytes((skb), offset_, (to), (size)) ? 1 : 0; \
		failed_;                                                                     \
	})

static __always_inline void map_ipv4(struct address *to, const __u8 from[4])
{
	__builtin_memset(to->bytes, 0, 10);
	to->bytes[10] = to->bytes[11] = 0xff;
	__builtin_memcpy(&to->bytes[12], from, 4);
}

static __always_inline bool same_address(const struct address *a, const struct address *b)
{
	const __u32 *x = (const __u32 *)a, *y = (const __u32 *)b;

	return x[3] == y[3] && x[2] == y[2] && x[1] == y[1] && x[0] == y[0];
}

static __always_inline bool is_multicast(const struct address *a)
{
	return a->bytes[0] == 0xff;
}

/* 127.0.0.0/8 and ::1 */
static __always_inline bool is_loopback(const struct address *a)
{
	const __u32 *word = (const __u32 *)a->bytes;

	if (word[0] || word[1])
		return false;
	if (word[2] == bpf_htonl(0xffff))
		return a->bytes[12] == 127;
	return !word[2] && word[3] == bpf_htonl(1);
}

#endif
