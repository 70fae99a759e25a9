/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef SALLYPORT_HARDEN_EXEC_H
#define SALLYPORT_HARDEN_EXEC_H

/*
 * Running files, and making memory that can be run.
 *
 *   bprm_check_security    execute, of the file itself; a script's interpreter comes round again. What no directory
 *                          holds is an operation of its own
 *   bprm_creds_from_file   a file that changes user, group or capabilities
 *   bprm_committed_creds   from now on the task is another executable
 *   mmap_file, file_mprotect  execute; libraries and the dynamic loader come this way, and programs that it is given
 *                          without a name. Memory that was written
 */

#include "harden-files.h"
#include "executable-memory.h"
#include "users.h"

#define DEVPTS_SUPER_MAGIC 0x1cd1
#define DEVICE_NULL (1 << 20 | 3)

/*
 * What the task will be when this exec has succeeded: after the walk of each file that takes part, the script and its
 * interpreters.
 */
FUNCTION recognise(struct bearer *bearer, __u32 first)
{
	struct profile *head;
	struct match *match;
	void *profile;

	if (!bearer)
		return 0;
	profile = profile_of(bearer);
	head = profile ? head_of(profile) : NULL;
	if (!head)
		return 0;
	if (first) {
		bearer->pending = bearer->executables & head->lasting;
		bearer->flags &= ~BEARER_RENEWED;
	}
	if (!head->start_executables || head->id != bearer->profile_id || bearer->walk.flags & WALK_INTERNAL)
		return 0;
	read_path(bearer, head->start_executables);
	match = bearer->walk.flags & WALK_LOST ? NULL : match_of(profile, bearer->walk.state);
	if (match)
		bearer->pending |= (__u64)match->executables[1] << 32 | match->executables[0];
	return 0;
}

SEC("lsm/bprm_check_security")
int BPF_PROG(run_file, struct linux_binprm *bprm)
{
	struct bearer *bearer;
	int refused = bearer_now(&bearer);
	struct file *file = bprm->file;

	if (!bearer)
		return refused;
	climb(bearer, file->f_path.mnt, file->f_path.dentry);
	if (is_nameless(&file->f_path) && judge_operation(bearer, OPERATION_MEMFD_EXECUTE))
		return -EACCES;
	if (judge_walk(bearer, ACCESS(ACCESS_EXECUTE)))
		return -EACCES;
	recognise(bearer, bprm->interp == bprm->filename);
	return 0;
}

static __always_inline __u64 permitted(const struct cred *cred)
{
	__u64 set = 0;

	bpf_probe_read_kernel(&set, sizeof(set), (void *)cred + bpf_core_field_offset(struct cred, cap_permitted));
	return set;
}

SEC("lsm/bprm_creds_from_file")
int BPF_PROG(gain_credentials, struct linux_binprm *bprm)
{
	const struct cred *now, *then;
	struct task_struct *task;
	struct bearer *bearer;
	int refused = bearer_now(&bearer);
	bool gains;

	if (!bearer)
		return refused;
	task = (struct task_struct *)bpf_get_current_task_btf();
	now = task->cred;
	then = bprm->cred;
	gains = then->euid.val != now->euid.val || then->egid.val != now->egid.val;
	/* Root gets its capabilities back by every exec. */
	if (!gains && then->euid.val)
		gains = permitted(then) & ~permitted(now);
	if (gains && judge_operation(bearer, OPERATION_SETUID_EXECUTE))
		return -EPERM;
	return becomes_root(then, now) ? judge_operation(bearer, OPERATION_BECOME_ROOT) : 0;
}

#define BITMAP_WORDS 16
#define USUAL_FILES 4 /* standard ones, and one more */

/* Whether the task has nothing open but pipes, sockets and terminals, as most containers begin. */
FUNCTION has_clean_files(void)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task_btf();
	struct fdtable *table = BPF_CORE_READ(task, files, fdt);
	struct file **files = BPF_CORE_READ(table, fd), *file;
	__u32 bytes = BPF_CORE_READ(table, max_fds) / 8, type;
	unsigned long open[BITMAP_WORDS] = {};
	struct inode *inode;

	if (bytes > sizeof(open) || bpf_probe_read_kernel(open, bytes, BPF_CORE_READ(table, open_fds)))
		return 0;
	for (int word = 1; word < BITMAP_WORDS; word++)
		if (open[word])
			return 0;
	for (int number = 0; number < USUAL_FILES; number++, open[0] >>= 1) {
		if (!(open[0] & 1))
			continue;
		file = NULL;
		bpf_probe_read_kernel(&file, sizeof(file), files + number);
		if (!file)
			return 0;
		inode = BPF_CORE_READ(file, f_inode);
		type = BPF_CORE_READ(inode, i_mode) & S_IFMT;
		if (type == S_IFIFO || type == S_IFSOCK || BPF_CORE_READ(inode, i_sb, s_magic) == DEVPTS_SUPER_MAGIC)
			continue;
		if (type != S_IFCHR || BPF_CORE_READ(inode, i_rdev) != DEVICE_NULL)
			return 0;
	}
	return !open[0];
}

SEC("lsm/bprm_committed_creds")
int BPF_PROG(become_executable, struct linux_binprm *bprm)
{
	struct bearer *bearer;

	bearer_now(&bearer);
	if (!bearer)
		return 0;
	bearer->executables = bearer->pending;
	/* Only the former profile has said what this program is: the next hook asks the new one. */
	if (bearer->flags & BEARER_RENEWED)
		bearer->profile_id = 0;
	if (bearer->flags & BEARER_OLD_FILES && has_clean_files())
		bearer->flags &= ~BEARER_OLD_FILES;
	return 0;
}

/*
 * A loader maps what it loads for itself alone. Programs that write code into memory of their own share it between two
 * mappings: that is another operation.
 */
static __always_inline int judge_loading(struct bearer *bearer, const struct file *file, const struct path *path,
					 bool shared)
{
	if (shared || !is_nameless(path) || file->f_flags & FMODE_EXEC_FLAG)
		return 0;
	return judge_operation(bearer, OPERATION_MEMFD_EXECUTE);
}

SEC("lsm/mmap_file")
int BPF_PROG(map_file, struct file *file, unsigned long wanted, unsigned long protection, unsigned long flags)
{
	struct bearer *bearer;
	int refused = bearer_now(&bearer);
	__u32 accesses = 0;
	bool anonymous;

	if (!bearer)
		return refused;
	anonymous = !is_given(bearer, file);
	if (judge_mapping(bearer, file, anonymous, protection))
		return -EACCES;
	/* Later kernels want the pointer itself asked, earlier ones leave that question out. */
	if (anonymous || !file)
		return 0;
	if (protection & PROT_EXEC && judge_file(bearer, file, ACCESS(ACCESS_EXECUTE)))
		return -EACCES;
	if (protection & PROT_EXEC && judge_loading(bearer, file, &file->f_path, flags & MAP_SHARED_BIT))
		return -EACCES;
	accesses = ACCESS(ACCESS_READ);
	if (protection & PROT_WRITE && flags & MAP_SHARED_BIT)
		accesses |= ACCESS(ACCESS_WRITE);
	/* What exec maps was judged when it was run. */
	if (file->f_flags & FMODE_EXEC_FLAG || likely(!is_unjudged(bearer, file, accesses)))
		return 0;
	return judge_old_file(bearer, file, accesses) ? -EACCES : 0;
}

SEC("lsm/file_mprotect")
int BPF_PROG(protect_memory, struct vm_area_struct *area, unsigned long wanted, unsigned long protection)
{
	struct bearer *bearer;
	int refused = bearer_now(&bearer);
	struct file *file = area->vm_file;
	unsigned long flags = area->vm_flags;
	struct backing_file *backing;

	if (!bearer)
		return refused;
	if (judge_protection(bearer, area, protection))
		return -EACCES;
	if (!file || !(protection & PROT_EXEC) || flags & VM_EXEC)
		return 0;
	if (judge_loading(bearer, file, &file->f_path, flags & VM_SHARED))
		return -EACCES;
	if (!is_backing(file))
		return judge_path(bearer, &file->f_path, ACCESS(ACCESS_EXECUTE));
	backing = (struct backing_file *)file;
	if (!bpf_core_field_exists(struct backing_file, user_path))
		return 0;
	return judge_address(bearer, (__u64)BPF_CORE_READ(backing, user_path.mnt),
			     (__u64)BPF_CORE_READ(backing, user_path.dentry), ACCESS(ACCESS_EXECUTE));
}

#endif
