/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef SALLYPORT_JUDGE_PATH_H
#define SALLYPORT_JUDGE_PATH_H

/* Accesses to what has a path. */

#include "ruling.h"

/* What cannot be told is refused by what any rule refuses. */
static __noinline int refuse_lost(struct bearer *bearer, __u32 accesses)
{
	give(bearer, 0, VERDICT_DENY);
	report(bearer, CLASS_FILE, __builtin_ctz(accesses));
	return -EPERM;
}

static __always_inline __u32 rulings_of(const struct match *match, const struct profile *head, __u32 access)
{
	return (match ? match->rulings[access] : 0) ?: head->defaults[access];
}

/* What an object could be used for that lies elsewhere. */
#define USES                                                                                                \
	(ACCESS(ACCESS_READ) | ACCESS(ACCESS_WRITE) | ACCESS(ACCESS_CREATE) | ACCESS(ACCESS_DELETE) |       \
	 ACCESS(ACCESS_ATTRIBUTES) | ACCESS(ACCESS_EXECUTE) | ACCESS(ACCESS_CONNECT))

/* Notes what the bearer, and what everybody is denied at a destination: 0, or AGAIN. */
static __always_inline int note_place(struct bearer *bearer, const struct match *match, const struct profile *head)
{
	__u16 denied = 0;

	for (__u32 access = 0; access < ACCESS_MAX; access++) {
		if (!(USES & ACCESS(access)))
			continue;
		if (hear(bearer, rulings_of(match, head, access)))
			return AGAIN;
		if (bearer->given.verdict == VERDICT_DENY)
			denied |= ACCESS(access);
	}
	bearer->walk.denied = denied;
	bearer->walk.keeps = match ? match->keeps : head->default_keeps;
	return 0;
}

/* Whether the bearer may take an object from here to where that is `denied`, and `keeps` below: 0, -EPERM, or AGAIN. */
static __always_inline int judge_moving(struct bearer *bearer, const struct match *match, const struct profile *head,
					__u32 denied, __u32 keeps, bool directory)
{
	__u32 rulings, guards;

	for (__u32 access = 0; access < ACCESS_MAX; access++) {
		if (!(USES & ~denied & ACCESS(access)))
			continue;
		rulings = rulings_of(match, head, access);
		if (hear(bearer, rulings))
			return AGAIN;
		if (bearer->given.verdict == VERDICT_DENY)
			return rule_on(bearer, rulings, CLASS_FILE, ACCESS_DELETE);
	}
	if (!directory)
		return 0;
	guards = match ? match->guards : head->default_guards;
	rulings = match ? match->moving : head->moving_default;
	return guards & ~keeps ? rule_on(bearer, rulings, CLASS_FILE, ACCESS_DELETE) : 0;
}

/* Rules on what the automaton has read: 0, -EPERM, or AGAIN. */
static __always_inline int rule_on_match(struct bearer *bearer, void *profile, const struct profile *head,
					 __u32 accesses)
{
	struct match *match = match_of(profile, bearer->walk.state);
	__u32 rulings, denied = bearer->walk.denied, keeps = bearer->walk.keeps;
	int outcome;

	if (unlikely(accesses & PLACE) && note_place(bearer, match, head))
		return AGAIN;
	if (unlikely(accesses & MOVING)) {
		outcome = judge_moving(bearer, match, head, denied, keeps, accesses & BELOW);
		if (outcome)
			return outcome;
	}
	for (__u32 access = 0; access < ACCESS_MAX; access++) {
		if (!(accesses & ACCESS(access)))
			continue;
		rulings = rulings_of(match, head, access);
		if (likely(!rulings))
			continue;
		outcome = rule_on(bearer, rulings, CLASS_FILE, access);
		if (outcome)
			return outcome;
	}
	return 0;
}

/* One profile's word on the path that `climb` has begun: 0, -EPERM, or AGAIN. */
FUNCTION judge_walk_once(struct bearer *bearer, __u32 accesses)
{
	struct hardened_subject *subject;
	struct profile *head = NULL;
	void *profile;
	__u32 key;

	if (!bearer)
		return -EPERM;
	if (bearer->walk.flags & WALK_INTERNAL)
		return 0;
	key = bearer->subject;
	subject = subject_of(bearer);
	profile = bpf_map_lookup_elem(&profiles, &key);
	if (subject && profile)
		head = head_of(profile);
	if (!subject || !profile || !head)
		return refuse_orphan(bearer, CLASS_FILE, accesses ? __builtin_ctz(accesses) : 0);
	keep_current(bearer, head);
	if (accesses & (MOVING | PLACE) ? !head->accesses : !(head->accesses & accesses))
		return 0;
	read_in(bearer, profile, subject, head->start);
	if (unlikely(bearer->walk.flags & (WALK_LOST | WALK_INTERNAL)))
		return bearer->walk.flags & WALK_LOST ? AGAIN : 0;
	return rule_on_match(bearer, profile, head, accesses);
}

/*
 * Judges what `climb` has begun with: 0, or not. Internal files are allowed. `accesses` are bits of enum access,
 * PLACE, MOVING and BELOW.
 */
FUNCTION judge_walk(struct bearer *bearer, __u32 accesses)
{
	int outcome;

	if (!bearer)
		return -EACCES;
	for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
		outcome = judge_walk_once(bearer, accesses);
		if (likely(!outcome))
			return 0;
		if (outcome < 0)
			return -EACCES;
	}
	refuse_lost(bearer, accesses);
	return -EACCES;
}

static __always_inline int judge_dentry(struct bearer *bearer, struct vfsmount *mount, struct dentry *dentry,
					__u32 accesses)
{
	climb(bearer, mount, dentry);
	return judge_walk(bearer, accesses) ? -EACCES : 0;
}

/* The same of an object that is known by the addresses of its mount, 0 if unknown, and dentry. */
static __always_inline int judge_address(struct bearer *bearer, __u64 mount, __u64 dentry, __u32 accesses)
{
	bearer->walk.dentry = dentry;
	bearer->walk.mount = mount;
	bearer->walk.flags = 0;
	return judge_walk(bearer, accesses) ? -EACCES : 0;
}

static __always_inline int judge_path(struct bearer *bearer, const struct path *path, __u32 accesses)
{
	return judge_dentry(bearer, path->mnt, path->dentry, accesses);
}

#endif
