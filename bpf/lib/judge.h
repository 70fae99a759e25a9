/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef SALLYPORT_JUDGE_H
#define SALLYPORT_JUDGE_H

/*
 * The way of every packet: flow → (new, or decided under another policy: identity → decision → flow) → verdict.
 * A denied packet leaves no flow behind, so that nobody can fill the table with what is refused; a flow that
 * policy has turned against keeps its entry with the old revision, so that each of its packets is judged again
 * and in the direction it was opened.
 */

#include "decide.h"
#include "emit.h"
#include "flow.h"
#include "identity.h"

/* How the endpoint's own side is proven. */
enum place {
	PLACE_INTERFACE = 0, /* its own veth: its addresses are listed */
	PLACE_HOST = 1,      /* its cgroup: on the host's network, or behind no veth */
	PLACE_SHARED = 2,    /* a veth of several containers: what reaches their sockets is judged there */
	PLACE_CONTAINER = 3, /* one of those */
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

/* A packet that claims a local source must not have come from outside the node. */
static __always_inline bool came_from_uplink(struct __sk_buff *skb, const struct packet *p)
{
	__u32 ifindex = skb->ingress_ifindex;
	struct interface *interface = bpf_map_lookup_elem(&interfaces, &ifindex);

	return interface && interface->flags & INTERFACE_UPLINK && owner_of(&p->source);
}

/* The policy's word on a conversation, whatever direction this packet of it has. A function of its own: it is
 * the bulk of the program, and no packet of a known flow comes here. */
FUNCTION decide_opened(struct __sk_buff *skb, const struct packet *p, struct question *q)
{
	struct subject *subject;
	__u32 slot;
	__be16 port;

	if (!p || !q)
		return REASON_NO_TABLE;

	__builtin_memset(&q->peer, 0, sizeof(q->peer));
	no_decision(&q->decision);
	if (q->opened == DIRECTION_EGRESS) {
		addressed_peer(&q->key.remote, p->protocol, q->key.remote_port, &q->peer);
		port = q->peer.port;
	} else {
		sending_peer(skb, p, &q->key.remote, q->key.remote_port, q->known, &q->peer);
		port = q->key.local_port;
	}
	if (p->protocol == IPPROTO_ICMP || p->protocol == IPPROTO_ICMPV6) {
		__u8 type = p->icmp_type;

		if (q->opened != q->direction)
			type = p->ipv6 ? ICMPV6_ECHO : ICMP_ECHO;
		port = bpf_htons(type);
	}
	/* To itself, also through a service's address, always. */
	if (q->peer.party.endpoint && q->peer.party.endpoint == q->me.endpoint)
		return decide(0, 0, &q->key.remote, p->protocol, port, &q->decision);
	slot = q->me.slot;
	subject = bpf_map_lookup_elem(&subjects, &slot);
	if (!subject || !subject->identity)
		return REASON_NO_TABLE;
	return decide(subject->sets[q->opened & 1], q->peer.party.slot, &q->key.remote, p->protocol, port, &q->decision);
}

/*
 * A TCP packet in mid-stream of a flow that is not in the table: the agent came later, or the table was full.
 * Who opened it is asked of connection tracking; where that is not known, both readings must be allowed, so
 * that nobody gains by being forgotten.
 */
static __always_inline enum reason decide_adopted(struct __sk_buff *skb, const struct packet *p, struct question *q)
{
	enum reason reason;

	count_incident(INCIDENT_ADOPTED);
#ifdef WITH_CONNTRACK
	struct connection connection = {};

	read_connection(skb, p, &connection);
	if (connection.known) {
		q->opened = connection.reversed ? !q->direction : q->direction;
		return decide_opened(skb, p, q);
	}
#endif
	q->opened = DIRECTION_INGRESS;
	reason = decide_opened(skb, p, q);
	if (reason)
		return reason;
	q->opened = DIRECTION_EGRESS;
	return decide_opened(skb, p, q);
}

/*
 * A datagram nobody knows looks like the first of a conversation. Where connection tracking knows that it answers
 * another, its sender must not be taken for the one who opened: else what it answers would be let in as its reply.
 */
static __always_inline bool is_answer(struct __sk_buff *skb, const struct packet *p)
{
#ifdef WITH_CONNTRACK
	struct connection connection = {};

	if (p->protocol == IPPROTO_UDP)
		read_connection(skb, p, &connection);
	return connection.known && connection.reversed;
#else
	return false;
#endif
}

/* Books the answer in the flow's entry. */
static __always_inline void book(struct flow *flow, const struct question *q, const struct packet *p, __u32 revision,
				 __u32 bytes, __u64 now)
{
	flow->local = q->me.slot;
	flow->peer = q->peer.party.slot;
	flow->rule = q->decision.rule;
	flow->staged_rule = q->decision.staged_rule;
	flow->verdict = q->decision.verdict;
	flow->staged_verdict = q->decision.staged_verdict;
	flow->revision = revision;
	flow_advance(flow, p, q->direction);
	flow_count(flow, q->direction, bytes, now);
}

FUNCTION add_flow(struct __sk_buff *skb, const struct packet *p, const struct question *q, __u32 revision, __u32 adopted)
{
	__u64 now = bpf_ktime_get_coarse_ns();
	struct flow flow = { .created = now };
	struct flow_key key;

	if (!p || !q)
		return 0;
	flow.direction = q->opened;

	if (adopted) {
		flow.flags = FLOW_ADOPTED;
		flow.state = FLOW_ESTABLISHED;
	}
	book(&flow, q, p, revision, skb->len, now);
	key = q->key;
	if (bpf_map_update_elem(&flows, &key, &flow, BPF_ANY))
		count_incident(INCIDENT_FLOW_LOST);
	return 0;
}

/* A packet no valid entry speaks for. `flow` is the older entry it continues, if there is one. */
static __always_inline bool judge_anew(struct __sk_buff *skb, const struct packet *p, struct question *q, enum place place,
				       const struct settings *settings, struct flow *flow, __u64 now)
{
	__u32 revision = settings->revision;
	bool at_veth = place == PLACE_INTERFACE || place == PLACE_SHARED;
	bool ingress = q->direction == DIRECTION_INGRESS;
	enum reason reason;
	bool adopted = false, own = true;

	if (flow)
		q->opened = flow->direction;
	q->known = flow ? flow->peer : 0;
	if (ingress ? at_veth && came_from_uplink(skb, p) : !source_is_own(skb, p, q->me.endpoint, place)) {
		no_decision(&q->decision);
		reason = REASON_SPOOFED;
	} else if (ingress && at_veth && is_stray(skb, p, &q->me, &own)) {
		no_decision(&q->decision);
		reason = REASON_STRAY;
	} else if (ingress && place == PLACE_SHARED) {
		/* What a container has opened is decided by what it sends, not by what comes back. */
		if (flow && flow->direction == DIRECTION_EGRESS) {
			flow_advance(flow, p, q->direction);
			flow_count(flow, q->direction, skb->len, now);
			return true;
		}
		__builtin_memset(&q->peer, 0, sizeof(q->peer));
		no_decision(&q->decision);
		q->decision.verdict = q->decision.staged_verdict = VERDICT_ALLOW;
		reason = REASON_NONE;
	} else if (!flow && q->opened == q->direction && p->protocol == IPPROTO_TCP && !opens_tcp(p)) {
		adopted = true;
		reason = decide_adopted(skb, p, q);
	} else if (!flow && is_answer(skb, p)) {
		adopted = true;
		q->opened = !q->direction;
		reason = decide_opened(skb, p, q);
	} else {
		reason = decide_opened(skb, p, q);
	}
	q->reason = reason;
	count_rule(q->decision.rule, skb->len);
	if (q->decision.staged_rule != q->decision.rule)
		count_rule(q->decision.staged_rule, skb->len);
	if (reason) {
		if (flow) {
			flow->verdict = VERDICT_DENY;
			flow->rule = q->decision.rule;
		}
		refuse(skb, p, q);
		return false;
	}
	/* Also where no socket tells which container it is: it must not pass for the one that sent before. */
	if (!ingress && place != PLACE_INTERFACE)
		remember_sender(skb, p, &q->me);
	if (flow)
		book(flow, q, p, revision, skb->len, now);
	else if (own)
		add_flow(skb, p, q, revision, adopted);
	if (q->decision.verdict == VERDICT_ALERT || q->decision.staged_verdict != q->decision.verdict || settings->observe)
		emit_verdict(skb, p, q);
	return true;
}

/* True at a container's cgroup when the packet answers what that container sent, which its veth has seen. */
FUNCTION answers_container(struct __sk_buff *skb, const struct packet *p, const struct question *q)
{
	struct flow_key key;
	struct flow *sent;

	if (!p || !q)
		return false;
	key = q->key;
	key.endpoint = q->me.endpoint;
	sent = bpf_map_lookup_elem(&flows, &key);
	return sent && sent->direction == DIRECTION_EGRESS && sent->local == q->me.slot &&
	       flow_continues(sent, p, DIRECTION_INGRESS, bpf_ktime_get_coarse_ns());
}

/* True when the packet may pass. `exact` says that me->slot was read from the socket in hand. */
static __always_inline bool judge(struct __sk_buff *skb, const struct packet *p, const struct party *me,
				  enum direction direction, enum place place, bool exact)
{
	struct settings *settings = settings_now();
	__u64 now = bpf_ktime_get_coarse_ns();
	struct question q = { .me = *me, .direction = direction, .opened = direction };
	struct flow *flow;

	if (!settings)
		return false;
	flow_key(&q.key, me->endpoint | (place == PLACE_CONTAINER ? SCOPE_CONTAINER : 0), p, direction);
	flow = bpf_map_lookup_elem(&flows, &q.key);
	if (flow && unlikely(!flow_continues(flow, p, direction, now))) {
		/* A connection that was quiet for long still says who opened it: nobody gains by being forgotten. */
		if (p->protocol == IPPROTO_TCP && !opens_tcp(p))
			goto anew;
		flow = NULL;
	}
	if (likely(flow && flow->revision == settings->revision && (!exact || flow->local == me->slot))) {
		flow_advance(flow, p, direction);
		flow_count(flow, direction, skb->len, now);
		return true;
	}
anew:
	if (place == PLACE_CONTAINER && !flow && answers_container(skb, p, &q))
		q.opened = DIRECTION_EGRESS;
	return judge_anew(skb, p, &q, place, settings, flow, now);
}

/* Refuses a packet for a reason of its own, before any policy. */
FUNCTION refuse_packet(struct __sk_buff *skb, const struct packet *p, const struct party *me, enum direction direction,
		       enum reason reason)
{
	struct question q = { .opened = direction, .reason = reason };

	if (!p || !me)
		return 0;
	q.me = *me;
	no_decision(&q.decision);
	return refuse(skb, p, &q);
}

/* True when the packet an ICMP error speaks about belongs to a flow that was let through. */
FUNCTION is_related(struct __sk_buff *skb, const struct packet *p, __u32 endpoint, enum direction direction)
{
	struct settings *settings = settings_now();
	struct packet inner = {};
	struct flow_key key;
	struct flow *flow;
	__u8 version = 0;
	struct icmp_head head;
	__u32 start;

	if (!p || !settings)
		return false;
	start = p->l4 + sizeof(head);
	if (bpf_skb_load_bytes(skb, start, &version, 1))
		return false;
	if ((version >> 4 == 4 ? parse_ipv4(skb, start, &inner) : parse_ipv6(skb, start, &inner)) || inner.later_fragment)
		return false;
	/* Errors go to who sent the packet, and to nobody else. */
	if (!same_address(&p->destination, &inner.source))
		return false;
	/* Eight bytes of the transport header are all an error must carry: RFC 792. */
	if (bpf_skb_load_bytes(skb, inner.l4, &head, sizeof(head)))
		return false;
	switch (inner.protocol) {
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		inner.icmp_type = head.type;
		icmp_ports(&inner, head.id);
		break;
	case IPPROTO_TCP:
	case IPPROTO_UDP:
	case IPPROTO_UDPLITE:
	case IPPROTO_SCTP:
	case IPPROTO_DCCP:
		inner.source_port = ((__be16 *)&head)[0];
		inner.destination_port = ((__be16 *)&head)[1];
		break;
	}
	flow_key(&key, endpoint, &inner, direction == DIRECTION_INGRESS ? DIRECTION_EGRESS : DIRECTION_INGRESS);
	flow = bpf_map_lookup_elem(&flows, &key);
	/* The packet that met the error was judged a moment ago: a flow of another policy has not been. */
	return flow && flow->revision == settings->revision && flow->verdict != VERDICT_DENY &&
	       bpf_ktime_get_coarse_ns() - flow->seen < flow_lifetime(flow, inner.protocol);
}

#endif
