/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef SALLYPORT_HARDEN_ENTRY_H
#define SALLYPORT_HARDEN_ENTRY_H

/* How tasks come into a container: by birth, by entering its cgroup, or because they were there before us. */

#include "bearer.h"

SEC("lsm/task_alloc")
int BPF_PROG(inherit_bearer, struct task_struct *task, unsigned long flags)
{
	struct bearer *parent, *child;
	int refused = bearer_now(&parent);

	if (!parent)
		return refused;
	child = make_bearer(task);
	if (!child)
		return -ENOMEM;
	inherit(child, parent);
	return 0;
}

/* Whoever bears something keeps it: to go to another container's cgroup, or to none, changes nothing. */
static __always_inline void enter(struct task_struct *task, struct cgroup *cgroup)
{
	struct hardened_cgroup *row;
	struct bearer *bearer;

	if (borne_by(task))
		return;
	row = hardened_above(cgroup);
	if (!row)
		return;
	/* Where there is no memory now, the task is asked for its cgroup in every hook. */
	bearer = make_bearer(task);
	if (bearer && !bearer->subject)
		bear(bearer, row);
}

/* Born into another cgroup than its parent's. */
SEC("tp_btf/sched_process_fork")
int BPF_PROG(enter_by_birth, struct task_struct *parent, struct task_struct *child)
{
	if (child->cgroups->dfl_cgrp != parent->cgroups->dfl_cgrp)
		enter(child, child->cgroups->dfl_cgrp);
	return 0;
}

SEC("tp_btf/cgroup_attach_task")
int BPF_PROG(enter_cgroup, struct cgroup *cgroup, const char *path, struct task_struct *task, bool threadgroup)
{
	if (cgroup->root->hierarchy_id == HIERARCHY_V2)
		enter(task, cgroup);
	return 0;
}

/* The container's row, while its life lasts. */
static __always_inline struct hardened_subject *owner_of(const struct hardened_cgroup *row)
{
	__u32 key = row->subject;
	struct hardened_subject *owner = bpf_map_lookup_elem(&hardened_subjects, &key);

	return owner && owner->instance == row->instance ? owner : NULL;
}

/* What a container makes below its own cgroup is its own. It cannot fill the table with that. */
SEC("tp_btf/cgroup_mkdir")
int BPF_PROG(harden_cgroup, struct cgroup *cgroup, const char *path)
{
	struct hardened_subject *owner;
	struct hardened_cgroup *row;
	__u64 id, above;

	if (cgroup->root->hierarchy_id != HIERARCHY_V2)
		return 0;
	id = cgroup->kn->id;
	above = cgroup->self.parent->cgroup->kn->id;
	row = bpf_map_lookup_elem(&hardened, &above);
	owner = row ? owner_of(row) : NULL;
	/* The kernel makes and removes one cgroup at a time. */
	if (owner && owner->cgroups < CONTAINER_CGROUPS && !bpf_map_update_elem(&hardened, &id, row, BPF_NOEXIST))
		owner->cgroups++;
	return 0;
}

SEC("tp_btf/cgroup_rmdir")
int BPF_PROG(forget_cgroup, struct cgroup *cgroup, const char *path)
{
	struct hardened_subject *owner;
	struct hardened_cgroup *row;
	__u64 id;

	if (cgroup->root->hierarchy_id != HIERARCHY_V2)
		return 0;
	id = cgroup->kn->id;
	row = bpf_map_lookup_elem(&hardened, &id);
	owner = row ? owner_of(row) : NULL;
	if (owner && owner->cgroups)
		owner->cgroups--;
	bpf_map_delete_elem(&hardened, &id);
	return 0;
}

struct bpf_iter_meta {
	struct seq_file *seq;
} KERNEL;

struct bpf_iter__task {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
} KERNEL;

/*
 * Gives every task of a hardened container something to bear that has nothing yet. Prints for each task that bears: its
 * id, its subject, and 0 where it did before, 1 where it does now, or -ENOMEM.
 */
SEC("iter/task")
int adopt_bearers(struct bpf_iter__task *ctx)
{
	static const char format[] = "%d %u %d\n";
	struct task_struct *task = ctx->task;
	struct hardened_cgroup *row;
	struct bearer *bearer;
	__u64 told[3] = {};

	if (!task)
		return 0;
	bearer = borne_by(task);
	if (!bearer) {
		row = hardened_above(task->cgroups->dfl_cgrp);
		if (!row)
			return 0;
		bearer = make_bearer(task);
		if (bearer && !bearer->subject)
			bear(bearer, row);
		told[1] = row->subject;
		told[2] = bearer ? 1 : -ENOMEM;
	} else {
		told[1] = bearer->subject;
	}
	told[0] = task->pid;
	bpf_seq_printf(ctx->meta->seq, format, sizeof(format), told, sizeof(told));
	return 0;
}

#endif
