/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef SALLYPORT_API_EVENT_H
#define SALLYPORT_API_EVENT_H

#include "types.h"

enum event_kind {
	EVENT_VERDICT = 1, /* a packet was judged: denied, alerted, staged, or observed */
	EVENT_DROP = 2,    /* refused for another reason than policy */
	EVENT_CGROUP = 3,  /* a cgroup appeared, was entered by a process, went away */
	EVENT_CLAIM = 4,   /* a claim token came in */
	EVENT_STRANGER = 5, /* a good tag of an identity this node does not know */
	EVENT_VIOLATION = 6, /* a container did, or tried, what a hardening rule is about */
	EVENT_GATE = 7,      /* a container waits to begin */
};

/* One record of the ring buffer. The first member of every kind. */
struct event_head {
	__u64 time; /* monotonic, ns */
	__u8 kind;
	__u8 pad[7];
};

struct verdict_event {
	struct event_head head;
	__u32 endpoint;
	__u32 local; /* slots */
	__u32 peer;
	__u32 rule;
	__u32 staged_rule;
	__u32 suppressed; /* events of this endpoint not raised before this one */
	__u32 bytes;
	__u8 verdict;
	__u8 staged_verdict;
	__u8 direction;
	__u8 reason;
	struct address source;
	struct address destination;
	__be16 source_port;
	__be16 destination_port; /* ICMP: the type */
	__u8 protocol;
	__u8 pad[3];
};

enum cgroup_operation {
	CGROUP_CREATED = 1,
	CGROUP_ENTERED = 2,
	CGROUP_REMOVED = 3,
};

struct cgroup_event {
	struct event_head head;
	__u64 cgroup;
	__u32 operation;
	__u32 level;
	__u32 pid;
	__u32 pad;
};

/* EVENT_CLAIM: what a flow looks like from here. EVENT_STRANGER: who is asked for, and where it came from. */
struct peer_event {
	struct event_head head;
	__u8 token[16]; /* EVENT_CLAIM */
	__u64 identity; /* the sender's, as the claim or the tag says */
	__u32 endpoint;
	__u32 local;    /* slot */
	struct address source;
	struct address destination;
	__be16 source_port;
	__be16 destination_port;
	__u8 protocol;
	__u8 pad[3];
};

/* One record of the ring `taken`, before the packet's own bytes: what was taken from its sender to wait. */
struct taken_head {
	__u32 endpoint;
	__u32 length;  /* of the packet, from its IP header on */
	__u32 segment; /* bytes of payload of each packet it was to become; 0: it is one */
	__u32 pad;
};

/* Key 0 of settings. */
struct settings {
	__u32 revision;      /* flows decided under another one are decided again */
	__u32 observe;       /* report allowed flows too */
	__u64 heartbeat;     /* when the agent last said it lives, monotonic ns */
	__u32 event_rate;    /* events per endpoint and second */
	__u32 event_burst;
	__s64 clock_offset;  /* wall clock minus monotonic, ns: what the agent last read */
	__u32 tag_window;    /* seconds; 0: no tags are written nor read */
	__u32 tag_epoch;     /* of the key that signs */
	__u32 hold_mark;     /* the bit of skb->mark that says "hold"; 0: nothing is held */
	__u32 answer_mark;   /* what an answer of ours bears on its way past our own programs; never on the wire */
	__u32 hold_rate;     /* packets an endpoint may have held in a second */
	__u8 refusal;        /* enum refusal */
	__u8 hold_open;      /* what nobody can hold passes: 1 */
	__u8 pad[2];
};

/* What a refused packet is answered with, where its sender is no stranger. */
enum refusal {
	REFUSAL_SILENCE = 0,
	REFUSAL_RESET = 1, /* TCP is reset, the rest is dropped */
	REFUSAL_ICMP = 2,  /* administratively prohibited */
};

/* Per-CPU value of the drop counters; key: enum reason. */
struct drop_counter {
	__u64 packets;
	__u64 bytes;
};

#endif
