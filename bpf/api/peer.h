/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef SALLYPORT_API_PEER_H
#define SALLYPORT_API_PEER_H

/*
 * Peers of other nodes: where they are, who they are, and how that was learnt. docs/protocol.md is the whole story.
 *
 *   address          -> what is there            domains     LPM
 *   identity         -> slot                     identities  hash
 *   remote end       -> identity                 verified    hash; written by the agent after a handshake
 *   token            -> who comes                claims      hash; written by the agent, used up by the kernel
 *   epoch & 3        -> key                      tag_keys    array
 *   tag              -> the connection it came with  replays  array of buckets
 */

#include "types.h"

enum domain_flags {
	DOMAIN_TAG = 1,  /* tags are written toward it */
	DOMAIN_HOLD = 2, /* an agent speaks for it: unknown peers are held and asked for */
	DOMAIN_NODE = 4, /* a node itself: most who speak from it are no containers, and no handshake tells who they are */
};

struct domain_key {
	__u32 prefix; /* of 128 bits */
	struct address network;
} __attribute__((packed));

struct domain {
	__u32 flags; /* enum domain_flags */
};

/*
 * The remote end of verified conversations. With all ports and the protocol 0: everything between the endpoint and
 * that address, which is one container's own. Else this one conversation. `local` is the sending container's slot where
 * the endpoint opens, and 0 where it is reached.
 */
struct verified_key {
	__u32 endpoint;
	__u32 local;
	struct address remote;
	__be16 remote_port;
	__be16 local_port;
	__u8 protocol;
	__u8 pad[3];
};

enum verified_flags {
	VERIFIED_REFUSED = 1, /* the handshake was refused: nothing passes until this expires */
	VERIFIED_WORLD = 2,   /* its agent says that nobody of the domain is there: judge by address */
};

struct verified {
	__u64 identity;
	__u32 expires; /* coarse monotonic, s */
	__u32 used;    /* when it last decided a packet: coarse monotonic, s; the kernel writes it */
	__u32 flags;   /* enum verified_flags */
	__u32 pad;
};

struct claim_key {
	__u8 token[16];
};

struct claim {
	__u64 identity; /* who will come with it */
	__u64 expires;  /* coarse monotonic, ns */
	__u32 endpoint; /* whom it leads to; 0: whoever the way leads to */
	__u8 protocol;
	__u8 used;      /* it has come: further copies are dropped in silence */
	__u8 pad[2];
};

/* What a token looks like on its way: the whole payload of a datagram, an echo request or a SYN. */
#define CLAIM_MAGIC 0x5a11f0a7c1a1d0e5ULL /* big-endian on the wire */

struct claim_payload {
	__be64 magic;
	__u8 token[16];
} __attribute__((packed));

/* What `find_receiver` is asked, behind 14 bytes that say nothing: who listens on the host's own network. */
struct receiver_question {
	struct address address;
	__be16 port;
	__u8 protocol;
	__u8 pad;
};

/* And the answer, the first words of `cb`. */
struct receiver {
	__u32 endpoint;
	__u32 slot;
};

/* Key: epoch & 3. */
struct tag_key {
	__u64 halves[2]; /* the 128-bit key as SipHash reads it: little-endian */
	__u32 epoch;
	__u32 valid;
};

/*
 * TCP option on SYN and SYN-ACK: RFC 6994, shared experimental kind. 20 bytes, which is what a SYN of Linux has free.
 * mac: the first seven bytes of SipHash-2-4 over struct tag_message.
 */
#define TAG_KIND 254
#define TAG_LENGTH 20
#define TAG_EXPERIMENT 0x5a11

struct tag_option {
	__u8 kind;
	__u8 length;
	__be16 experiment;
	__be64 identity;
	__u8 control; /* epoch & 3 in the upper two bits, 1 for SYN-ACK in the next, window & 31 in the rest */
	__u8 mac[7];
} __attribute__((packed));

struct tag_message {
	__be64 identity;
	__be32 window;   /* wall clock in seconds / settings.tag_window */
	__be32 sequence; /* of the packet */
	__be32 answered; /* SYN-ACK: the acknowledgement number; SYN: 0 */
	__u8 control;
	__u8 pad[3];
} __attribute__((packed));

/* The connection that a tag came with. */
struct replay {
	struct address source;
	struct address destination;
	__be16 source_port;
	__be16 destination_port;
};

#define REPLAY_BUCKETS 16384
#define REPLAYS_TOGETHER 8

/* Tags whose MACs begin alike; the ninth takes the place of the first. */
struct replay_bucket {
	struct bpf_spin_lock lock;
	__u32 next;                    /* the place that is taken next, modulo REPLAYS_TOGETHER */
	__u64 seals[REPLAYS_TOGETHER]; /* control and MAC as the option bears them; 0: free */
	struct replay uses[REPLAYS_TOGETHER];
};

/* Value of the cgroup storage of the program that writes tags: whose cgroup it is. */
struct tag_owner {
	__u64 identity; /* 0: nobody's, no tag is written */
};

#endif
