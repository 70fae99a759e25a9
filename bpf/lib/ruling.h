/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef SALLYPORT_RULING_H
#define SALLYPORT_RULING_H

/*
 * What a profile says. All that is asked about one access is asked of one profile: a number of rulings means nothing in
 * another one, so whoever finds that the profile was replaced meanwhile begins anew (AGAIN).
 */

#include "automaton.h"
#include "violation.h"

#define RULINGS_OF_PAGE (PROFILE_PAGE_BYTES / sizeof(struct ruling))
#define MATCHES_OF_PAGE (PROFILE_PAGE_BYTES / sizeof(struct match))
#define REFERENCE_PAGE(reference) ((reference) >> RULINGS_SHIFT)
#define REFERENCE_NUMBER(reference) ((reference) & ((1 << RULINGS_SHIFT) - 1))

#define AGAIN 1
#define ATTEMPTS 4

/* Bits beside those of enum access. */
#define ACCESS(access) (1U << (access))
#define MOVING (1U << 31) /* the object is moved, or linked, to where PLACE was asked before */
#define PLACE (1U << 30)
#define BELOW (1U << 29)  /* with MOVING: it is a directory, and takes along what lies below it */

/* What a state of an automaton is: NULL where no rule speaks. */
static __always_inline struct match *match_of(void *profile, __u32 state)
{
	__u32 number = STATE_PAGE(state), owner;
	union profile_page *page;

	if (!state)
		return NULL;
	page = bpf_map_lookup_elem(profile, &number);
	if (!page)
		return NULL;
	owner = page->cells[STATE_CELL(state)].owner & MATCH_BITS;
	if (!owner)
		return NULL;
	number = REFERENCE_PAGE(owner);
	page = bpf_map_lookup_elem(profile, &number);
	return page ? &page->matches[owner % MATCHES_OF_PAGE] : NULL;
}

/* All a task does is refused when its container has no profile any more. */
static __noinline int refuse_orphan(struct bearer *bearer, __u32 class, __u64 detail)
{
	__builtin_memset(&bearer->given, 0, sizeof(bearer->given));
	bearer->given.verdict = VERDICT_DENY;
	report(bearer, CLASS_ORPHAN, (__u64)class << 32 | detail);
	return -EPERM;
}

/*
 * Which of the profile's executables the task is: what it runs, and what of the former ones lasts. Leaves a walk that has
 * to be begun anew.
 */
FUNCTION renew(struct bearer *bearer)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task_btf();
	__u64 executables = 0, dentry, mount;
	struct profile *head;
	struct match *match;
	struct file *file;
	__u32 flags;
	void *profile;

	if (!bearer)
		return 0;
	profile = profile_of(bearer);
	head = profile ? head_of(profile) : NULL;
	if (!head)
		return 0;
	dentry = bearer->walk.dentry;
	mount = bearer->walk.mount;
	flags = bearer->walk.flags;
	/* What it has open was judged by another profile, or by none. */
	bearer->flags |= BEARER_OLD_FILES | BEARER_RENEWED;
	__builtin_memset(bearer->known, 0, sizeof(bearer->known));
	bearer->profile_id = head->id;
	file = BPF_CORE_READ(task, mm, exe_file);
	if (file && head->start_executables) {
		bearer->walk.dentry = (__u64)BPF_CORE_READ(file, f_path.dentry);
		bearer->walk.mount = (__u64)BPF_CORE_READ(file, f_path.mnt);
		bearer->walk.flags = 0;
		read_path(bearer, head->start_executables);
		match = bearer->walk.flags & WALK_LOST ? NULL : match_of(profile, bearer->walk.state);
		if (match)
			executables = (__u64)match->executables[1] << 32 | match->executables[0];
	}
	bearer->executables = (bearer->executables & head->lasting) | executables;
	bearer->walk.dentry = dentry;
	bearer->walk.mount = mount;
	bearer->walk.flags = flags & (WALK_INTERNAL | WALK_TEXT);
	return 0;
}

/* Makes sure that the bearer knows its executables by this profile. Whoever has walked must read the path after it. */
static __always_inline void keep_current(struct bearer *bearer, const struct profile *head)
{
	if (unlikely(head->id != bearer->profile_id))
		renew(bearer);
}

static __always_inline void give(struct bearer *bearer, __u32 rule, __u8 verdict)
{
	__builtin_memset(&bearer->given, 0, sizeof(bearer->given));
	bearer->given.rule = rule;
	bearer->given.verdict = verdict;
}

struct hearing {
	struct bearer *bearer;
	union profile_page *page;
	__u32 first;
	__u32 decided;
	__u32 staged;
};

static long hear_ruling(__u32 index, struct hearing *hearing)
{
	struct ruling *ruling = &hearing->page->rulings[(hearing->first + index) % RULINGS_OF_PAGE];
	struct bearer *bearer = hearing->bearer;
	__u64 whose = ruling->executables;

	if (whose && !(whose & bearer->executables))
		return 0;
	if (!hearing->decided && ruling->verdict != VERDICT_NONE) {
		hearing->decided = true;
		bearer->given.rule = ruling->rule;
		bearer->given.verdict = ruling->verdict;
	}
	if (!hearing->staged && ruling->staged_verdict != VERDICT_NONE) {
		hearing->staged = true;
		bearer->given.staged_rule = ruling->staged_rule;
		bearer->given.staged_verdict = ruling->staged_verdict;
	}
	return !whose || (hearing->decided && hearing->staged) ? 1 : 0;
}

/* What a list of rulings of the profile that the bearer knows gives it: 0, or AGAIN. 0 is the empty list. */
FUNCTION hear(struct bearer *bearer, __u32 rulings)
{
	struct hearing hearing = { .bearer = bearer, .first = REFERENCE_NUMBER(rulings) };
	__u32 number = REFERENCE_PAGE(rulings);
	struct profile *head;
	void *profile;

	if (!bearer)
		return AGAIN;
	give(bearer, 0, VERDICT_ALLOW);
	if (!rulings)
		return 0;
	profile = profile_of(bearer);
	head = profile ? head_of(profile) : NULL;
	if (!head || head->id != bearer->profile_id)
		return AGAIN;
	hearing.page = bpf_map_lookup_elem(profile, &number);
	if (!hearing.page)
		return AGAIN;
	give(bearer, 0, VERDICT_NONE);
	bpf_loop(RULINGS_OF_PAGE, hear_ruling, &hearing, 0);
	if (bearer->given.verdict == VERDICT_NONE)
		bearer->given.verdict = VERDICT_ALLOW;
	return 0;
}

/* What it says: 0, -EPERM, or AGAIN. Counts and tells what is not simply allowed. */
FUNCTION rule_on(struct bearer *bearer, __u32 rulings, __u32 class, __u64 detail)
{
	if (!bearer)
		return -EPERM;
	if (!rulings)
		return 0;
	if (hear(bearer, rulings))
		return AGAIN;
	if (bearer->given.verdict != VERDICT_ALLOW ||
	    (bearer->given.staged_verdict != VERDICT_NONE && bearer->given.staged_verdict != VERDICT_ALLOW))
		report(bearer, class, detail);
	return bearer->given.verdict == VERDICT_DENY ? -EPERM : 0;
}

/*
 * What the rulings at `offset` of the profile's first page say: 0, or not.
 *
 *	return judge_field(bearer, offsetof(struct profile, socket_default), CLASS_SOCKET, detail) ? -EPERM : 0;
 */
FUNCTION judge_field(struct bearer *bearer, __u32 offset, __u32 class, __u64 detail)
{
	struct profile *head;
	void *profile;
	__u32 rulings;
	int outcome;

	if (!bearer)
		return -EPERM;
	for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
		profile = profile_of(bearer);
		head = profile ? head_of(profile) : NULL;
		if (!head)
			return refuse_orphan(bearer, class, detail);
		if (offset > sizeof(*head) - sizeof(rulings))
			return -EPERM;
		rulings = *(__u32 *)((void *)head + (offset & ~3U));
		if (likely(!rulings))
			return 0;
		bearer->walk.dentry = 0;
		bearer->walk.flags = WALK_INTERNAL;
		keep_current(bearer, head);
		outcome = rule_on(bearer, rulings, class, detail);
		if (outcome != AGAIN)
			return outcome;
	}
	return -EPERM;
}

static __always_inline int judge_operation(struct bearer *bearer, enum operation operation)
{
	__u32 offset = offsetof(struct profile, operations) + operation * sizeof(__u32);

	return judge_field(bearer, offset, CLASS_OPERATION, operation) ? -EPERM : 0;
}

#endif
