/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef SALLYPORT_CONNTRACK_H
#define SALLYPORT_CONNTRACK_H

/*
 * What the kernel's connection tracking knows and a packet no longer tells: who opened a connection, and who
 * sent it before its source was rewritten. Asked only for first packets. Where nf_conntrack is not loaded there is no
 * such function: then the loader leaves `with_conntrack` false, and nothing is known. (The functions' addresses cannot
 * be asked for instead: libbpf 1.1 finds them in the kernel's own types only, and nf_conntrack is mostly a module.)
 */

#include "parse.h"

union nf_inet_addr {
	__be32 all[4];
} __attribute__((preserve_access_index));

union nf_conntrack_man_proto {
	__be16 all;
} __attribute__((preserve_access_index));

struct nf_conntrack_man {
	union nf_inet_addr u3;
	union nf_conntrack_man_proto u;
	__u16 l3num;
} __attribute__((preserve_access_index));

struct nf_conntrack_tuple {
	struct nf_conntrack_man src;
	struct {
		union nf_inet_addr u3;
		union {
			__be16 all;
		} u;
	} dst;
} __attribute__((preserve_access_index));

struct nf_conntrack_tuple_hash {
	struct nf_conntrack_tuple tuple;
} __attribute__((preserve_access_index));

struct nf_conn {
	struct nf_conntrack_tuple_hash tuplehash[2];
} __attribute__((preserve_access_index));

struct bpf_ct_opts___sallyport {
	__s32 netns_id;
	__s32 error;
	__u8 l4proto;
	__u8 dir;
	__u8 reserved[2];
};

struct nf_conn *bpf_skb_ct_lookup(struct __sk_buff *skb, struct bpf_sock_tuple *tuple, __u32 tuple_size,
				  struct bpf_ct_opts___sallyport *options, __u32 options_size) __ksym __weak;
void bpf_ct_release(struct nf_conn *connection) __ksym __weak;

const volatile bool with_conntrack = false;

enum { CT_ORIGINAL = 0, CT_REPLY = 1 };

/* An end of a connection, as rewriting has left it or not. */
enum tracked_end {
	TRACKED_SOURCE = 0,   /* who opened it, before any rewriting */
	TRACKED_TARGET = 1,   /* to whom, before any rewriting */
	TRACKED_ANSWERER = 2, /* who answers it */
};

struct connection {
	bool known;
	bool reversed; /* the packet goes against the direction the connection was opened in */
	__be16 port;   /* of the end that was asked for */
	struct address address;
};

/* Reads an address of a tuple. */
static __always_inline void read_tuple_address(struct address *to, const union nf_inet_addr *from, bool ipv6)
{
	__u32 *words = (__u32 *)to->bytes;

	if (ipv6) {
		words[0] = from->all[0];
		words[1] = from->all[1];
		words[2] = from->all[2];
		words[3] = from->all[3];
	} else {
		words[0] = words[1] = 0;
		words[2] = bpf_htonl(0xffff);
		words[3] = from->all[0];
	}
}

static __always_inline struct nf_conn *lookup_connection(struct __sk_buff *skb, const struct packet *p, bool reverse,
							 __u8 *dir)
{
	struct bpf_ct_opts___sallyport options = { .netns_id = -1, .l4proto = p->protocol };
	struct bpf_sock_tuple tuple = {};
	const struct address *from = reverse ? &p->destination : &p->source;
	const struct address *to = reverse ? &p->source : &p->destination;
	__be16 from_port = reverse ? p->destination_port : p->source_port;
	__be16 to_port = reverse ? p->source_port : p->destination_port;
	struct nf_conn *connection;

	if (p->ipv6) {
		__builtin_memcpy(tuple.ipv6.saddr, from, 16);
		__builtin_memcpy(tuple.ipv6.daddr, to, 16);
		tuple.ipv6.sport = from_port;
		tuple.ipv6.dport = to_port;
		connection = bpf_skb_ct_lookup(skb, &tuple, sizeof(tuple.ipv6), &options, sizeof(options));
	} else {
		__builtin_memcpy(&tuple.ipv4.saddr, &from->bytes[12], 4);
		__builtin_memcpy(&tuple.ipv4.daddr, &to->bytes[12], 4);
		tuple.ipv4.sport = from_port;
		tuple.ipv4.dport = to_port;
		connection = bpf_skb_ct_lookup(skb, &tuple, sizeof(tuple.ipv4), &options, sizeof(options));
	}
	*dir = options.dir;
	return connection;
}

FUNCTION read_connection(struct __sk_buff *skb, const struct packet *p, struct connection *c, __u32 end)
{
	struct nf_conn *connection;
	__u8 dir = 0;
	bool reverse = false;

	if (!p || !c)
		return 0;
	__builtin_memset(c, 0, sizeof(*c));
	if (p->protocol != IPPROTO_TCP && p->protocol != IPPROTO_UDP)
		return 0;
	if (!with_conntrack)
		return 0;
	connection = lookup_connection(skb, p, false, &dir);
	if (!connection) {
		/* Rewritten: the packet is no tuple of the connection, its answer is. */
		reverse = true;
		connection = lookup_connection(skb, p, true, &dir);
	}
	if (!connection)
		return 0;
	c->known = true;
	c->reversed = (dir == CT_REPLY) != reverse;
	if (end == TRACKED_TARGET) {
		c->port = connection->tuplehash[CT_ORIGINAL].tuple.dst.u.all;
		read_tuple_address(&c->address, &connection->tuplehash[CT_ORIGINAL].tuple.dst.u3, p->ipv6);
	} else {
		/* The compiler must not make one read of two places. */
		if (end == TRACKED_SOURCE) {
			c->port = connection->tuplehash[CT_ORIGINAL].tuple.src.u.all;
			read_tuple_address(&c->address, &connection->tuplehash[CT_ORIGINAL].tuple.src.u3, p->ipv6);
		} else {
			c->port = connection->tuplehash[CT_REPLY].tuple.src.u.all;
			read_tuple_address(&c->address, &connection->tuplehash[CT_REPLY].tuple.src.u3, p->ipv6);
		}
	}
	bpf_ct_release(connection);
	return 0;
}

/* How a packet goes in the conversation that is tracked, where there is one. */
enum course {
	COURSE_UNKNOWN = 0,
	COURSE_FORTH = 1, /* as it was opened */
	COURSE_BACK = 2,
};

/* For callers with no room for all of a connection. */
FUNCTION course_of(struct __sk_buff *skb, const struct packet *p)
{
	struct connection connection = {};

	if (!p)
		return COURSE_UNKNOWN;
	read_connection(skb, p, &connection, TRACKED_SOURCE);
	if (!connection.known)
		return COURSE_UNKNOWN;
	return connection.reversed ? COURSE_BACK : COURSE_FORTH;
}

#endif
