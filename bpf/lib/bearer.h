/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef SALLYPORT_BEARER_H
#define SALLYPORT_BEARER_H

/*
 * Whose container a task is of. It is told by what the task bears, which it got when it came into the container, or
 * from its parent, and never loses; only a task that bears nothing is asked for its cgroup.
 */

#include "harden-maps.h"
#include "objects.h"

/* The default hierarchy is the first that the kernel makes. */
#define HIERARCHY_V2 0
#define CGROUP_LEVELS 16

/*
 * The hardened cgroup that this one is or lies in. Where it is not listed itself, those above it are asked, from the
 * top: no container begins deeper than they reach, however deep it digs.
 */
static __always_inline struct hardened_cgroup *hardened_above(struct cgroup *cgroup)
{
	__u64 id = cgroup->kn->id;
	struct hardened_cgroup *row = bpf_map_lookup_elem(&hardened, &id), *above;
	/* As a number, which the verifier lets be calculated with. */
	__u64 at = (__u64)BPF_CORE_READ(cgroup, self.cgroup) + bpf_core_field_offset(struct cgroup, ancestors);
	int levels = cgroup->level;
	struct cgroup *ancestor;

	if (row)
		return row;
	for (int level = 1; level < CGROUP_LEVELS && level < levels; level++) {
		ancestor = NULL;
		bpf_probe_read_kernel(&ancestor, sizeof(ancestor), (void *)(at + level * sizeof(ancestor)));
		id = BPF_CORE_READ(ancestor, kn, id);
		above = bpf_map_lookup_elem(&hardened, &id);
		if (above)
			row = above;
	}
	return row;
}

/* What the task bears, or NULL: nothing, or something that is not made yet. */
static __always_inline struct bearer *borne_by(struct task_struct *task)
{
	struct bearer *bearer = bpf_task_storage_get(&bearers, task, 0, 0);

	return bearer && *(volatile __u32 *)&bearer->subject ? bearer : NULL;
}

/*
 * NULL: there is no memory. While a task comes into a cgroup two processors may make it something to bear in the same
 * moment, which lets one of them fail, and find it the next time.
 */
static __always_inline struct bearer *make_bearer(struct task_struct *task)
{
	struct bearer *bearer = bpf_task_storage_get(&bearers, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);

	return bearer ?: bpf_task_storage_get(&bearers, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
}

/* The subject comes last: who finds none knows that the rest is not there yet. */
static __always_inline void finish(struct bearer *bearer, __u32 subject)
{
	__sync_lock_test_and_set(&bearer->subject, subject);
}

/* Whoever comes from outside may hold descriptors that nobody has judged. */
static __always_inline void bear(struct bearer *bearer, const struct hardened_cgroup *row)
{
	bearer->instance = row->instance;
	bearer->flags = BEARER_OLD_FILES;
	finish(bearer, row->subject);
}

static __always_inline void inherit(struct bearer *child, const struct bearer *parent)
{
	child->instance = parent->instance;
	child->executables = parent->executables;
	child->profile_id = parent->profile_id;
	child->flags = parent->flags;
	if (parent->flags & BEARER_OLD_FILES)
		__builtin_memcpy(child->known, parent->known, sizeof(child->known));
	finish(child, parent->subject);
}

/*
 * A task that bears nothing: a thread of a process that bears something, one that came into the container when there
 * was no memory, or one the agent has not got round to. 0: it is nobody's, 1: it bears something now, or -EPERM.
 */
FUNCTION bear_late(void)
{
	struct task_struct *task = bpf_get_current_task_btf(), *leader = task->group_leader;
	struct bearer *bearer, *elder = NULL;
	struct hardened_cgroup *row = NULL;
	__u64 cgroup = task->cgroups->dfl_cgrp->kn->id;

	if (leader != task)
		elder = borne_by(leader);
	if (!elder) {
		row = bpf_map_lookup_elem(&hardened, &cgroup);
		if (likely(!row))
			return 0;
	}
	bearer = make_bearer(task);
	if (!bearer)
		return -EPERM;
	if (elder)
		inherit(bearer, elder);
	else if (row)
		bear(bearer, row);
	return 1;
}

/*
 * The current task's, in *found; else NULL, and what the hook is to return: 0 for tasks of no hardened container.
 *
 *	int refused = bearer_now(&bearer);
 *
 *	if (!bearer)
 *		return refused;
 */
static __always_inline int bearer_now(struct bearer **found)
{
	struct task_struct *task = bpf_get_current_task_btf();
	int outcome;

	*found = borne_by(task);
	if (*found)
		return 0;
	outcome = bear_late();
	if (likely(!outcome))
		return 0;
	if (outcome > 0)
		*found = bpf_task_storage_get(&bearers, task, 0, 0);
	return *found ? 0 : -EPERM;
}

/*
 * Whether a hook was given something there. The verifier takes for granted that it was, and leaves the question out
 * unless it has lost sight of the pointer.
 */
static __always_inline bool is_given(struct bearer *bearer, const void *pointer)
{
	*(volatile __u64 *)&bearer->walk.file = (__u64)pointer;
	return *(volatile __u64 *)&bearer->walk.file;
}

#endif
