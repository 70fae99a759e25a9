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

/* Rules on what the automaton has read: 0, -EPERM, or AGAIN. */
static __always_inline int rule_on_match(struct bearer *bearer, void *profile, const struct profile *head,
					 __u32 accesses)
{
	struct match *match = match_of(profile, bearer->walk.state);
	__u32 rulings, guards, keeps = bearer->walk.keeps;
	int outcome;

	if (unlikely(accesses & PLACE))
		bearer->walk.keeps = match ? match->keeps : head->default_keeps;
	if (unlikely(accesses & MOVING)) {
		guards = match ? match->guards : head->default_guards;
		rulings = match ? match->moving : head->moving_default;
		outcome = guards & ~keeps ? rule_on(bearer, rulings, CLASS_FILE, ACCESS_DELETE) : 0;
		if (outcome)
			return outcome;
	}
	for (__u32 access = 0; access < ACCESS_MAX; access++) {
		if (!(accesses & ACCESS(access)))
			continue;
		rulings = match ? match->rulings[access] : 0;
		if (!rulings)
			rulings = head->defaults[access];
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
 * PLACE and MOVING.
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
