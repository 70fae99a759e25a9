/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef SALLYPORT_COUNTERSIGN_H
#define SALLYPORT_COUNTERSIGN_H

/*
 * The tag of a SYN-ACK whose socket has written none, because it listened before tag.bpf.c came to its cgroup. Whom it
 * names is who let the tagged SYN in. The packet has no payload, so that the option is its end.
 */

#include "tag.h"
#include "flow.h"

#define TCP_HEADER_MOST 60

/* Writes the packet longer by the option behind its header. The checksum may be one that a device is to finish. */
static __always_inline bool append_tag(struct __sk_buff *skb, const struct packet *p, const struct tcp_head *head,
				       const struct tag_option *tag)
{
	__u32 length_at = p->ipv6 ? ETH_HLEN + offsetof(struct ipv6_header, length) :
				    ETH_HLEN + offsetof(struct ipv4_header, length);
	__u32 checksum_at = p->l4 + offsetof(struct tcp_head, checksum);
	__u32 size = (head->offset >> 4) * 4;
	struct tcp_head grown = *head;
	__be16 before, after, words[2];

	if (bpf_skb_load_bytes(skb, length_at, &before, sizeof(before)))
		return false;
	after = bpf_htons(bpf_ntohs(before) + TAG_LENGTH);
	grown.offset += TAG_LENGTH / 4 << 4;
	__builtin_memcpy(&words[0], &head->offset, sizeof(words[0]));
	__builtin_memcpy(&words[1], &grown.offset, sizeof(words[1]));
	if (bpf_skb_change_tail(skb, p->l4 + size + TAG_LENGTH, 0) ||
	    bpf_skb_store_bytes(skb, p->l4 + size, tag, TAG_LENGTH, BPF_F_RECOMPUTE_CSUM) ||
	    bpf_skb_store_bytes(skb, p->l4 + offsetof(struct tcp_head, offset), &words[1], sizeof(words[1]),
				BPF_F_RECOMPUTE_CSUM) ||
	    bpf_skb_store_bytes(skb, length_at, &after, sizeof(after), BPF_F_RECOMPUTE_CSUM))
		return false;
	if (!p->ipv6 && bpf_l3_csum_replace(skb, ETH_HLEN + offsetof(struct ipv4_header, checksum), before, after,
					    sizeof(after)))
		return false;
	return !bpf_l4_csum_replace(skb, checksum_at, bpf_htons(size), bpf_htons(size + TAG_LENGTH),
				    BPF_F_PSEUDO_HDR | sizeof(__be16)) &&
	       !bpf_l4_csum_replace(skb, checksum_at, words[0], words[1], sizeof(words[1])) &&
	       !bpf_l4_csum_replace(skb, checksum_at, 0, bpf_csum_diff(NULL, 0, (__be32 *)tag, TAG_LENGTH, 0), 0);
}

/*
 * For a SYN-ACK that may leave its endpoint; `container` is whose socket sent it, 0 where no socket tells. Returns
 * nonzero where the packet is spoilt and must be dropped: it will be sent again.
 */
FUNCTION countersign(struct __sk_buff *skb, const struct packet *p, __u32 endpoint, __u32 container)
{
	const struct settings *settings = settings_now();
	struct tag_option tag __attribute__((aligned(4)));
	const struct tag_key *key;
	struct flow_key conversation;
	struct subject *subject;
	struct tcp_head head;
	struct flow *flow;
	__u32 window, slot, size, at;

	if (!p || !settings || p->first_fragment || p->later_fragment || find_tag(skb, p, &at) || at)
		return 0;
	window = tag_window_now(settings);
	key = signing_key(settings);
	if (!window || !key)
		return 0;
	flow_key(&conversation, endpoint, p, DIRECTION_EGRESS);
	flow = bpf_map_lookup_elem(&flows, &conversation);
	if (!flow || !(flow->flags & FLOW_TAGGED)) {
		/* Of several containers the one who let the SYN in knows. */
		conversation.endpoint ^= SCOPE_CONTAINER;
		flow = bpf_map_lookup_elem(&flows, &conversation);
	}
	if (!flow || !(flow->flags & FLOW_TAGGED) || flow->direction != DIRECTION_INGRESS)
		return 0;
	slot = flow->local;
	if (container && container != slot)
		return 0;
	subject = bpf_map_lookup_elem(&subjects, &slot);
	if (!subject || !subject->identity)
		return 0;
	if (read_packet(skb, p->l4, &head, sizeof(head)))
		return 0;
	size = (head.offset >> 4) * 4;
	if (p->l4 + size != skb->len)
		return 0;
	if (size + TAG_LENGTH > TCP_HEADER_MOST) {
		count_incident(INCIDENT_TAG_NO_ROOM);
		return 0;
	}
	make_tag(&tag, key, window, subject->identity, head.sequence, head.acknowledged, true);
	if (!append_tag(skb, p, &head, &tag))
		return -1;
	count_incident(INCIDENT_TAG_WRITTEN);
	return 0;
}

#endif
