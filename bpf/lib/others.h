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

/* A limit can end who has it, by a signal of the kernel's. */
SEC("lsm/task_setrlimit")
int BPF_PROG(set_limit, struct task_struct *other)
{
	struct bearer *bearer;
	int refused = bearer_now(&bearer);

	if (!bearer)
		return refused;
	return is_outside(bearer, other) ? judge_operation(bearer, OPERATION_SIGNAL_OUTSIDE) : 0;
}

#define F_SETOWN 8
#define F_SETOWN_EX 15
#define FIOSETOWN 0x8901
#define SIOCSPGRP 0x8902

struct upid {
	int nr;
} KERNEL;

struct pid {
	unsigned int level;
	struct upid numbers[1];
} KERNEL;

struct task_struct___pids {
	struct task_struct___pids *group_leader;
	struct pid *thread_pid;
} KERNEL;

/* The number by which the current process knows itself. */
static __always_inline int own_number(void)
{
	struct task_struct___pids *task = (void *)bpf_get_current_task_btf();
	struct pid *pid = BPF_CORE_READ(task, group_leader, thread_pid);
	__u64 at = (__u64)pid + bpf_core_field_offset(struct pid, numbers);
	int number = 0;

	at += (__u64)BPF_CORE_READ(pid, level) * bpf_core_type_size(struct upid);
	bpf_probe_read_kernel(&number, sizeof(number), (void *)at + bpf_core_field_offset(struct upid, nr));
	return number;
}

/*
 * Whom the kernel is to signal when there is something to read: later, in anybody's name. So the choice is judged, and
 * may be oneself. Where it lies in memory, which may change until it is read, it counts as another's.
 */
static __always_inline int judge_owner(bool known, int number)
{
	struct bearer *bearer;
	int refused = bearer_now(&bearer);

	if (!bearer)
		return refused;
	if (known && (!number || number == own_number()))
		return 0;
	return judge_operation(bearer, OPERATION_SIGNAL_OUTSIDE);
}

SEC("lsm/file_fcntl")
int BPF_PROG(choose_owner, struct file *file, unsigned int command, unsigned long argument)
{
	if (likely(command != F_SETOWN && command != F_SETOWN_EX))
		return 0;
	return judge_owner(command == F_SETOWN, argument);
}

#endif
