/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A map of every type and a program for every way of attaching, for the binding's tests. */
#include <linux/bpf.h>
#include <linux/types.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

struct pair {
	__u64 left;
	__u32 right;
	__u32 pad;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, __u32);
	__type(value, struct pair);
	__uint(max_entries, 64);
} pairs SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 65536);
} events SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __s32);
	__type(value, __u64);
} tasks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __s32);
	__type(value, __u64);
} sockets SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH_OF_MAPS);
	__type(key, __u32);
	__uint(max_entries, 4);
	__array(values, struct {
		__uint(type, BPF_MAP_TYPE_HASH);
		__type(key, __u32);
		__type(value, __u64);
		__uint(max_entries, 8);
	});
} outer SEC(".maps");

const volatile __u32 answer = 1;
const volatile __u64 record_bytes = 16;
__u64 runs;

/* Sends records of 4096 bytes or else 16, their first word counting up; those that find no room are lost. */
SEC("tc")
int send(struct __sk_buff *skb)
{
	__u64 n = __sync_fetch_and_add(&runs, 1);
	__u64 *record;

	if (record_bytes == 4096)
		record = bpf_ringbuf_reserve(&events, 4096, 0);
	else
		record = bpf_ringbuf_reserve(&events, 16, 0);
	if (!record)
		return 0;
	record[0] = n;
	record[1] = ~n;
	/* On demand, every fifth is thought better of. */
	if (record_bytes == 5 && n % 5 == 4)
		bpf_ringbuf_discard(record, 0);
	else
		bpf_ringbuf_submit(record, 0);
	return 1;
}

SEC("tc")
int say_answer(struct __sk_buff *skb)
{
	skb->mark = answer;
	return answer;
}

/* TCX_NEXT: whatever comes after decides. */
SEC("tc")
int pass_on(struct __sk_buff *skb)
{
	__sync_fetch_and_add(&runs, 1);
	return -1;
}

SEC("cgroup_skb/egress")
int count_egress(struct __sk_buff *skb)
{
	__sync_fetch_and_add(&runs, 1);
	return 1;
}

SEC("sockops")
int watch_sockets(struct bpf_sock_ops *ops)
{
	return 1;
}

SEC("tp_btf/sched_process_exec")
int count_exec(void *ctx)
{
	__sync_fetch_and_add(&runs, 1);
	return 0;
}

SEC("raw_tp/sched_process_exec")
int count_exec_raw(void *ctx)
{
	return 0;
}

SEC("uprobe/libc.so.6:exit")
int count_exit(void *ctx)
{
	__sync_fetch_and_add(&runs, 1);
	return 0;
}

struct sock_common {
	unsigned char skc_state;
	__u16 skc_num;
} __attribute__((preserve_access_index));

struct bpf_iter_meta {
	struct seq_file *seq;
} __attribute__((preserve_access_index));

struct bpf_iter__tcp {
	struct bpf_iter_meta *meta;
	struct sock_common *sk_common;
} __attribute__((preserve_access_index));

/* Prints the ports that are listened on. */
SEC("iter/tcp")
int print_listeners(struct bpf_iter__tcp *context)
{
	struct sock_common *socket = context->sk_common;

	if (socket && socket->skc_state == BPF_TCP_LISTEN)
		BPF_SEQ_PRINTF(context->meta->seq, "%d\n", socket->skc_num);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
