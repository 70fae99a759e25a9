/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef SALLYPORT_OBSERVED_H
#define SALLYPORT_OBSERVED_H

/*
 * What was told already of a container that is learnt from: what it did, and to what, as a hash. Names are hashed, not
 * addresses of them, so that a file that is renamed is another one. Where there was no room to tell of something it is
 * counted, and forgotten here, so that it is told when it is done again.
 */

#include "automaton.h"

#define WORD sizeof(__u64)

static __always_inline __u64 mix(__u64 hash, __u64 value)
{
	hash = (hash ^ value) * 0x9e3779b97f4a7c15ULL;
	return hash ^ hash >> 29;
}

struct listening {
	struct bearer *bearer;
	__u64 hash;
};

static long hash_name(__u32 index, struct listening *listening)
{
	struct bearer *bearer = listening->bearer;
	__u64 hash = listening->hash, word;
	__u32 length;

	if (!bearer->walk.left)
		return 1;
	length = bearer->walk.names[(bearer->walk.left - 1) % WALK_NAMES].length + 1;
	if (!next_name(bearer))
		return 1;
	for (__u32 at = 0; at <= NAME_BYTES; at += WORD) {
		if (at >= length)
			break;
		word = *(__u64 *)(bearer->text + at);
		/* Behind a name stands what was left of others. */
		if (length - at < WORD)
			word &= (1ULL << (length - at) * 8) - 1;
		hash = mix(hash, word);
	}
	listening->hash = hash;
	return 0;
}

/* Of those that are noted. */
static __always_inline __u64 hash_names(struct bearer *bearer, __u64 hash)
{
	struct listening listening = { .bearer = bearer, .hash = hash };

	bearer->walk.left = bearer->walk.depth < WALK_NAMES ? bearer->walk.depth : WALK_NAMES;
	bpf_loop(WALK_NAMES, hash_name, &listening, 0);
	return listening.hash;
}

/* Of a path with very many names, by the first and the last of them. */
static __always_inline __u64 hash_path(struct bearer *bearer, __u64 hash)
{
	if (!locate(bearer))
		return hash;
	if (!(bearer->walk.flags & WALK_TOP)) {
		hash = mix(hash, bearer->walk.anchor.inode);
		hash = mix(hash, (__u64)bearer->walk.anchor.subject << 32 | bearer->walk.anchor.device);
	}
	hash = mix(hash, bearer->walk.depth);
	if (bearer->walk.depth > WALK_NAMES) {
		/* First the uppermost, in an order of their own. */
		hash = hash_names(bearer, hash);
		note_names(bearer, WALK_NAMES);
	}
	return hash_names(bearer, hash);
}

static __always_inline __u64 hash_text(const struct bearer *bearer, __u64 hash)
{
	for (int at = 0; at < NAME_BYTES; at += WORD)
		hash = mix(hash, *(const __u64 *)(bearer->text + at));
	return hash;
}

/* Whether the profile asks for all that staged rules report. */
FUNCTION is_learnt_from(struct bearer *bearer)
{
	struct profile *head;
	void *profile;

	if (!bearer)
		return false;
	profile = profile_of(bearer);
	head = profile ? head_of(profile) : NULL;
	return head && head->learning;
}

/* Notes what is about to be told in bearer->given, and says whether it was not noted before. */
static __always_inline bool observe(struct bearer *bearer, __u32 class, __u64 detail)
{
	__u32 flags = bearer->walk.flags;
	__u8 told = 1;
	__u64 hash;

	hash = mix(bearer->instance, bearer->profile_id);
	hash = mix(hash, (__u64)class << 32 | bearer->given.staged_rule);
	hash = mix(hash, detail);
	if (flags & WALK_TEXT)
		hash = hash_text(bearer, hash);
	else if (bearer->walk.dentry && !(flags & WALK_INTERNAL))
		hash = hash_path(bearer, hash);
	bearer->walk.flags = flags & ~WALK_REACHED;
	bearer->walk.file = hash;
	if (bpf_map_lookup_elem(&observed, &hash))
		return false;
	bpf_map_update_elem(&observed, &hash, &told, BPF_ANY);
	return true;
}

/* What `observe` has noted last could not be told. */
static __always_inline void forget_observation(const struct bearer *bearer)
{
	__u64 hash = bearer->walk.file;

	bpf_map_delete_elem(&observed, &hash);
}

#endif
