/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef SALLYPORT_ANSWER_H
#define SALLYPORT_ANSWER_H

/*
 * What a refused packet is answered with, where both ends are known by name: a connection that will not be ends at
 * once. The packet itself becomes the answer and goes back, or on:
 *
 *   met at       refused        becomes                             and goes
 *   its sender   SYN, datagram  RST or ICMP in the receiver's name  back to the sender
 *   its receiver SYN, datagram  the same                            in at this interface, as if the endpoint sent it
 *   its receiver SYN-ACK        a RST for each end                  both ways
 *
 * On its way past these programs it bears a mark, `answer_mark`. Checksums are made anew, and in full: the packet's
 * own may be one that a device was to finish.
 */

#include "verified.h"

#define TC_PASS (-1)
#define TC_DROP 2
#define TC_REDIRECT 7

#define ETH_ALEN 6
#define IP_DONT_FRAGMENT 0x4000
#define PROHIBITED 13  /* the code of an ICMP unreachable error, RFC 1812 */
#define PROHIBITED6 1  /* RFC 4443 */
#define ICMPV6_UNREACHABLE 1

#define IP_SIZE(ipv6) ((ipv6) ? sizeof(struct ipv6_header) : sizeof(struct ipv4_header))
#define QUOTE_SIZE(ipv6) (IP_SIZE(ipv6) + 8)
#define ERROR_SIZE(ipv6) (sizeof(struct icmp_head) + QUOTE_SIZE(ipv6))

/* The answer being made. */
struct answer {
	__be32 sequence;
	__be32 acknowledged;
	__u8 flags; /* of a TCP segment */
	__u8 back;  /* it goes where the packet came from */
	__u16 pad;
};

static __always_inline __u16 fold(__u32 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

/* The sum over both addresses, protocol and length. An IPv4 address in IPv6 clothes adds what adds nothing: 0xffff. */
static __always_inline __u32 pseudo_sum(const struct packet *p, __u8 protocol, __u32 length)
{
	__be32 tail[2] = { bpf_htonl(length), bpf_htonl(protocol) };
	__u32 sum = bpf_csum_diff(NULL, 0, tail, sizeof(tail), 0);

	/* whichever of the two is the source */
	return bpf_csum_diff(NULL, 0, (__be32 *)&p->source, 2 * sizeof(struct address), sum);
}

/*
 * Makes the packet one of `size` bytes behind the link's header, none of which mean anything yet. More is cut off in
 * front than lies before the transport header: then the kernel knows that no device has a checksum to finish.
 */
FUNCTION clear_packet(struct __sk_buff *skb, __u32 ipv6, __u32 size)
{
	__s32 cut = IP_SIZE(ipv6) + ETH_HLEN + 2;

	if (bpf_skb_change_tail(skb, ETH_HLEN + cut + IP_SIZE(ipv6), 0) ||
	    bpf_skb_adjust_room(skb, -cut, BPF_ADJ_ROOM_MAC, 0))
		return -1;
	return bpf_skb_change_tail(skb, ETH_HLEN + size, 0);
}

/* Writes the network header. */
FUNCTION write_network(struct __sk_buff *skb, const struct packet *p, const struct answer *a, __u32 protocol, __u32 length)
{
	const struct address *from, *to;
	union {
		struct ipv4_header v4;
		struct ipv6_header v6;
	} ip = {};

	if (!p || !a)
		return -1;
	from = a->back ? &p->destination : &p->source;
	to = a->back ? &p->source : &p->destination;
	if (p->ipv6) {
		ip.v6.version_class = 0x60;
		ip.v6.length = bpf_htons(length);
		ip.v6.next = protocol;
		ip.v6.hop_limit = 64;
		ip.v6.source = *from;
		ip.v6.destination = *to;
		return bpf_skb_store_bytes(skb, ETH_HLEN, &ip.v6, sizeof(ip.v6), 0);
	}
	ip.v4.version_length = 0x45;
	ip.v4.length = bpf_htons(sizeof(ip.v4) + length);
	ip.v4.fragment = bpf_htons(IP_DONT_FRAGMENT);
	ip.v4.ttl = 64;
	ip.v4.protocol = protocol;
	__builtin_memcpy(ip.v4.source, &from->bytes[12], 4);
	__builtin_memcpy(ip.v4.destination, &to->bytes[12], 4);
	ip.v4.checksum = fold(bpf_csum_diff(NULL, 0, (__be32 *)&ip.v4, sizeof(ip.v4), 0));
	return bpf_skb_store_bytes(skb, ETH_HLEN, &ip.v4, sizeof(ip.v4), 0);
}

/* Turns the link's header round. */
FUNCTION turn_link(struct __sk_buff *skb)
{
	__u8 link[2 * ETH_ALEN];

	if (bpf_skb_load_bytes(skb, 0, link, sizeof(link)) || bpf_skb_store_bytes(skb, 0, &link[ETH_ALEN], ETH_ALEN, 0))
		return -1;
	return bpf_skb_store_bytes(skb, ETH_ALEN, link, ETH_ALEN, 0);
}

/* Turns the packet into a RST. */
FUNCTION write_reset(struct __sk_buff *skb, const struct packet *p, const struct answer *a)
{
	struct tcp_head head = {};
	__u32 ip;

	if (!p || !a)
		return -1;
	ip = IP_SIZE(p->ipv6);
	if (clear_packet(skb, p->ipv6, ip + sizeof(head)) || write_network(skb, p, a, IPPROTO_TCP, sizeof(head)))
		return -1;
	head.source = a->back ? p->destination_port : p->source_port;
	head.destination = a->back ? p->source_port : p->destination_port;
	head.sequence = a->sequence;
	head.acknowledged = a->acknowledged;
	head.offset = sizeof(head) / 4 << 4;
	head.flags = a->flags;
	head.checksum = fold(bpf_csum_diff(NULL, 0, (__be32 *)&head, sizeof(head),
					   pseudo_sum(p, IPPROTO_TCP, sizeof(head))));
	return bpf_skb_store_bytes(skb, ETH_HLEN + ip, &head, sizeof(head), 0);
}

/* Turns the packet into an ICMP error about itself. */
FUNCTION write_prohibited(struct __sk_buff *skb, const struct packet *p)
{
	const struct answer a = { .back = true };
	struct icmp_head *head;
	__u8 error[ERROR_SIZE(true)] __attribute__((aligned(4))) = {};
	__u32 ip;

	if (!p)
		return -1;
	head = (struct icmp_head *)error;
	ip = IP_SIZE(p->ipv6);
	if (p->ipv6) {
		if (bpf_skb_load_bytes(skb, ETH_HLEN, &error[sizeof(*head)], QUOTE_SIZE(true)) ||
		    clear_packet(skb, true, ip + ERROR_SIZE(true)) ||
		    write_network(skb, p, &a, IPPROTO_ICMPV6, ERROR_SIZE(true)))
			return -1;
		head->type = ICMPV6_UNREACHABLE;
		head->code = PROHIBITED6;
		head->checksum = fold(bpf_csum_diff(NULL, 0, (__be32 *)error, ERROR_SIZE(true),
						    pseudo_sum(p, IPPROTO_ICMPV6, ERROR_SIZE(true))));
		return bpf_skb_store_bytes(skb, ETH_HLEN + ip, error, ERROR_SIZE(true), 0);
	}
	if (bpf_skb_load_bytes(skb, ETH_HLEN, &error[sizeof(*head)], QUOTE_SIZE(false)) ||
	    clear_packet(skb, false, ip + ERROR_SIZE(false)) || write_network(skb, p, &a, IPPROTO_ICMP, ERROR_SIZE(false)))
		return -1;
	head->type = ICMP_UNREACHABLE;
	head->code = PROHIBITED;
	head->checksum = fold(bpf_csum_diff(NULL, 0, (__be32 *)error, ERROR_SIZE(false), 0));
	return bpf_skb_store_bytes(skb, ETH_HLEN + ip, error, ERROR_SIZE(false), 0);
}

/* Sends the packet, which has become an answer, where the refused one came from. */
static __always_inline int send_back(struct __sk_buff *skb, const struct settings *settings, enum direction direction)
{
	if (turn_link(skb))
		return TC_DROP;
	skb->mark = settings->answer_mark;
	return bpf_redirect(skb->ifindex, direction == DIRECTION_EGRESS ? 0 : BPF_F_INGRESS);
}

/* Ends a connection that a SYN would open; a SYN-ACK's, at both ends. Returns the action. */
FUNCTION reset_connection(struct __sk_buff *skb, const struct packet *p, enum direction direction)
{
	struct settings *settings = settings_now();
	struct answer a = { .back = true };
	__be32 numbers[2]; /* sequence, acknowledged */

	if (!p || !settings ||
	    bpf_skb_load_bytes(skb, p->l4 + offsetof(struct tcp_head, sequence), numbers, sizeof(numbers)))
		return TC_DROP;
	if (opens_tcp(p)) {
		a.flags = TCP_RST | TCP_ACK;
		a.acknowledged = bpf_htonl(bpf_ntohl(numbers[0]) + 1 + tcp_payload(skb, p));
		return write_reset(skb, p, &a) ? TC_DROP : send_back(skb, settings, direction);
	}
	a.flags = TCP_RST;
	a.sequence = numbers[1];
	if (write_reset(skb, p, &a) || turn_link(skb))
		return TC_DROP;
	skb->mark = settings->answer_mark;
	bpf_clone_redirect(skb, skb->ifindex, BPF_F_INGRESS);
	skb->mark = 0;
	a.back = false;
	a.flags = TCP_RST | TCP_ACK;
	a.sequence = numbers[0];
	a.acknowledged = numbers[1];
	return turn_link(skb) || write_reset(skb, p, &a) ? TC_DROP : TC_PASS;
}

/* Answers an opening with an ICMP error. Returns the action. */
FUNCTION prohibit(struct __sk_buff *skb, const struct packet *p, enum direction direction)
{
	struct settings *settings = settings_now();

	if (!p || !settings || write_prohibited(skb, p))
		return TC_DROP;
	return send_back(skb, settings, direction);
}

/*
 * The action for a refused packet. Nobody of whom only the address is known is answered, nor told about, and nothing
 * that was sent to many or is itself an end or an error.
 */
static __always_inline int answer_refused(struct __sk_buff *skb, const struct packet *p, const struct question *q,
					  const struct settings *settings)
{
	bool tcp = p->protocol == IPPROTO_TCP, udp = p->protocol == IPPROTO_UDP, opens = tcp && opens_tcp(p);
	bool answers = tcp && q->pending && q->direction == DIRECTION_INGRESS && !(p->tcp_flags & TCP_RST) &&
		       (p->tcp_flags & (TCP_SYN | TCP_ACK)) == (TCP_SYN | TCP_ACK);
	__u8 group = 1;

	if (!settings->refusal || !settings->answer_mark || q->reason != REASON_POLICY)
		return TC_DROP;
	if (q->peer.party.slot < SLOT_FIRST && q->peer.party.slot != SLOT_HOST && !q->peer.party.endpoint)
		return TC_DROP;
	/* Options and extension headers would have to be turned round as well. */
	if (p->first_fragment || p->later_fragment || p->l4 != ETH_HLEN + IP_SIZE(p->ipv6) || is_multicast(&p->destination))
		return TC_DROP;
	if (bpf_skb_load_bytes(skb, 0, &group, 1) || group & 1)
		return TC_DROP;
	if (answers || (opens && settings->refusal == REFUSAL_RESET))
		return reset_connection(skb, p, q->direction);
	if (settings->refusal == REFUSAL_ICMP && (opens || udp))
		return prohibit(skb, p, q->direction);
	return TC_DROP;
}

static __always_inline __u8 byte_at(struct __sk_buff *skb, __u32 offset)
{
	__u8 byte = 0;

	bpf_skb_load_bytes(skb, offset, &byte, 1);
	return byte;
}

/* True for what answer_refused makes: even a mark of ours lets nothing else through. */
FUNCTION is_answer_made(struct __sk_buff *skb)
{
	bool ipv6 = skb->protocol == bpf_htons(ETH_P_IPV6);
	__u32 l4 = ETH_HLEN + IP_SIZE(ipv6);
	__u8 protocol;

	if (!ipv6) {
		if (skb->protocol != bpf_htons(ETH_P_IP) || byte_at(skb, ETH_HLEN) != 0x45 ||
		    byte_at(skb, ETH_HLEN + offsetof(struct ipv4_header, fragment)) != IP_DONT_FRAGMENT >> 8 ||
		    byte_at(skb, ETH_HLEN + offsetof(struct ipv4_header, fragment) + 1))
			return false;
		protocol = byte_at(skb, ETH_HLEN + offsetof(struct ipv4_header, protocol));
	} else {
		protocol = byte_at(skb, ETH_HLEN + offsetof(struct ipv6_header, next));
	}
	if (protocol == IPPROTO_TCP)
		return skb->len == l4 + sizeof(struct tcp_head) &&
		       byte_at(skb, l4 + offsetof(struct tcp_head, flags)) & TCP_RST;
	return protocol == (ipv6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP) && skb->len == l4 + ERROR_SIZE(ipv6) &&
	       byte_at(skb, l4) == (ipv6 ? ICMPV6_UNREACHABLE : ICMP_UNREACHABLE) &&
	       byte_at(skb, l4 + 1) == (ipv6 ? PROHIBITED6 : PROHIBITED);
}

#endif
