/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef SALLYPORT_CAPABILITIES_H
#define SALLYPORT_CAPABILITIES_H

/*
 * Capabilities, and what only a capability is asked for. A hook is asked when the task has the capability and is about
 * to use it. What the kernel does with credentials of its own on a task's way is not the task's doing: a file system
 * that lies over others acts as the one who mounted it.
 */

#include "mounts.h"

#define CAP_SYS_MODULE 16
#define CAP_SYS_ADMIN 21
#define CAP_SYS_TIME 25
#define CAP_COUNT 64
#define CAP_OPT_NOAUDIT 2

struct user_namespace___levels {
	int level;
} KERNEL;

static __always_inline int level_of(const struct user_namespace *namespace)
{
	return ((const struct user_namespace___levels *)namespace)->level;
}

/* True where the credentials were taken over from somebody above the container, who is the kernel's own agent then. */
static __always_inline bool kernel_acts(const struct cred *cred)
{
	struct task_struct *task = bpf_get_current_task_btf();
	const struct cred *own = task->real_cred;
	int level;

	if (likely(cred == own))
		return false;
	if (task->cred != cred)
		return false;
	level = level_of(cred->user_ns);
	return !level || level < level_of(own->user_ns);
}

static __always_inline int judge_capability(struct bearer *bearer, __u32 capability, bool within, bool quiet)
{
	__u32 place = (capability & (CAP_COUNT - 1)) + (within ? CAP_COUNT : 0);

	return judge_field(bearer, offsetof(struct profile, capabilities) + place * sizeof(__u32),
			   quiet ? CLASS_QUIET : CLASS_CAPABILITY, place) ?
		       -EPERM : 0;
}

SEC("lsm/capable")
int BPF_PROG(use_capability, const struct cred *cred, struct user_namespace *namespace, int capability,
	     unsigned int options)
{
	struct bearer *bearer;
	int outcome = bearer_now(&bearer);
	bool within;

	if (!bearer)
		return outcome;
	if (kernel_acts(cred))
		return 0;
	within = level_of(namespace) > 0;
	outcome = judge_capability(bearer, capability, within, options & CAP_OPT_NOAUDIT);
	if (outcome)
		return outcome;
	if (capability == CAP_SYS_ADMIN)
		return judge_mount_call(bearer);
	if (within)
		return 0;
	/* adjtimex and the clock's device ask for nothing else, nor does taking a module away. */
	if (capability == CAP_SYS_TIME)
		return judge_operation(bearer, OPERATION_SETTIME);
	if (capability == CAP_SYS_MODULE)
		return judge_operation(bearer, OPERATION_MODULE);
	return 0;
}

struct lending {
	struct bearer *bearer;
	__u64 effective;
	int outcome;
	bool within;
};

static long lend_capability(__u32 capability, struct lending *lending)
{
	if (!(lending->effective >> (capability & (CAP_COUNT - 1)) & 1))
		return 0;
	lending->outcome = judge_capability(lending->bearer, capability, lending->within, false);
	return lending->outcome ? 1 : 0;
}

/* What credentials allow is judged when a ring takes them over, for all that will be done with them. */
static __always_inline int judge_lending(struct bearer *bearer, const struct cred *cred)
{
	struct lending lending = { .bearer = bearer };

	lending.within = level_of(cred->user_ns) > 0;
	bpf_core_read(&lending.effective, sizeof(lending.effective), &cred->cap_effective);
	bpf_loop(CAP_COUNT, lend_capability, &lending, 0);
	return lending.outcome ? -EPERM : 0;
}

SEC("lsm/userns_create")
int BPF_PROG(make_user_namespace, const struct cred *cred)
{
	struct bearer *bearer;
	int refused = bearer_now(&bearer);

	if (!bearer)
		return refused;
	return judge_operation(bearer, OPERATION_USER_NAMESPACE);
}

#endif
