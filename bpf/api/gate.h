/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef SALLYPORT_API_GATE_H
#define SALLYPORT_API_GATE_H

/* The gate: what keeps a new container from its first instruction until its tables are in. See bpf/gate.bpf.c. */

#include "event.h"

enum gate_format {
	GATE_STATES = 4096,
	GATE_CLASSES = 64,
	GATE_NAME = 96,   /* longest cgroup name that is told whole, with its end */
	GATE_PATH = 1024, /* what the kernel's tracepoints tell of a path */
};

/* Which cgroup paths are containers': a deterministic automaton over the path from the root of the tree. State 0 is dead. */
struct gate_automaton {
	__u8 classes[256];         /* of each byte; below GATE_CLASSES */
	__u8 accepts[GATE_STATES]; /* enum gate_accept: what ends in this state */
	__u16 next[GATE_STATES * GATE_CLASSES];
};

enum gate_accept {
	GATE_ACCEPT_NONE = 0,
	GATE_ACCEPT_CONTAINER = 1,
	GATE_ACCEPT_EXCEPTION = 2, /* never waits, and what lies below neither */
};

enum gate_flags {
	GATE_ON = 1,          /* new containers wait */
	GATE_STALE_OPEN = 2,  /* without an agent nobody is stopped */
	GATE_FULL_KILL = 4,   /* a container there is no room for is killed; else it is let go */
};

#define GATE_AGENT_GONE 0xffffffffU /* no process has that number */

/* Key 0 of gate_settings. */
struct gate_settings {
	__u64 stale_after; /* ns after the last heartbeat */
	__u32 flags;       /* enum gate_flags */
	__u32 automaton;   /* which of the two is in force */
	__u32 start;       /* its first state */
	__u32 agent;       /* its process, as the initial pid namespace knows it; 0: not known; GATE_AGENT_GONE: ended */
};

/*
 * Key: cgroup id. A container that waits; an entry is taken away to let it go. One made in a waiting cgroup waits
 * with its owner, and has nothing but that and its name.
 */
struct gate {
	__u64 owner;   /* cgroup id of the container: its own key, but for those below */
	__u64 created; /* monotonic, ns */
	__u64 stopped; /* when the first process was; 0: none has been */
	__u64 maker;   /* root directory of who made the cgroup, and of who first entered it: the runtime's */
	__u64 entrant;
	__u32 pid;     /* of the process that was stopped first */
	__u32 pad;
	char name[GATE_NAME]; /* the cgroup's own name */
};

/* Key: pid (thread group). A process that was stopped. */
struct held {
	__u64 owner;
	__u64 start; /* when it was started, ns after boot; tells it from a later one with the same pid */
	__u64 time;  /* when it was stopped, monotonic, ns */
	__u32 flags; /* enum held_flags */
	__u32 pad;
};

enum held_flags {
	HELD_DISTURBED = 1, /* somebody has tried to continue it, which was told */
	HELD_CONDEMNED = 2, /* somebody in another container has: it is killed rather than let go */
};

enum gate_operation {
	GATE_STOPPED = 1,   /* a process was stopped */
	GATE_STALE = 2,     /* let go, because there is no agent */
	GATE_FULL = 3,      /* let go, because there is no room */
	GATE_KILLED = 4,    /* killed, because there is no room */
	GATE_CONTINUED = 5, /* somebody else continued a stopped process: it is stopped again */
	GATE_CONDEMNED = 6, /* somebody in another container did: it is killed */
	GATE_REFUSED = 7,   /* somebody tried to continue, or to trace, a stopped process, and was refused */
};

/* Per-CPU counters; the key is an enum gate_operation, or one of these. */
enum gate_count {
	GATE_COUNT_HELPER = 8,      /* runs of the runtime's helpers, which go on */
	GATE_COUNT_UNSTOPPABLE = 9, /* the kernel would not send the signal */
	GATE_COUNT_LONG = 10,       /* paths too long to be told whole: judged by their last part */
	GATE_COUNT_MAX,
};

/* EVENT_GATE */
struct gate_event {
	struct event_head head;
	__u64 owner;
	__u64 cgroup; /* the process', which may lie below the owner's; who disturbed it, where one was continued */
	__u32 pid;
	__u32 operation; /* enum gate_operation */
	char name[GATE_NAME]; /* the owner's */
};

#endif
