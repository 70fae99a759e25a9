/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef SALLYPORT_LOCAL_SOCKETS_H
#define SALLYPORT_LOCAL_SOCKETS_H

/*
 * UNIX sockets. The one at the other end is judged by where its file lies, whatever name it was reached by; one with an
 * abstract name by "@" and the name, without zeros at its end. Binding to a path is making a file there.
 */

#include "destinations.h"

#define NAME_OFFSET 2 /* of sun_path */
#define NAME_MOST 108
#define AUTOMATIC_NAME "@00000"

struct sockaddr_un {
	__u16 sun_family;
} KERNEL;

struct unix_address {
	int len;
	struct sockaddr_un name[0];
} KERNEL;

struct unix_sock {
	struct unix_address *addr;
	struct path path;
} KERNEL;

/* `name` is sun_path: a zero, and the name. */
struct abstract_name {
	__u64 name;   /* address */
	__u32 length; /* of sun_path; 0: the kernel will choose one */
	__u32 access;
};

/* From the end: zeros inside are shown as /proc/net/unix does. */
static long show_zero(__u32 index, struct reader *reader)
{
	struct bearer *bearer = reader->bearer;
	__u8 *byte = &bearer->text[(NAME_MOST - 1 - index) & 127];

	if (*byte)
		bearer->walk.left = 1;
	else if (bearer->walk.left)
		*byte = '@';
	return 0;
}

static __always_inline void write_name(struct reader *reader, const struct abstract_name *from)
{
	__u32 length = from->length < NAME_MOST ? from->length : NAME_MOST;
	struct bearer *bearer = reader->bearer;

	__builtin_memset(bearer->text, 0, 128);
	if (length)
		bpf_probe_read_kernel(bearer->text, length & 127, (void *)from->name);
	else
		__builtin_memcpy(bearer->text, AUTOMATIC_NAME, sizeof(AUTOMATIC_NAME));
	bearer->walk.left = 0;
	bpf_loop(NAME_MOST - 1, show_zero, reader, 0);
	bearer->text[0] = '@';
	bearer->walk.left = 0;
	bearer->walk.depth = 0;
	bearer->walk.at = 0;
}

/* One profile's word: 0, -EPERM, or AGAIN. */
FUNCTION judge_abstract_once(struct bearer *bearer, struct abstract_name *name)
{
	struct reader reader = { .bearer = bearer };
	struct profile *head;
	__u32 accesses;

	if (!bearer || !name)
		return -EPERM;
	accesses = ACCESS(name->access & 15);
	reader.profile = profile_of(bearer);
	head = reader.profile ? head_of(reader.profile) : NULL;
	if (!head)
		return refuse_orphan(bearer, CLASS_FILE, name->access);
	if (!(head->accesses & accesses))
		return 0;
	bearer->walk.dentry = 0;
	bearer->walk.flags = WALK_TEXT;
	keep_current(bearer, head);
	write_name(&reader, name);
	bearer->walk.state = head->start;
	bpf_loop(CHUNKS, read_chunk, &reader, 0);
	bearer->walk.flags &= ~WALK_DONE;
	return bearer->walk.flags & WALK_LOST ? AGAIN : rule_on_match(bearer, reader.profile, head, accesses);
}

/* 0 or -EACCES, as for paths. */
FUNCTION judge_abstract(struct bearer *bearer, struct abstract_name *name)
{
	int outcome;

	if (!bearer || !name)
		return -EACCES;
	for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
		outcome = judge_abstract_once(bearer, name);
		if (!outcome)
			return 0;
		if (outcome < 0)
			return -EACCES;
	}
	refuse_lost(bearer, ACCESS(name->access & 15));
	return -EACCES;
}

/* Nameless ends of pairs, and those that never bound, are whoever made them. */
static __always_inline int judge_other_end(struct bearer *bearer, struct sock *other)
{
	struct unix_sock *there = bpf_skc_to_unix_sock(other);
	struct abstract_name name = { .access = ACCESS_CONNECT };
	struct unix_address *address;
	struct dentry *dentry;
	int length;

	if (!there)
		return 0;
	dentry = there->path.dentry;
	if (dentry)
		return judge_dentry(bearer, there->path.mnt, dentry, ACCESS(ACCESS_CONNECT));
	address = there->addr;
	if (!address)
		return 0;
	length = BPF_CORE_READ(address, len);
	if (length <= NAME_OFFSET)
		return 0;
	name.length = length - NAME_OFFSET;
	name.name = (__u64)address + bpf_core_field_offset(address->name) + NAME_OFFSET;
	return judge_abstract(bearer, &name) ? -EACCES : 0;
}

SEC("lsm/unix_stream_connect")
int BPF_PROG(connect_local, struct sock *sk, struct sock *other, struct sock *made)
{
	struct bearer *bearer;
	int refused = bearer_now(&bearer);

	if (!bearer)
		return refused;
	return judge_other_end(bearer, other);
}

SEC("lsm/unix_may_send")
int BPF_PROG(send_local, struct socket *socket, struct socket *other)
{
	struct bearer *bearer;
	int refused = bearer_now(&bearer);
	struct sock *there;

	if (!bearer)
		return refused;
	there = other->sk;
	return there ? judge_other_end(bearer, there) : 0;
}

SEC("lsm/socket_bind")
int BPF_PROG(bind_local, struct socket *socket, struct sockaddr *address, int length)
{
	struct abstract_name name = { .access = ACCESS_BIND };
	struct sock *sk = socket->sk;
	struct bearer *bearer;
	int refused = bearer_now(&bearer);
	__u8 first = 0;

	if (!bearer || !sk)
		return refused;
	if (BPF_CORE_READ(sk, __sk_common.skc_family) != AF_UNIX || length < NAME_OFFSET)
		return 0;
	name.name = (__u64)address + NAME_OFFSET;
	name.length = length - NAME_OFFSET;
	if (length > NAME_OFFSET && (bpf_probe_read_kernel(&first, 1, (void *)name.name) || first))
		return 0;
	return judge_abstract(bearer, &name) ? -EACCES : 0;
}

#endif
