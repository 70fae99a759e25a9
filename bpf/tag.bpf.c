/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * tag: a sock_ops program on each container's cgroup, which writes the container's identity into the headers that open
 * its TCP connections. Whose cgroup it is stands in the cgroup's own storage, `tag_owners`.
 *
 *   SYN       where the address lies in `domains` with DOMAIN_TAG; nobody else learns who asks
 *   SYN-ACK   where the SYN it answers bore a tag, which has been verified before it came to the socket
 *
 * It judges nothing. It reads domains, settings and the signing key, writes one option, and counts. Where the options
 * are full, or others have written a tag before (a container within a container), the packet goes as it is.
 *
 * What a packet costs: a SYN one lookup in `domains` and one SipHash, a SYN-ACK two searches of the
 * SYN's options and, where they find a tag, the same. The kernel is told to ask for options when a socket connects or
 * listens, and to stop when the connection is established: data costs nothing. A listener also keeps the headers of
 * each SYN (TCP_SAVE_SYN), for the SYN-ACK that must be sent again.
 *
 * What listened before the program was attached nobody has told to ask, and no callback of a connection can: none is
 * called with the listener itself. At an interface, the program there writes the tag instead (lib/countersign.h). On the
 * host network `adopt_listeners`, an iterator over the TCP sockets of a network namespace, makes the listeners in the
 * cgroups of `adopted_cgroups` ask, from Linux 6.12 on; before, each connection to them takes a handshake. It prints
 * port and outcome (0, or a negative errno) of each.
 */

#include "lib/tag.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define FAMILY_INET 2
#define LEVELS_MAX 12 /* below its container's cgroup a process may have moved */
#define LEVEL_TCP 6
#define OPTION_SAVE_SYN 27
#define OPTION_CALLBACKS 1008 /* TCP_BPF_SOCK_OPS_CB_FLAGS, Linux 6.12 */

struct {
	__uint(type, BPF_MAP_TYPE_CGROUP_STORAGE);
	__type(key, __u64); /* the cgroup's id */
	__type(value, struct tag_owner);
} tag_owners SEC(".maps");

/* What is needed to write one. */
struct pen {
	__u64 identity;
	const struct tag_key *key;
	__u32 window;
};

static __always_inline bool take_pen(struct pen *pen)
{
	const struct tag_owner *owner = bpf_get_local_storage(&tag_owners, 0);
	const struct settings *settings = settings_now();

	if (!owner->identity || !settings)
		return false;
	pen->identity = owner->identity;
	pen->window = tag_window_now(settings);
	pen->key = signing_key(settings);
	return pen->window && pen->key;
}

static __always_inline bool leads_to_domain(struct bpf_sock_ops *ops)
{
	struct domain_key key = { .prefix = 128 };
	__u32 *network = (__u32 *)key.network.bytes;
	struct domain *domain;

	if (ops->family == FAMILY_INET) {
		network[2] = bpf_htonl(0xffff);
		network[3] = ops->remote_ip4;
		barrier_var(network); /* else both last words are one read at two offsets, which the verifier refuses */
	} else {
		network[0] = ops->remote_ip6[0];
		network[1] = ops->remote_ip6[1];
		network[2] = ops->remote_ip6[2];
		network[3] = ops->remote_ip6[3];
	}
	domain = bpf_map_lookup_elem(&domains, &key);
	return domain && domain->flags & DOMAIN_TAG;
}

/* The SYN in hand, or, where its answer is sent again, what the listener has kept of it. */
static __always_inline bool answers_tag(struct bpf_sock_ops *ops)
{
	struct tag_option tag = { .kind = TAG_KIND, .length = 4, .experiment = bpf_htons(TAG_EXPERIMENT) };

	return bpf_load_hdr_opt(ops, &tag, sizeof(tag), BPF_LOAD_HDR_OPT_TCP_SYN) == TAG_LENGTH;
}

/*
 * A request is not a full socket yet: it answers a SYN. Who sends a SYN has connected, and asks for options only because
 * it leads to the domain. What a full socket sends with SYN and ACK crosses another's SYN, or opens fast.
 */
static __always_inline bool wants_tag(struct bpf_sock_ops *ops)
{
	if (!(ops->skb_tcp_flags & TCP_SYN))
		return false;
	if (!ops->is_fullsock)
		return answers_tag(ops);
	return !(ops->skb_tcp_flags & TCP_ACK) || leads_to_domain(ops);
}

/* Where there is nothing to write with after all, the kernel fills the place with options that mean nothing. */
static __always_inline void reserve_tag(struct bpf_sock_ops *ops)
{
	if (wants_tag(ops) && bpf_reserve_hdr_opt(ops, TAG_LENGTH, 0))
		count_incident(INCIDENT_TAG_NO_ROOM);
}

static __always_inline void store_tag(struct bpf_sock_ops *ops)
{
	const struct tcp_head *head = (void *)(long)ops->skb_data;
	bool answer = ops->skb_tcp_flags & TCP_ACK;
	struct tag_option tag;
	struct pen pen;

	if ((void *)(head + 1) > (void *)(long)ops->skb_data_end)
		return;
	if (!take_pen(&pen) || !wants_tag(ops))
		return;
	make_tag(&tag, pen.key, pen.window, pen.identity, head->sequence, answer ? head->acknowledged : 0, answer);
	if (!bpf_store_hdr_opt(ops, &tag, sizeof(tag), 0))
		count_incident(INCIDENT_TAG_WRITTEN);
}

static __always_inline void ask_for_options(struct bpf_sock_ops *ops, __u32 also)
{
	bpf_sock_ops_cb_flags_set(ops, ops->bpf_sock_ops_cb_flags | BPF_SOCK_OPS_WRITE_HDR_OPT_CB_FLAG | also);
}

static __always_inline void ask_no_more(struct bpf_sock_ops *ops)
{
	if (ops->bpf_sock_ops_cb_flags & BPF_SOCK_OPS_WRITE_HDR_OPT_CB_FLAG)
		bpf_sock_ops_cb_flags_set(ops, ops->bpf_sock_ops_cb_flags & ~BPF_SOCK_OPS_WRITE_HDR_OPT_CB_FLAG);
}

SEC("sockops")
int write_tag(struct bpf_sock_ops *ops)
{
	struct pen pen;
	int on = 1;

	switch (ops->op) {
	case BPF_SOCK_OPS_HDR_OPT_LEN_CB:
		reserve_tag(ops);
		break;
	case BPF_SOCK_OPS_WRITE_HDR_OPT_CB:
		store_tag(ops);
		break;
	case BPF_SOCK_OPS_TCP_CONNECT_CB:
		if (take_pen(&pen) && leads_to_domain(ops))
			ask_for_options(ops, 0);
		else
			ask_no_more(ops); /* it may have listened before */
		break;
	case BPF_SOCK_OPS_TCP_LISTEN_CB:
		/* Whatever is configured now: it may be otherwise when a connection comes. */
		ask_for_options(ops, 0);
		bpf_setsockopt(ops, LEVEL_TCP, OPTION_SAVE_SYN, &on, sizeof(on));
		break;
	case BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB:
		ask_no_more(ops);
		break;
	case BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB:
		/* Fast Open calls a connection established when the SYN has come, and answers it after that. */
		if ((ops->skb_tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN)
			ask_for_options(ops, BPF_SOCK_OPS_STATE_CB_FLAG);
		else
			ask_no_more(ops);
		break;
	case BPF_SOCK_OPS_STATE_CB:
		if (ops->args[0] == BPF_TCP_SYN_RECV)
			ask_no_more(ops);
		break;
	}
	return 1;
}

struct kernfs_node {
	__u64 id;
} __attribute__((preserve_access_index));

struct cgroup {
	struct kernfs_node *kn;
	int level;
	struct cgroup *ancestors[];
} __attribute__((preserve_access_index));

struct sock_cgroup_data {
	struct cgroup *cgroup;
} __attribute__((preserve_access_index));

struct sock_common {
	unsigned char skc_state;
	__u16 skc_num;
} __attribute__((preserve_access_index));

struct sock {
	struct sock_cgroup_data sk_cgrp_data;
} __attribute__((preserve_access_index));

struct bpf_iter_meta {
	struct seq_file *seq;
} __attribute__((preserve_access_index));

struct bpf_iter__tcp {
	struct bpf_iter_meta *meta;
	struct sock_common *sk_common;
} __attribute__((preserve_access_index));

/* Key: a cgroup's id. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u64);
	__type(value, __u32);
} adopted_cgroups SEC(".maps");

static __always_inline bool is_adopted(struct sock *socket)
{
	struct cgroup *cgroup = BPF_CORE_READ(socket, sk_cgrp_data.cgroup);
	int level = cgroup ? BPF_CORE_READ(cgroup, level) : -1;

	for (int i = 0; i <= LEVELS_MAX && level - i >= 0; i++) {
		struct cgroup *above = BPF_CORE_READ(cgroup, ancestors[level - i]);
		__u64 id = BPF_CORE_READ(above, kn, id);

		if (bpf_map_lookup_elem(&adopted_cgroups, &id))
			return true;
	}
	return false;
}

/* Not loaded unless asked for: nothing depends on it. */
SEC("?iter/tcp")
int adopt_listeners(struct bpf_iter__tcp *context)
{
	struct sock_common *socket = context->sk_common;
	int outcome, flags = 0, on = 1;

	if (!socket || socket->skc_state != BPF_TCP_LISTEN || !is_adopted((struct sock *)socket))
		return 0;
	outcome = bpf_getsockopt(socket, LEVEL_TCP, OPTION_CALLBACKS, &flags, sizeof(flags));
	if (!outcome) {
		flags |= BPF_SOCK_OPS_WRITE_HDR_OPT_CB_FLAG;
		outcome = bpf_setsockopt(socket, LEVEL_TCP, OPTION_CALLBACKS, &flags, sizeof(flags));
	}
	if (!outcome)
		outcome = bpf_setsockopt(socket, LEVEL_TCP, OPTION_SAVE_SYN, &on, sizeof(on));
	BPF_SEQ_PRINTF(context->meta->seq, "%d %d\n", socket->skc_num, outcome);
	return 0;
}
