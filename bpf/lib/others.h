/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef SALLYPORT_OTHERS_H
#define SALLYPORT_OTHERS_H

/* What is done to other tasks. Those of the same life of the same container are inside, all others outside. */

#include "judge-path.h"

#define PTRACE_MODE_READ 1
#define PTRACE_MODE_ATTACH 2
#define PTRACE_MODE_NOAUDIT 4

struct kernel_siginfo;

/* A task may not have got round to bear what its cgroup makes it bear. */
static __always_inline bool is_outside(const struct bearer *bearer, struct task_struct *other)
{
	struct bearer *theirs = borne_by(other);
	struct hardened_cgroup *row;

	if (theirs)
		return theirs->instance != bearer->instance;
	row = hardened_above(other->cgroups->dfl_cgrp);
	return !row || row->instance != bearer->instance;
}

static __always_inline int judge_quietly(struct bearer *bearer, enum operation operation, bool quiet)
{
	return judge_field(bearer, offsetof(struct profile, operations) + operation * sizeof(__u32),
			   quiet ? CLASS_QUIET : CLASS_OPERATION, operation) ?
		       -EPERM : 0;
}

/* To look into a task of the same container is no more than /proc shows. */
static __always_inline int judge_look(struct bearer *bearer, struct task_struct *other, unsigned int mode)
{
	bool quiet = mode & PTRACE_MODE_NOAUDIT;
	int outcome = is_outside(bearer, other) ? judge_quietly(bearer, OPERATION_PTRACE_OUTSIDE, quiet) : 0;

	if (outcome || !(mode & PTRACE_MODE_ATTACH))
		return outcome;
	return judge_quietly(bearer, OPERATION_PTRACE, quiet);
}

SEC("lsm/ptrace_access_check")
int BPF_PROG(look_into, struct task_struct *other, unsigned int mode)
{
	struct bearer *bearer;
	int refused = bearer_now(&bearer);

	if (!bearer)
		return refused;
	return judge_look(bearer, other, mode);
}

SEC("lsm/ptrace_traceme")
int BPF_PROG(be_looked_into, struct task_struct *parent)
{
	struct bearer *bearer;
	int refused = bearer_now(&bearer);

	if (!bearer)
		return refused;
	return judge_look(bearer, parent, PTRACE_MODE_ATTACH);
}

/* Signal 0 asks whether somebody is there. With credentials beside it, it is a device that signals. */
SEC("lsm/task_kill")
int BPF_PROG(send_signal, struct task_struct *other, struct kernel_siginfo *info, int number, const struct cred *cred)
{
	struct bearer *bearer;
	int refused = bearer_now(&bearer);

	if (!bearer)
		return refused;
	if (!number || is_given(bearer, cred) || !is_outside(bearer, other))
		return 0;
	return judge_operation(bearer, OPERATION_SIGNAL_OUTSIDE);
}

#endif
