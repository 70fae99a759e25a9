/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef SALLYPORT_API_FLOW_H
#define SALLYPORT_API_FLOW_H

#include "types.h"

/* One conversation as its endpoint sees it: both directions are one entry. */
struct flow_key {
	__u32 endpoint;
	__u8 protocol;
	__u8 pad[3];
	struct address local;
	struct address remote;
	__be16 local_port; /* ICMP: see icmp_ports in lib/parse.h */
	__be16 remote_port;
};

enum flow_state {
	FLOW_NEW = 0,         /* one direction seen */
	FLOW_ESTABLISHED = 1, /* both */
	FLOW_CLOSING = 2,     /* a FIN seen */
	FLOW_CLOSED = 3,      /* a RST, or FINs of both */
};

enum flow_flags {
	FLOW_FIN_EGRESS = 1,
	FLOW_FIN_INGRESS = 2,
	FLOW_ADOPTED = 4, /* found mid-stream: who opened it is a guess */
	FLOW_PENDING = 8, /* opened, but nobody knows yet to whom: no payload passes; its revision is never the current one */
	FLOW_TAGGED = 16, /* `identity` came with a tag of this connection and holds as long as it lives */
};

struct flow {
	__u64 created; /* coarse monotonic, ns */
	__u64 seen;
	__u64 packets[2]; /* by enum direction */
	__u64 bytes[2];
	__u32 revision; /* of the policy that decided it */
	__u32 local;    /* slots */
	__u32 peer;
	__u32 rule;
	__u32 staged_rule;
	__u8 direction; /* of the packet that opened it */
	__u8 verdict;
	__u8 staged_verdict;
	__u8 state;
	__u32 flags;
	__u32 expires;  /* when what is known of the peer must be asked anew: coarse monotonic, s; 0: never */
	__u64 identity; /* the peer's, where a tag or a handshake told it; 0: its address tells */
};

struct fragment_key {
	__u32 endpoint;
	__u32 id;
	struct address source;
	struct address destination;
	__u8 protocol;
	__u8 pad[3];
};

struct fragment {
	__be16 source_port;
	__be16 destination_port;
	__u32 pad;
	__u64 seen;
};

#endif
