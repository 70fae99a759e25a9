/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef SALLYPORT_HARDEN_MAPS_H
#define SALLYPORT_HARDEN_MAPS_H

/* The tables of hardening. Only the agent writes, except where "kernel" stands beside it. */

#include "telling.h"
#include "../api/harden.h"

enum walk_limits {
	WALK_NAMES = 64,     /* noted at once; deeper paths are walked again for each 64 */
	WALK_NEAR = 16,      /* noted without leaving the hook's own program */
	WALK_STEPS = 8192,   /* names and mounts of one path; beyond, it is judged by the strictest ruling */
	WALK_WINDOWS = 128,
	KNOWN_FILES = 16,
	NAME_BYTES = 256,
	TEXT_BYTES = 512, /* a slash, a name, a zero; or where an anchor lies */
	CHUNK = 16,       /* bytes read at a time: few, since the verifier goes through each */
};

/* What is known of the path that is judged. */
enum walk_flags {
	WALK_REACHED = 1,  /* its names are noted, up to its mount's root */
	WALK_INTERNAL = 2, /* no path leads to it */
	WALK_TEXT = 4,     /* not a path: what stands in the bearer's text */
	WALK_TOP = 8,      /* no anchor leads to it; its names are those of the mounts it was reached through */
	WALK_LOST = 16,    /* it could not be told */
	WALK_DONE = 32,    /* nothing more need be read */
};

struct component {
	__u64 name; /* address */
	__u32 length;
	__u32 pad;
};

/* The object whose path is judged, and the names that lead to it, the object's own first. */
struct walk {
	__u64 dentry; /* addresses; mount 0: not known */
	__u64 mount;
	__u64 file;       /* a number of whoever is at work */
	__u64 stop;       /* the dentry that is anchored */
	__u64 stop_mount;
	struct anchor_key anchor;
	__u32 depth;      /* names between the object and the anchor */
	__u32 flags;
	__u32 state;      /* of the automaton: after the last byte */
	__u32 left;       /* names still to be read */
	__u32 at;         /* in the text: the byte to be read next */
	__u16 denied;     /* of what is moved, at its destination: to whom it is that moves it */
	__u16 keeps;      /* below it: to everybody */
	__u32 pad;
	struct component names[WALK_NAMES];
};

/* Of a task: whose container it is of. About 1.8 KiB for each task of a hardened container. */
struct bearer {
	__u64 instance;
	__u64 executables;
	__u64 pending;    /* what `executables` will be when the exec that goes on has succeeded */
	__u64 profile_id; /* the profile by which `executables` was found */
	__u32 subject;
	__u32 flags;
	__u32 told;       /* something was not simply allowed, since this was last set to 0 */
	__u32 pad;
	__u64 known[KNOWN_FILES]; /* open files this profile has judged; only while BEARER_OLD_FILES is set */
	struct ruling given;
	struct walk walk;
	__u8 text[TEXT_BYTES + CHUNK]; /* ends with 0 */
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct bearer);
} bearers SEC(".maps"); /* kernel */

TABLE(hardened, BPF_MAP_TYPE_HASH, 16384, __u64, struct hardened_cgroup, 0); /* both */
TABLE(hardened_subjects, BPF_MAP_TYPE_ARRAY, 4096, __u32, struct hardened_subject, 0);
TABLE(anchors, BPF_MAP_TYPE_HASH, 65536, struct anchor_key, struct anchor, BPF_F_NO_PREALLOC);
TABLE(violations, BPF_MAP_TYPE_HASH, 16384, struct violation_key, struct violation_counter, BPF_F_NO_PREALLOC); /* kernel */

/*
 * What was told of containers that are learnt from, as hashes. 1.5 MiB; where there is more, what was told longest ago is
 * told again.
 */
TABLE(observed, BPF_MAP_TYPE_LRU_HASH, 16384, __u64, __u8, 0); /* kernel */

struct profile_pages {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_INNER_MAP);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(union profile_page));
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 4096);
	__type(key, __u32);
	__array(values, struct profile_pages);
} profiles SEC(".maps");

#endif
