/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef SALLYPORT_TAG_H
#define SALLYPORT_TAG_H

/*
 * Identity tags of TCP: one option on SYN and SYN-ACK (api/peer.h, docs/protocol.md). Made where a socket writes its
 * header (tag.bpf.c), looked at where it leaves its endpoint, verified where it arrives at another.
 *
 *   make_tag       the option for a packet of ours
 *   carried_tag    which identity a packet claims; nothing is proven
 *   verify_tag     which identity a packet has proven
 */

#include "siphash.h"
#include "parse.h"
#include "drops.h"

#define TAG_EPOCHS 4
#define TAG_ANSWER 0x20 /* in control: on a SYN-ACK */
#define TAG_WINDOWS 32  /* as many as control can tell apart */

/* Options end 60 bytes behind the header's start; where fewer than a tag's bytes are left, none begins. */
#define TAG_OFFSETS (60 - sizeof(struct tcp_head) - TAG_LENGTH + 1)

/* The wall clock's window, or 0: no tags. */
static __always_inline __u32 tag_window_now(const struct settings *settings)
{
	if (!settings->tag_window)
		return 0;
	return (bpf_ktime_get_coarse_ns() + settings->clock_offset) / (settings->tag_window * SECOND);
}

/* The MAC in the upper seven bytes and control in the lowest: as the option has them in memory. */
static __always_inline __u64 tag_seal(const struct tag_key *key, __be64 identity, __u32 window, __be32 sequence,
				      __be32 answered, __u8 control)
{
	union {
		struct tag_message message;
		__u64 words[3];
	} u = { .message = { .identity = identity, .window = bpf_htonl(window), .sequence = sequence,
			     .answered = answered, .control = control } };
	__u64 mac = siphash(key->halves, little_endian(u.words[0]), little_endian(u.words[1]), little_endian(u.words[2]));

	return little_endian(mac << 8 | control);
}

/* The key that signs, if there is one. */
static __always_inline const struct tag_key *signing_key(const struct settings *settings)
{
	__u32 slot = settings->tag_epoch % TAG_EPOCHS;
	const struct tag_key *key = bpf_map_lookup_elem(&tag_keys, &slot);

	return key && key->valid && key->epoch == settings->tag_epoch ? key : NULL;
}

/* `answered` is what a SYN-ACK acknowledges, and 0 on a SYN. */
static __always_inline void make_tag(struct tag_option *tag, const struct tag_key *key, __u32 window, __u64 identity,
				     __be32 sequence, __be32 answered, bool answer)
{
	__u8 control = key->epoch % TAG_EPOCHS << 6 | (answer ? TAG_ANSWER : 0) | window % TAG_WINDOWS;
	__u64 seal;

	tag->kind = TAG_KIND;
	tag->length = TAG_LENGTH;
	tag->experiment = bpf_htons(TAG_EXPERIMENT);
	tag->identity = bpf_cpu_to_be64(identity);
	seal = tag_seal(key, tag->identity, window, sequence, answered, control);
	__builtin_memcpy(&tag->control, &seal, sizeof(seal));
}

/*
 * Finds the tag of a SYN or SYN-ACK; *at is its offset, 0 where there is none. Options are walked as the kernel walks
 * them: what stands behind an end or behind a broken one is not read. What only some readers would see is refused: a
 * header in pieces, which is whole again further on; two tags, of which another may take the second.
 */
static __always_inline enum reason find_tag(struct __sk_buff *skb, const struct packet *p, __u32 *at)
{
	struct {
		__u8 kind;
		__u8 length;
		__be16 experiment;
	} option;
	struct tcp_head head;
	__u32 offset = p->l4, end;

	*at = 0;
	if (p->protocol != IPPROTO_TCP || p->later_fragment || !(p->tcp_flags & TCP_SYN))
		return REASON_NONE;
	if (read_packet(skb, offset, &head, sizeof(head)))
		return REASON_TRUNCATED;
	end = offset + (head.offset >> 4) * 4;
	offset += sizeof(head);
	if (p->first_fragment)
		return offset == end ? REASON_NONE : REASON_FRAGMENT;
	for (__u32 i = 0; i < TAG_OFFSETS && offset + TAG_LENGTH <= end; i++) {
		if (read_packet(skb, offset, &option, sizeof(option)))
			return REASON_TRUNCATED;
		if (!option.kind)
			break;
		if (option.kind == 1) {
			offset++;
			continue;
		}
		if (option.length < 2)
			break;
		if (option.kind == TAG_KIND && option.length == TAG_LENGTH && option.experiment == bpf_htons(TAG_EXPERIMENT)) {
			if (*at)
				return REASON_HEADER;
			*at = offset;
		}
		offset += option.length;
	}
	return REASON_NONE;
}

/*
 * Which identity a packet claims to come from: *identity, 0 where it claims none. For the check where it leaves.
 * Returns enum reason: a packet whose options some would read and some not must not pass.
 */
FUNCTION carried_tag(struct __sk_buff *skb, const struct packet *p, __u64 *identity)
{
	__be64 claimed = 0;
	enum reason reason;
	__u32 at;

	if (!p || !identity)
		return REASON_TRUNCATED;
	*identity = 0;
	reason = find_tag(skb, p, &at);
	if (reason || !at)
		return reason;
	if (read_packet(skb, at + offsetof(struct tag_option, identity), &claimed, sizeof(claimed)))
		return REASON_TRUNCATED;
	if (!claimed)
		return REASON_TAG_FORGED;
	*identity = bpf_be64_to_cpu(claimed);
	return REASON_NONE;
}

/*
 * True when no other connection has come with this tag, of those that are remembered. Its own packet, sent again, is the
 * same tag with the same addresses and ports. Of two at the same moment the lock lets one be the first.
 */
static __always_inline bool is_first_use(__u64 seal, const struct packet *p)
{
	__u32 number = (little_endian(seal) >> 8) % REPLAY_BUCKETS, at;
	struct replay_bucket *bucket = bpf_map_lookup_elem(&replays, &number);
	struct replay *use;
	bool first;

	if (!bucket)
		return false;
	bpf_spin_lock(&bucket->lock);
	for (at = 0; at < REPLAYS_TOGETHER && bucket->seals[at] != seal; at++)
		;
	first = at == REPLAYS_TOGETHER;
	if (first)
		at = bucket->next++;
	at %= REPLAYS_TOGETHER;
	use = &bucket->uses[at];
	if (first) {
		bucket->seals[at] = seal;
		use->source = p->source;
		use->destination = p->destination;
		use->source_port = p->source_port;
		use->destination_port = p->destination_port;
	} else {
		first = same_address(&use->source, &p->source) && same_address(&use->destination, &p->destination) &&
			use->source_port == p->source_port && use->destination_port == p->destination_port;
	}
	bpf_spin_unlock(&bucket->lock);
	return first;
}

/*
 * Which identity a packet has proven: *identity, 0 where it bears no tag. Returns enum reason; where that is not
 * REASON_NONE the packet must be dropped, and *identity is 0. Whether anybody knows that identity is not asked here.
 */
FUNCTION verify_tag(struct __sk_buff *skb, const struct packet *p, __u64 *identity)
{
	const struct settings *settings = settings_now();
	const struct tag_key *key;
	__be32 numbers[2]; /* sequence, acknowledged */
	enum reason reason;
	__u32 window, ahead, epoch, at;
	__be64 claimed;
	__u64 seal;
	__u8 control;
	bool answer;

	if (!p || !identity)
		return REASON_TRUNCATED;
	*identity = 0;
	window = settings ? tag_window_now(settings) : 0;
	if (!window)
		return REASON_NONE;
	reason = find_tag(skb, p, &at);
	if (reason || !at)
		return reason;
	if (read_packet(skb, at + offsetof(struct tag_option, identity), &claimed, sizeof(claimed)) ||
	    read_packet(skb, at + offsetof(struct tag_option, control), &seal, sizeof(seal)) ||
	    read_packet(skb, p->l4 + offsetof(struct tcp_head, sequence), numbers, sizeof(numbers)))
		return REASON_TRUNCATED;
	control = little_endian(seal);
	answer = p->tcp_flags & TCP_ACK;
	if (answer != !!(control & TAG_ANSWER) || !claimed)
		return REASON_TAG_MAC;
	epoch = control >> 6;
	key = bpf_map_lookup_elem(&tag_keys, &epoch);
	if (!key || !key->valid)
		return REASON_TAG_WINDOW;
	ahead = (control - window) % TAG_WINDOWS;
	if (ahead == TAG_WINDOWS - 1)
		window--;
	else if (ahead <= 1)
		window += ahead;
	else
		return REASON_TAG_WINDOW;
	if (tag_seal(key, claimed, window, numbers[0], answer ? numbers[1] : 0, control) != seal)
		return REASON_TAG_MAC;
	if (!is_first_use(seal, p))
		return REASON_TAG_REPLAY;
	count_incident(INCIDENT_TAG_VERIFIED);
	*identity = bpf_be64_to_cpu(claimed);
	return REASON_NONE;
}

#endif
