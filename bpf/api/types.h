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
	SLOT_SOME = 4,   /* the most that any identity may: asked while nobody knows yet who is there */
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
	REASON_TAG_FORGED = 12,  /* a tag that leaves an endpoint and is not its own */
	REASON_TAG_MAC = 13,     /* a tag that nobody who has the key has made */
	REASON_TAG_WINDOW = 14,  /* a tag of another time, or of a key that is not in force */
	REASON_TAG_REPLAY = 15,  /* a tag that another connection has come with */
	REASON_TAG_UNKNOWN = 16, /* a tag of an identity nobody has told us of */
	REASON_UNTAGGED = 17,    /* from within the domain, opening, and nobody vouches for it */
	REASON_UNVERIFIED = 18,  /* payload before both ends agreed */
	REASON_REFUSED = 19,     /* the peer's agent, or ours, refused this peer a moment ago */
	REASON_CLAIM = 20,       /* a claim token: it is for us, never for the container */
	REASON_HOLD_RATE = 21,   /* more new peers in a second than the endpoint may ask for, or than there is room for */
	REASON_MAX,
};

/* What went wrong without changing a verdict. Each has a counter. */
enum incident {
	INCIDENT_EVENT_LOST = 0,    /* the ring buffer was full */
	INCIDENT_FLOW_LOST = 1,     /* no room in the flow table: the next packet is decided anew */
	INCIDENT_CONTRADICTION = 2, /* the socket's cgroup is another endpoint's than the interface's */
	INCIDENT_ADOPTED = 3,       /* a TCP flow first seen in mid-stream */
	INCIDENT_HELD = 4,          /* a packet marked to be held, or taken */
	INCIDENT_HOLD_LEAKED = 5,   /* a held packet about to leave the node with nobody having released it */
	INCIDENT_TAG_WRITTEN = 6,
	INCIDENT_TAG_NO_ROOM = 7,   /* the options were full: the connection needs a handshake */
	INCIDENT_TAG_VERIFIED = 8,
	INCIDENT_MAX,
};

#endif
