/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Reads through a pointer it never checked: the verifier must say so. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, __u32);
	__type(value, __u64);
	__uint(max_entries, 4);
} numbers SEC(".maps");

SEC("tc")
int careless(struct __sk_buff *skb)
{
	__u32 key = skb->len;
	__u64 *value = bpf_map_lookup_elem(&numbers, &key);

	return *value;
}

SEC("tc")
int careful(struct __sk_buff *skb)
{
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
