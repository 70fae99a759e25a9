/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef SALLYPORT_JUDGE_H
#define SALLYPORT_JUDGE_H

/*
 * The way of every packet: flow → (new, or decided under another policy: identity → decision → flow) → verdict.
 * A denied packet leaves no flow behind, so that nobody can fill the table with what is refused; a flow that
 * policy has turned against keeps its entry with the old revision, so that each of its packets is judged again
 * and in the direction it was opened.
 */

#include "admit.h"
#include "opened.h"
#include "emit.h"
#include "claim.h"
#include "hold.h"
#include "related.h"
#ifdef WITH_ANSWERS
#include "answer.h"
#endif

/* A revision that will not be the current one. */
#define NOT_CURRENT(revision) ((revision) ^ 0x80000000)

/* Books the answer in the flow's entry; the revision last, which makes it hold. */
static __always_inline void book(struct flow *flow, const struct question *q, const struct packet *p, __u32 revision,
				 __u32 bytes, __u64 now)
{
	__u32 flags = flow->flags & ~(FLOW_PENDING | FLOW_TAGGED);

	if (q->step)
		flags |= FLOW_PENDING;
	if (q->told == TOLD_TAG)
		flags |= FLOW_TAGGED;
	flow->local = q->me.slot;
	flow->peer = q->peer.party.slot;
	flow->rule = q->decision.rule;
	flow->staged_rule = q->decision.staged_rule;
	flow->verdict = q->step ? VERDICT_HOLD : q->decision.verdict;
	flow->staged_verdict = q->step ? VERDICT_HOLD : q->decision.staged_verdict;
	flow->flags = flags;
	flow->identity = q->identity;
	flow->expires = q->expires;
	flow_advance(flow, p, q->direction);
	flow_count(flow, q->direction, bytes, now);
	flow->revision = q->step ? NOT_CURRENT(revision) : revision;
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

/*
 * What the other of the two that judge a shared veth's packets, the veth and the container's cgroup, knows of this
 * conversation: at the cgroup, that the container opened it; at either, whom a tag has told to be there.
 */
FUNCTION ask_twin(const struct packet *p, struct question *q, __u32 opening)
{
	struct flow_key key;
	struct flow *twin;

	if (!p || !q)
		return 0;
	key = q->key;
	key.endpoint ^= SCOPE_CONTAINER;
	twin = bpf_map_lookup_elem(&flows, &key);
	if (!twin || !flow_continues(twin, p, q->direction, bpf_ktime_get_coarse_ns()))
		return 0;
	if (opening && twin->direction == DIRECTION_EGRESS && twin->local == q->me.slot)
		q->opened = DIRECTION_EGRESS;
	if (twin->direction != q->opened)
		return 0;
	if (twin->flags & FLOW_TAGGED)
		q->tag = twin->identity;
	if (twin->flags & FLOW_PENDING)
		q->pending = true;
	return 0;
}

/* The answer to the question, for a packet that is where it may be. */
static __always_inline enum reason ask(struct __sk_buff *skb, const struct packet *p, struct question *q, enum place place,
				       const struct flow *flow, const struct flow *crossed, bool *adopted)
{
	bool ingress = q->direction == DIRECTION_INGRESS;
	enum reason reason;

	if (crossed) {
		reason = decide_crossing(skb, p, q, crossed->local);
		if (reason)
			return reason;
	}
	if (ingress && place == PLACE_SHARED && !q->pending) {
		/* Who sent it is judged here, for whichever container it is; who receives it at its own cgroup. */
		if (q->opened == DIRECTION_INGRESS) {
			know_here(skb, p, q);
			reason = ask_sender(skb, p, q);
			if (reason)
				return reason;
		}
		__builtin_memset(&q->peer, 0, sizeof(q->peer));
		no_decision(&q->decision);
		q->decision.verdict = q->decision.staged_verdict = VERDICT_ALLOW;
		q->told = TOLD_NOTHING;
		q->identity = 0;
		q->expires = 0;
		return REASON_NONE;
	}
	if (!flow && q->opened == q->direction) {
		if (p->protocol == IPPROTO_TCP && !opens_tcp(p)) {
			*adopted = true;
			return decide_adopted(skb, p, q);
		}
		if (is_answer(skb, p)) {
			*adopted = true;
			q->opened = !q->direction;
		}
	}
	reason = decide_opened(skb, p, q);
	if (!reason && ingress && q->opened == DIRECTION_INGRESS)
		reason = ask_sender(skb, p, q);
	return reason;
}

/* True when a refusal is of the conversation, not of this packet alone, which a stranger may have sent. */
static __always_inline bool is_about_flow(enum reason reason)
{
	return reason == REASON_POLICY || reason == REASON_NO_TABLE || reason == REASON_UNTAGGED || reason == REASON_REFUSED ||
	       reason == REASON_TAG_UNKNOWN;
}

/* What becomes of a packet. */
enum outcome {
	OUTCOME_DROP = 0,
	OUTCOME_PASS = 1,
	OUTCOME_SENT = 2, /* it has become an answer, and is redirected */
	OUTCOME_TAKEN = 3, /* it waits where only the agent can send it on */
};

/* Counts, tells and, where that is wanted, answers a packet that will not pass. */
static __always_inline enum outcome turn_away(struct __sk_buff *skb, const struct packet *p, struct question *q,
					      const struct settings *settings)
{
	refuse(skb, p, q);
#ifdef WITH_ANSWERS
	switch (answer_refused(skb, p, q, settings)) {
	case TC_PASS:
		return OUTCOME_PASS;
	case TC_REDIRECT:
		return OUTCOME_SENT;
	}
#endif
	return OUTCOME_DROP;
}

/*
 * A packet no valid entry speaks for. `flow` is the older entry it continues, if there is one; `crossed` the pending
 * one of the endpoint's own that it comes against.
 */
static __always_inline enum outcome judge_anew(struct __sk_buff *skb, const struct packet *p, struct question *q, enum place place,
				       const struct settings *settings, struct flow *flow, const struct flow *crossed,
				       __u64 now)
{
	__u32 revision = settings->revision;
	bool ingress = q->direction == DIRECTION_INGRESS;
	enum reason reason;
	bool adopted = false, own = true;

	no_decision(&q->decision);
	if (flow) {
		q->opened = flow->direction;
		q->known = flow->peer;
		q->pending = !!(flow->flags & FLOW_PENDING);
		/* The veth does not know by itself for whom this is; who has opened it does. */
		if (q->pending && ingress && (place == PLACE_SHARED || place == PLACE_REST))
			q->me.slot = flow->local;
	}
	reason = admit(skb, p, q, place, &own);
	if (likely(!reason) && ingress) {
		int claim = take_claim(skb, p, q);

		if (claim == CLAIM_TAKEN)
			return OUTCOME_DROP;
		if (claim == CLAIM_REFUSED)
			reason = REASON_CLAIM;
	}
	if (likely(!reason)) {
		/* What a container has opened is decided by what it sends, not by what comes back. */
		if (ingress && place == PLACE_SHARED && flow && flow->direction == DIRECTION_EGRESS && !q->pending) {
			flow_advance(flow, p, q->direction);
			flow_count(flow, q->direction, skb->len, now);
			return OUTCOME_PASS;
		}
		if ((place == PLACE_SHARED || place == PLACE_CONTAINER) && !q->tag && !opens_tcp(p))
			ask_twin(p, q, place == PLACE_CONTAINER && !flow);
		reason = ask(skb, p, q, place, flow, crossed, &adopted);
	}
	if (!reason && q->step == STEP_END) {
		if (flow) {
			flow_advance(flow, p, q->direction);
			flow_count(flow, q->direction, skb->len, now);
		}
		return OUTCOME_PASS;
	}
	/* Before anybody can ask who sent it. Also where no socket tells: it must not pass for the one that sent before. */
	if (!reason && !ingress && place != PLACE_INTERFACE)
		remember_sender(skb, p, &q->me);
	if (!reason && q->step == STEP_HOLD)
		reason = hold_packet(skb, q->me.endpoint, q->waits);
	q->reason = reason;
	if (!q->step || reason == REASON_POLICY) {
		count_rule(q->decision.rule, skb->len);
		if (q->decision.staged_rule != q->decision.rule)
			count_rule(q->decision.staged_rule, skb->len);
	}
	if (reason) {
		if (flow && is_about_flow(reason)) {
			flow->verdict = VERDICT_DENY;
			flow->rule = q->decision.rule;
		}
		return turn_away(skb, p, q, settings);
	}
	if (flow)
		book(flow, q, p, revision, skb->len, now);
	else if (own)
		add_flow(skb, p, q, revision, adopted);
	if (!q->step && (q->decision.verdict == VERDICT_ALERT || q->decision.staged_verdict != q->decision.verdict ||
			 settings->observe))
		emit_verdict(skb, p, q);
#ifdef WITH_TAKING
	if (q->step == STEP_HOLD)
		return OUTCOME_TAKEN;
#endif
	return OUTCOME_PASS;
}

/* A tag on what leaves an endpoint must name that endpoint; q->own_tag says that it does. */
FUNCTION check_own_tag(struct __sk_buff *skb, const struct packet *p, struct question *q)
{
	struct settings *settings = settings_now();
	struct subject *subject;
	struct flow_key key;
	struct flow *twin;
	enum reason reason;
	__u64 identity = 0;
	__u32 slot;

	if (!p || !q || !settings)
		return REASON_NO_TABLE;
	if (!settings->tag_window)
		return REASON_NONE;
	reason = carried_tag(skb, p, &identity);
	if (reason || !identity)
		return reason;
	slot = q->me.slot;
	subject = bpf_map_lookup_elem(&subjects, &slot);
	if (!subject || subject->identity != identity) {
		/* A SYN-ACK has no socket that tells which container of several it is of; who let the SYN in knows. */
		if (opens_tcp(p))
			return REASON_TAG_FORGED;
		key = q->key;
		key.endpoint ^= SCOPE_CONTAINER;
		twin = bpf_map_lookup_elem(&flows, &key);
		if (!twin || twin->direction != DIRECTION_INGRESS)
			return REASON_TAG_FORGED;
		slot = twin->local;
		subject = bpf_map_lookup_elem(&subjects, &slot);
		if (!subject || subject->identity != identity)
			return REASON_TAG_FORGED;
	}
	q->own_tag = true;
	return REASON_NONE;
}

/*
 * What becomes of a packet of a conversation. `exact` says that me->slot was read from the socket in hand, `waits` that
 * the packet can be held.
 */
static __always_inline enum outcome judge(struct __sk_buff *skb, const struct packet *p, const struct party *me,
					  enum direction direction, enum place place, bool exact, bool waits)
{
	struct settings *settings = settings_now();
	__u64 now = bpf_ktime_get_coarse_ns();
	struct question q = { .me = *me, .direction = direction, .opened = direction, .waits = waits };
	struct flow *flow, *crossed = NULL;

	if (!settings)
		return OUTCOME_DROP;
	flow_key(&q.key, me->endpoint | (place == PLACE_CONTAINER ? SCOPE_CONTAINER : 0), p, direction);
	if (direction == DIRECTION_EGRESS && unlikely(p->tcp_flags & TCP_SYN)) {
		q.reason = check_own_tag(skb, p, &q);
		if (q.reason) {
			no_decision(&q.decision);
			refuse(skb, p, &q);
			return OUTCOME_DROP;
		}
	}
	flow = bpf_map_lookup_elem(&flows, &q.key);
	if (flow && unlikely(!flow_continues(flow, p, direction, now))) {
		/* A connection that was quiet for long still says who opened it, and who is there: nobody gains by being
		 * forgotten, nor by forging an end that makes it be. */
		if (p->protocol == IPPROTO_TCP && !opens_tcp(p))
			goto quiet;
		if (flow->flags & FLOW_PENDING && direction != flow->direction && opens_tcp(p) &&
		    now - flow->seen <= FLOW_TCP_OPENING)
			crossed = flow;
		flow = NULL;
	}
	if (likely(flow && flow->revision == settings->revision && (!exact || flow->local == me->slot))) {
		if (direction == DIRECTION_INGRESS && may_be_claim(skb, p) && take_claim(skb, p, &q))
			goto anew;
		if (likely(!flow->expires || now < flow->expires * SECOND)) {
			flow_advance(flow, p, direction);
			flow_count(flow, direction, skb->len, now);
			return OUTCOME_PASS;
		}
	}
quiet:
	if (flow && flow->flags & FLOW_TAGGED)
		q.tag = flow->identity;
anew:
	return judge_anew(skb, p, &q, place, settings, flow, crossed, now);
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

#endif
