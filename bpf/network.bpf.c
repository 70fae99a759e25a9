/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * network: TC programs on the host's side of each endpoint's veth, where the container cannot reach them.
 *
 *   from_endpoint  TC ingress: what the endpoint sends, before any CNI or proxy rule has seen it
 *   to_endpoint    TC egress:  what is about to reach it, after every rewriting
 *   to_uplink      TC egress of the links that lead out of the node: stops what was to be held and was not
 *
 * They decide whether a packet passes (TCX_NEXT / TC_ACT_UNSPEC: the next program has its say) or not
 * (TC_ACT_SHOT). What passes they leave as it is, but for the mark of what must wait for a handshake (lib/hold.h) and
 * the tag of an answer whose socket has written none (lib/countersign.h); what is refused may become its own answer
 * (lib/answer.h: TC_ACT_REDIRECT). They read the tables of who is who and what may be, write the flow table, the
 * counters and the event ring.
 *
 * What a packet costs: of a known flow, three lookups (interface, settings, flow), one coarse clock and two
 * atomic adds; where several containers share the interface, one cgroup helper and one lookup more. The first
 * packet of a flow also: up to three lookups for who is who, four more where that is nobody of this node (two of
 * verified peers, the domain, an identity's slot) and one MAC where it bears a tag, one for the subject, at most seven
 * for the decision, one or two for the rule's counter, one insertion; connection tracking is asked only for senders
 * that hide behind the host's address, for TCP met in mid-stream and for the first datagram of a UDP flow. Denied
 * packets pay the same again for the event.
 * What is sent to all (broadcasts, groups) has no flow at the receiving end: each packet of it is decided.
 */

#define WITH_CONNTRACK
#define WITH_ANSWERS
#include "lib/judge.h"
#include "lib/countersign.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define PASS TC_PASS
#define DROP TC_DROP

struct arp_packet {
	__be16 hardware;
	__be16 protocol;
	__u8 hardware_length;
	__u8 protocol_length;
	__be16 operation;
	__u8 sender_hardware[6];
	__u8 sender[4];
	__u8 target_hardware[6];
	__u8 target[4];
} __attribute__((packed));

/* An endpoint may ask for any address and answer only for its own. */
static __always_inline enum reason judge_arp(struct __sk_buff *skb, struct packet *p, __u32 endpoint)
{
	struct arp_packet arp;

	if (bpf_skb_load_bytes(skb, ETH_HLEN, &arp, sizeof(arp)) || arp.protocol_length != 4 || arp.hardware_length != 6)
		return REASON_TRUNCATED;
	map_ipv4(&p->source, arp.sender);
	map_ipv4(&p->destination, arp.target);
	/* A probe has no sender; for the address of another it would keep that from coming up: RFC 5227. */
	return owns(endpoint, ((__u32 *)p->source.bytes)[3] ? &p->source : &p->destination) ? REASON_NONE : REASON_ARP;
}

static __always_inline bool is_unspecified(const struct address *a)
{
	const __u64 *half = (const __u64 *)a->bytes;

	return !half[0] && !half[1];
}

/* The same for IPv6: no claiming of others' addresses, and no playing the router. */
static __always_inline bool honest_neighbour(struct __sk_buff *skb, const struct packet *p, __u32 endpoint)
{
	bool probe = is_unspecified(&p->source) && p->icmp_type == ICMPV6_NEIGHBOUR_SOLICITATION;
	struct address target;

	if (p->icmp_type == ICMPV6_ROUTER_ADVERTISEMENT || p->icmp_type == ICMPV6_REDIRECT)
		return false;
	if (!is_unspecified(&p->source) && !owns(endpoint, &p->source))
		return false;
	if (p->icmp_type != ICMPV6_NEIGHBOUR_ADVERTISEMENT && !probe)
		return true;
	if (bpf_skb_load_bytes(skb, p->l4 + 8, &target, sizeof(target)))
		return false;
	return owns(endpoint, &target);
}

/* What a socket's cgroup judges when it arrives: the protocols whose packets always have a socket to go to. */
static __always_inline bool reaches_socket(const struct packet *p)
{
	return p->protocol == IPPROTO_TCP || p->protocol == IPPROTO_UDP || p->protocol == IPPROTO_UDPLITE ||
	       p->protocol == IPPROTO_SCTP;
}

/* Everything but a packet of a conversation: settled here, or left to the policy. */
static __always_inline enum reason judge_other(struct __sk_buff *skb, struct packet *p, __u32 endpoint,
					       enum direction direction, bool *settled)
{
	bool egress = direction == DIRECTION_EGRESS;
	enum reason reason;

	*settled = true;
	if (unlikely(skb->vlan_present))
		return REASON_ETHERTYPE;
	if (unlikely(skb->protocol != bpf_htons(ETH_P_IP) && skb->protocol != bpf_htons(ETH_P_IPV6))) {
		if (skb->protocol != bpf_htons(ETH_P_ARP))
			return REASON_ETHERTYPE;
		return egress ? judge_arp(skb, p, endpoint) : REASON_NONE;
	}
	reason = parse_packet(skb, ETH_HLEN, skb->protocol, p);
	if (unlikely(reason))
		return reason;
	if (unlikely(p->later_fragment)) {
		reason = resolve_fragment(skb, p, endpoint);
		if (reason)
			return reason;
	}
	if (unlikely(p->kind == PACKET_NEIGHBOUR)) {
		if (egress && !honest_neighbour(skb, p, endpoint))
			return REASON_ARP;
		*settled = !egress || stays_on_link(skb, p);
		return REASON_NONE;
	}
	if (unlikely(p->kind == PACKET_ERROR)) {
		if (egress && !owns(endpoint, &p->source))
			return REASON_SPOOFED;
		return is_related(skb, p, endpoint, direction) ? REASON_NONE : REASON_UNRELATED;
	}
	*settled = false;
	return REASON_NONE;
}

enum heed {
	HEED_JUDGE, /* the mark says nothing */
	HEED_PASS,
	HEED_DROP,
};

/*
 * Marks of ours mean something between our programs only. None comes with what an endpoint sends (crossing into
 * another namespace clears it); were one there, it must not pass for ours, but for an answer as we make them. What is
 * still to be held where it arrives has been let go by nobody.
 */
FUNCTION heed_mark(struct __sk_buff *skb, enum direction direction)
{
	struct settings *settings = settings_now();

	if (!settings)
		return HEED_JUDGE;
	if (skb->mark == settings->answer_mark && is_answer_made(skb)) {
		skb->mark = 0;
		return HEED_PASS;
	}
	if (!(skb->mark & settings->hold_mark))
		return HEED_JUDGE;
	if (direction == DIRECTION_EGRESS) {
		skb->mark &= ~settings->hold_mark;
		return HEED_JUDGE;
	}
	count_incident(INCIDENT_HOLD_LEAKED);
	return settings->hold_open ? HEED_JUDGE : HEED_DROP;
}

static __always_inline int judge_frame(struct __sk_buff *skb, enum direction direction)
{
	__u32 ifindex = skb->ifindex;
	struct interface *interface = bpf_map_lookup_elem(&interfaces, &ifindex);
	enum place place = PLACE_INTERFACE;
	struct packet p = {};
	struct party me;
	enum reason reason;
	enum outcome outcome;
	__u32 container = 0;
	bool settled;

	if (unlikely(!interface)) {
		count_drop(REASON_NO_TABLE, skb->len);
		return DROP;
	}
	if (unlikely(skb->mark)) {
		int heed = heed_mark(skb, direction);

		if (heed != HEED_JUDGE)
			return heed == HEED_PASS ? PASS : DROP;
	}
	me.endpoint = interface->endpoint;
	me.slot = interface->slot;
	reason = judge_other(skb, &p, me.endpoint, direction, &settled);
	if (unlikely(reason)) {
		refuse_packet(skb, &p, &me, direction, reason);
		return DROP;
	}
	if (unlikely(settled))
		return PASS;
	if (unlikely(interface->flags & INTERFACE_SHARED)) {
		place = direction == DIRECTION_EGRESS || reaches_socket(&p) ? PLACE_SHARED : PLACE_REST;
		if (direction == DIRECTION_EGRESS && (container = container_slot(skb, interface)))
			me.slot = container;
	}
	outcome = judge(skb, &p, &me, direction, place, container, true);
	if (unlikely(outcome != OUTCOME_PASS))
		return outcome == OUTCOME_SENT ? TC_REDIRECT : DROP;
	if (unlikely(p.first_fragment))
		remember_fragment(skb, &p, me.endpoint);
	if (direction == DIRECTION_EGRESS && unlikely(p.tcp_flags & TCP_SYN) && p.tcp_flags & TCP_ACK &&
	    countersign(skb, &p, me.endpoint, container))
		return DROP;
	return PASS;
}

SEC("tc")
int from_endpoint(struct __sk_buff *skb)
{
	return judge_frame(skb, DIRECTION_EGRESS);
}

SEC("tc")
int to_endpoint(struct __sk_buff *skb)
{
	return judge_frame(skb, DIRECTION_INGRESS);
}

SEC("tc")
int to_uplink(struct __sk_buff *skb)
{
	if (likely(!skb->mark) || heed_mark(skb, DIRECTION_INGRESS) != HEED_DROP)
		return PASS;
	return DROP;
}
