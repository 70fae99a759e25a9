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
};

struct question {
	struct flow_key key;
	struct party me;
	enum direction direction; /* of the packet in hand */
	enum direction opened;    /* of the one that opened the conversation */
	__u32 known;              /* the peer's slot, as an earlier packet found it */
	/* the answer */
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
