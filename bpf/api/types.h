/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef SALLYPORT_API_TYPES_H
#define SALLYPORT_API_TYPES_H

/*
 * Values shared by the kernel programs and user space. Everything under api/ is compiled into the
 * objects' BTF, from which the TypeScript layouts are generated: this is the one place they are written.
 */

#include <linux/types.h>

/* An IPv6 address, or an IPv4 one as ::ffff:a.b.c.d. Network byte order. */
struct address {
	__u8 bytes[16];
} __attribute__((aligned(4)));

enum direction {
	DIRECTION_EGRESS = 0,  /* from the endpoint */
	DIRECTION_INGRESS = 1, /* to the endpoint */
};

enum verdict {
	VERDICT_NONE = 0, /* no rule spoke */
	VERDICT_ALLOW = 1,
	VERDICT_DENY = 2,
	VERDICT_ALERT = 3, /* allow, and report */
	VERDICT_HOLD = 4,  /* wait for the handshake */
};

/* Slots below SLOT_FIRST name kinds of peers, not identities. */
enum slot {
	SLOT_NONE = 0,
	SLOT_HOST = 1,   /* this node itself */
	SLOT_WORLD = 2,  /* an address that belongs to nobody we know */
	SLOT_ANY = 3,    /* any identity the set does not list */
	SLOT_FIRST = 16,
};

/* Why a packet was dropped. Each has a counter; names are the metric's label. */
enum reason {
	REASON_NONE = 0,
	REASON_POLICY = 1,        /* a rule or a default denied it */
	REASON_SPOOFED = 2,       /* the source address is not the sender's */
	REASON_ETHERTYPE = 3,     /* neither IPv4, IPv6 nor ARP, or inside a VLAN tag */
	REASON_TRUNCATED = 4,     /* headers shorter than they claim */
	REASON_HEADER = 5,        /* headers that no honest stack sends */
	REASON_EXTENSIONS = 6,    /* more IPv6 extension headers than are parsed, or a routing header of type 0 */
	REASON_FRAGMENT = 7,      /* a fragment whose first part was not seen or is too small */
	REASON_ARP = 8,           /* ARP or neighbour discovery claiming another's address */
	REASON_NO_TABLE = 9,      /* the tables of this endpoint are missing: fail closed */
	REASON_UNRELATED = 10,    /* an ICMP error about a flow that is not there */
	REASON_STRAY = 11,       /* sent to an address that is not the receiver's */
	REASON_MAX,
};

/* What went wrong without changing a verdict. Each has a counter. */
enum incident {
	INCIDENT_EVENT_LOST = 0,    /* the ring buffer was full */
	INCIDENT_FLOW_LOST = 1,     /* no room in the flow table: the next packet is decided anew */
	INCIDENT_CONTRADICTION = 2, /* the socket's cgroup is another endpoint's than the interface's */
	INCIDENT_ADOPTED = 3,       /* a TCP flow first seen in mid-stream */
	INCIDENT_MAX,
};

#endif
