/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What bpf/lib says of tags, on packets of the tests' own: each program returns an enum reason, and leaves the identity
 * in the packet's source hardware address and the two bytes behind it. `hash` takes key and message as its packet.
 */

#include "../../../bpf/lib/tag.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

static __always_inline int answer(struct __sk_buff *skb, int reason, __u64 identity)
{
	bpf_skb_store_bytes(skb, 6, &identity, sizeof(identity), 0);
	return reason;
}

SEC("tc")
int carried(struct __sk_buff *skb)
{
	struct packet p = {};
	__u64 identity = 0;
	int reason = parse_packet(skb, ETH_HLEN, skb->protocol, &p);

	return answer(skb, reason ? -reason : carried_tag(skb, &p, &identity), identity);
}

SEC("tc")
int verified_tag(struct __sk_buff *skb)
{
	struct packet p = {};
	__u64 identity = 0;
	int reason = parse_packet(skb, ETH_HLEN, skb->protocol, &p);

	return answer(skb, reason ? -reason : verify_tag(skb, &p, &identity), identity);
}

/* As a cgroup's program sees it: from the network header on. Its answer is one bit, so that it is here to be loaded. */
SEC("cgroup_skb/ingress")
int verified_at_cgroup(struct __sk_buff *skb)
{
	struct packet p = {};
	__u64 identity = 0, claimed = 0;

	if (parse_packet(skb, 0, skb->protocol, &p) || carried_tag(skb, &p, &claimed))
		return 0;
	return !verify_tag(skb, &p, &identity) && identity == claimed;
}

SEC("tc")
int hash(struct __sk_buff *skb)
{
	__u64 words[5];

	if (bpf_skb_load_bytes(skb, 0, words, sizeof(words)))
		return 1;
	words[0] = siphash(words, words[2], words[3], words[4]);
	return bpf_skb_store_bytes(skb, 0, words, sizeof(words[0]), 0) ? 1 : 0;
}
