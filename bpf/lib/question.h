/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef SALLYPORT_QUESTION_H
#define SALLYPORT_QUESTION_H

/* What is asked about a packet that no valid flow speaks for, and the answer. */

#include "kernel.h"
#include "../api/types.h"
#include "../api/policy.h"
#include "../api/flow.h"

struct party {
	__u32 endpoint;
	__u32 slot;
};

/* The other end of a conversation, and the port that was really meant. */
struct peer {
	struct party party;
	__be16 port;
	__u16 flags; /* enum backend_flags of the address it was asked for by */
};

/* Who has told whose an address of nobody here is. */
enum told {
	TOLD_NOTHING = 0,
	TOLD_TAG = 1,       /* a tag of this connection: holds as long as it lives */
	TOLD_HANDSHAKE = 2, /* an entry of `verified`: holds until it expires */
};

/* What becomes of an allowed packet. */
enum step {
	STEP_DECIDED = 0, /* it passes, and its flow is decided */
	STEP_GO = 1,      /* it passes: the answer's tag will tell who is there. The flow is pending */
	STEP_HOLD = 2,    /* it waits for the handshake. The flow is pending */
	STEP_END = 3,     /* it passes and changes nothing: the end of a pending flow */
};

struct question {
	struct flow_key key;
	struct party me;
	__u8 direction; /* enum direction, of the packet in hand */
	__u8 opened;    /* enum direction, of the one that opened the conversation */
	__u8 pending : 1; /* the packet continues a flow that is */
	__u8 own_tag : 1; /* it bears a tag that names its sender */
	__u8 waits : 1;   /* it can wait, if it must */
	__u32 known;    /* the peer's slot, as an earlier packet found it */
	__u64 tag;      /* the identity that a tag has told, of this packet or of an earlier one of its connection */
	/* the answer */
	__u64 identity; /* the peer's, where it was told */
	__u32 expires;  /* until when that is believed: coarse monotonic, s; 0: always */
	__u8 told;      /* enum told */
	__u8 domain;    /* enum domain_flags of the peer's address, where nobody has told whose it is */
	__u8 step;      /* enum step */
	__u8 answered;  /* the packet was refused, and this is the action that answers it */
	enum reason reason;
	struct peer peer;
	struct decision decision;
};

static __always_inline void no_decision(struct decision *d)
{
	__builtin_memset(d, 0, sizeof(*d));
	d->rank = d->staged_rank = RANK_NONE;
}

#endif
