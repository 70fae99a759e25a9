/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef SALLYPORT_API_POLICY_H
#define SALLYPORT_API_POLICY_H

/*
 * The decision tables. A subject's rules in one direction are a *set*; the rules of a set that one peer can
 * meet are a *class*. Both are named by a hash of their content and never changed in place, so that publishing
 * is: write the new, swap the subject's set, then delete the old.
 *
 *   subject (slot) -> set            subjects        array
 *   set, peer      -> class          peers           hash; SLOT_ANY where the peer is not listed
 *   set, address   -> class          networks        LPM;  only where the set has CIDR rules
 *   class, port    -> decision       ports           hash; single ports
 *   class, port    -> decision       port_ranges     LPM;  ranges, and whole protocols
 *
 * A peer's class and its address' class each give a decision; the lower rank wins. That is at most seven
 * lookups, whatever the number of rules.
 */

#include "types.h"

/* Ranks: lower wins. What no rule matched has RANK_DEFAULT, what was not asked RANK_NONE. */
enum rank {
	RANK_DEFAULT = 0x7ffffffe,
	RANK_NONE = 0x7fffffff,
};

struct decision {
	__u32 rank;
	__u32 rule;
	__u32 staged_rank;   /* the same with the staged policies counted in */
	__u32 staged_rule;
	__u8 verdict;        /* enum verdict */
	__u8 staged_verdict; /* enum verdict */
	__u8 pad[6];
};

enum class_flags {
	CLASS_PORTS = 1,    /* look in ports */
	CLASS_RANGES = 2,   /* look in port_ranges */
	CLASS_NETWORKS = 4, /* the set has CIDR rules: look in networks too */
};

/* Value of peers and networks. */
struct class {
	__u64 id;            /* key of ports and port_ranges */
	__u32 flags;         /* enum class_flags */
	__u32 pad;
	struct decision any; /* what holds for every port not listed */
};

struct subject {
	__u64 identity;
	__u64 sets[2]; /* by enum direction; 0: no policy selects it, everything is allowed */
};

struct peer_key {
	__u64 set;
	__u32 peer; /* slot */
	__u32 pad;
};

struct network_key {
	__u32 prefix; /* 64 + the network's length in 128 bits */
	__u8 set[8];  /* the set, in the machine's byte order */
	struct address network;
} __attribute__((packed));

struct port_key {
	__u64 class;
	__u8 protocol;
	__u8 pad;
	__be16 port; /* ICMP: the type */
	__u32 pad2;
};

struct port_range_key {
	__u32 prefix;  /* 64 + 8 + the range's length in 16 bits; 64 + 8: the whole protocol */
	__u8 class[8]; /* the class, in the machine's byte order */
	__u8 protocol;
	__u8 port[2];
} __attribute__((packed));

struct rule_counter {
	__u64 packets; /* packets that were decided: first ones of allowed flows, all denied ones */
	__u64 bytes;
};

#endif
