/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef SALLYPORT_API_ENDPOINT_H
#define SALLYPORT_API_ENDPOINT_H

/* Who sits behind an interface, a cgroup, an address. */

#include "types.h"

enum interface_flags {
	INTERFACE_UPLINK = 1,  /* leads out of the node: a source address seen here proves nothing */
	INTERFACE_SHARED = 2, /* several containers share it: the socket's cgroup tells which one */
};

/* Key: ifindex. */
struct interface {
	__u32 endpoint; /* 0 for uplinks */
	__u32 slot;     /* the endpoint's own, where no container is known */
	__u32 flags;    /* enum interface_flags */
	__u32 cgroup_level;
};

enum container_flags {
	CONTAINER_HERE = 1, /* on the host's own network: what it has sent the agent can send again */
};

/* Key: cgroup id. */
struct container {
	__u32 endpoint;
	__u32 slot;
	__u32 flags; /* enum container_flags */
};

enum owner_flags {
	OWNER_SHARED = 1, /* several containers send from it: ask senders which */
};

/* Key: struct address. */
struct owner {
	__u32 endpoint; /* 0: the host's own address */
	__u32 slot;
	__u32 flags; /* enum owner_flags */
};

/*
 * A published or a Service's address and port: what a connection to it is a connection to. Who is behind a Service's, and
 * often at which port, is not known before it has been rewritten: SLOT_SOME, port 0.
 */
struct frontend_key {
	struct address address;
	__be16 port;
	__u8 protocol;
	__u8 pad;
};

struct backend {
	__u32 slot;
	__be16 port;
	__u16 flags; /* enum backend_flags */
};

enum backend_flags {
	BACKEND_GUARDED = 1, /* a Service, behind which somebody may be particular about who sends datagrams */
};

/* Who sent from a port of an address that several share: containers of a pod, host-network endpoints. */
struct sender_key {
	struct address address;
	__be16 port;
	__u8 protocol;
	__u8 pad;
};

struct sender {
	__u32 endpoint;
	__u32 slot;
	__u64 seen; /* coarse monotonic, ns */
};

/* Key: endpoint. What it costs us to listen to it. */
struct endpoint_state {
	__u64 refilled;    /* when its event budget was last filled, ns */
	__u32 budget;      /* events it may still raise */
	__u32 suppressed;  /* events not raised since the last one that was */
	__u64 denied_packets;
	__u64 denied_bytes;
	__u64 hold_refilled; /* as `refilled`, for packets to be held */
	__u32 hold_budget;
	__u32 pad;
};

#endif
