/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef SALLYPORT_MOUNTS_H
#define SALLYPORT_MOUNTS_H

/*
 * Mounts. mount(2) is judged with its flags before it does anything; only whether a new file system lies on a block
 * device shows after its superblock was made. Of the new interface the kernel asks about the superblock (fsconfig), and
 * about attaching (move_mount). It asks nothing about clones (open_tree) and attributes (mount_setattr), but for
 * CAP_SYS_ADMIN: there they are judged, and refused by any rule that may mean them.
 */

#include "judge-path.h"
#include "system-calls.h"

#define MS_RDONLY 1
#define MS_REMOUNT 32
#define MS_BIND 4096
#define MS_MOVE 8192
#define MS_PROPAGATION (1 << 17 | 1 << 18 | 1 << 19 | 1 << 20)

#define MNT_READONLY 0x40
#define SB_RDONLY 1
#define FS_REQUIRES_DEV 1

enum known {
	KNOWN_NO = 0,
	KNOWN_YES = 1,
	KNOWN_NOT = 2,
};

struct mount_question {
	__u64 type[2];   /* name of the file system */
	__u32 operation; /* enum mount_operation */
	__u8 typed;      /* the type is known */
	__u8 writable;
	__u8 device;     /* enum known */
	__u8 pad;
};

/* What mount(2) has said of a new file system that is not there yet. */
struct mounting {
	__u32 open;    /* only its device will tell which rule holds */
	__u32 writable;
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct mounting);
} mountings SEC(".maps"); /* kernel */

/* Only the device will tell. */
#define OPEN 2

struct mount_search {
	struct bearer *bearer;
	const struct profile *head;
	const struct mount_question *question;
	__u32 wait; /* where only the device will tell */
	__u32 rulings;
	int outcome; /* where it is not left to `rulings` */
};

static long search_mount_rule(__u32 index, struct mount_search *search)
{
	const struct mount_rule *rule = &search->head->mounts[index % PROFILE_MOUNTS];
	const struct mount_question *question = search->question;
	const __u64 *type = (const __u64 *)rule->type;
	bool perhaps = false;

	if (!rule->rulings)
		return 1;
	if (!(rule->operations & question->operation))
		return 0;
	if (rule->flags & MOUNT_WRITABLE && !question->writable)
		return 0;
	if (rule->flags & MOUNT_DEVICE && question->device == KNOWN_NO)
		return 0;
	if (type[0]) {
		if (question->typed && (type[0] != question->type[0] || type[1] != question->type[1]))
			return 0;
		perhaps = !question->typed;
	}
	if (rule->flags & MOUNT_DEVICE && question->device == KNOWN_NOT) {
		if (search->wait) {
			search->outcome = OPEN;
			return 1;
		}
		perhaps = true;
	}
	if (perhaps) {
		/* It counts if it refuses. */
		search->outcome = rule_on(search->bearer, rule->rulings, CLASS_QUIET, 0);
		if (!search->outcome)
			return 0;
	}
	search->rulings = rule->rulings;
	return 1;
}

/* 0, -EPERM, or OPEN where only the device will tell. The walk is of the path that it is about, or of nothing. */
FUNCTION judge_mount(struct bearer *bearer, struct mount_question *question, bool wait)
{
	struct mount_search search = {};
	void *profile;
	int outcome;

	if (!bearer || !question)
		return -EPERM;
	for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
		profile = profile_of(bearer);
		search.head = profile ? head_of(profile) : NULL;
		if (!search.head)
			return refuse_orphan(bearer, CLASS_MOUNT, question->operation);
		search.bearer = bearer;
		search.question = question;
		search.wait = wait;
		search.rulings = search.head->mount_default;
		search.outcome = 0;
		if (!search.rulings && !search.head->mounts[0].rulings)
			return 0;
		keep_current(bearer, search.head);
		bpf_loop(PROFILE_MOUNTS, search_mount_rule, &search, 0);
		if (search.outcome == OPEN)
			return OPEN;
		outcome = search.outcome == AGAIN ? AGAIN :
						    rule_on(bearer, search.rulings, CLASS_MOUNT, question->operation);
		if (outcome != AGAIN)
			return outcome;
	}
	return -EPERM;
}

static __always_inline void no_path(struct bearer *bearer)
{
	bearer->walk.dentry = 0;
	bearer->walk.mount = 0;
	bearer->walk.flags = WALK_INTERNAL;
}

static __always_inline void know_superblock(struct mount_question *question, const struct super_block *sb)
{
	const char *name = BPF_CORE_READ(sb, s_type, name);

	if (bpf_probe_read_kernel_str(question->type, sizeof(question->type), name) > 0)
		question->typed = 1;
	/* File systems on several devices do not say which. */
	question->device = BPF_CORE_READ(sb, s_bdev) || BPF_CORE_READ(sb, s_type, fs_flags) & FS_REQUIRES_DEV ? KNOWN_YES :
														  KNOWN_NO;
}

static __always_inline void know_mount(struct mount_question *question, struct vfsmount *mount)
{
	know_superblock(question, BPF_CORE_READ(mount, mnt_sb));
	question->writable = !(BPF_CORE_READ(mount, mnt_flags) & MNT_READONLY);
}

/* `fuse.sshfs` is of the type `fuse`. */
static __always_inline void know_name(struct mount_question *question, const char *name)
{
	char *type = (char *)question->type;

	if (bpf_probe_read_kernel_str(type, sizeof(question->type), name) <= 0)
		return;
	question->typed = 1;
	for (int at = 0, dotted = 0; at < (int)sizeof(question->type); at++) {
		dotted |= type[at] == '.';
		if (dotted)
			type[at] = 0;
	}
}

static __always_inline __u32 operation_of(unsigned long flags)
{
	if (flags & MS_REMOUNT)
		return MOUNT_REMOUNT;
	if (flags & MS_BIND)
		return MOUNT_BIND;
	if (flags & MS_PROPAGATION)
		return MOUNT_PROPAGATION;
	return flags & MS_MOVE ? MOUNT_MOVE : MOUNT_NEW;
}

SEC("lsm/sb_mount")
int BPF_PROG(mount_somewhere, const char *source, const struct path *path, const char *type, unsigned long flags)
{
	struct mount_question question = { .device = KNOWN_NOT, .writable = !(flags & MS_RDONLY) };
	struct mounting *mounting;
	struct bearer *bearer;
	int outcome = bearer_now(&bearer);

	if (!bearer)
		return outcome;
	outcome = judge_path(bearer, path, ACCESS(ACCESS_MOUNT));
	if (outcome)
		return outcome;
	question.operation = operation_of(flags);
	switch (question.operation) {
	case MOUNT_NEW:
		know_name(&question, type);
		break;
	case MOUNT_REMOUNT:
		know_superblock(&question, path->mnt->mnt_sb);
		break;
	case MOUNT_PROPAGATION:
		know_mount(&question, path->mnt);
		break;
	default:
		/* Where it comes from is looked up later, and its being read-only goes with it. */
		question.writable = 1;
	}
	outcome = judge_mount(bearer, &question, question.operation == MOUNT_NEW);
	if (outcome && outcome != OPEN)
		return -EPERM;
	if (question.operation != MOUNT_NEW)
		return 0;
	mounting = bpf_task_storage_get(&mountings, bpf_get_current_task_btf(), 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!mounting)
		return -ENOMEM;
	mounting->open = outcome == OPEN;
	mounting->writable = question.writable;
	return 0;
}

/* A superblock is there, by mount(2) or by fsconfig(2). What the latter makes may become writable at any time. */
SEC("lsm/sb_kern_mount")
int BPF_PROG(mount_superblock, const struct super_block *sb)
{
	struct mount_question question = { .operation = MOUNT_NEW };
	struct mounting *mounting;
	struct bearer *bearer;
	int refused = bearer_now(&bearer);

	if (!bearer)
		return refused;
	know_superblock(&question, sb);
	question.writable = !(sb->s_flags & SB_RDONLY);
	if (current_system_call() != CALL_FSCONFIG) {
		mounting = bpf_task_storage_get(&mountings, bpf_get_current_task_btf(), 0, 0);
		if (mounting && !mounting->open)
			return 0;
		if (mounting)
			question.writable = mounting->writable;
	}
	no_path(bearer);
	return judge_mount(bearer, &question, false) ? -EPERM : 0;
}

/* What mount(2) asks here it has asked before, and with its flags. */
SEC("lsm/sb_remount")
int BPF_PROG(remount_superblock, struct super_block *sb)
{
	struct mount_question question = { .operation = MOUNT_REMOUNT, .writable = 1 };
	struct bearer *bearer;
	int refused = bearer_now(&bearer);

	if (!bearer)
		return refused;
	if (current_system_call() != CALL_FSCONFIG)
		return 0;
	know_superblock(&question, sb);
	no_path(bearer);
	return judge_mount(bearer, &question, false) ? -EPERM : 0;
}

SEC("lsm/sb_umount")
int BPF_PROG(unmount, struct vfsmount *mount)
{
	struct mount_question question = { .operation = MOUNT_UNMOUNT };
	struct bearer *bearer;
	int outcome = bearer_now(&bearer);

	if (!bearer)
		return outcome;
	outcome = judge_dentry(bearer, mount, mount->mnt_root, ACCESS(ACCESS_MOUNT));
	if (outcome)
		return outcome;
	know_mount(&question, mount);
	return judge_mount(bearer, &question, false) ? -EPERM : 0;
}

/* What is mounted nowhere yet was judged when it was made. */
static __always_inline bool is_detached(struct vfsmount *mount)
{
	struct mount *here = mount_of((__u64)mount);

	return BPF_CORE_READ(here, mnt_parent) == here;
}

SEC("lsm/move_mount")
int BPF_PROG(move_somewhere, const struct path *from, const struct path *to)
{
	struct mount_question question = { .operation = MOUNT_MOVE };
	struct bearer *bearer;
	int outcome = bearer_now(&bearer);

	if (!bearer)
		return outcome;
	outcome = judge_path(bearer, to, ACCESS(ACCESS_MOUNT));
	if (outcome || is_detached(from->mnt))
		return outcome;
	outcome = judge_path(bearer, from, ACCESS(ACCESS_MOUNT));
	if (outcome)
		return outcome;
	know_mount(&question, from->mnt);
	return judge_mount(bearer, &question, false) ? -EPERM : 0;
}

/* Asked for CAP_SYS_ADMIN: by a call that nothing else asks about? */
static __always_inline int judge_mount_call(struct bearer *bearer)
{
	struct mount_question question = { .device = KNOWN_NOT, .writable = 1 };
	int call = current_system_call();

	if (likely(call != CALL_OPEN_TREE && call != CALL_MOUNT_SETATTR && call != CALL_OPEN_TREE_ATTR))
		return 0;
	no_path(bearer);
	if (call != CALL_MOUNT_SETATTR) {
		question.operation = MOUNT_BIND;
		if (judge_mount(bearer, &question, false))
			return -EPERM;
		if (call == CALL_OPEN_TREE)
			return 0;
	}
	question.operation = MOUNT_REMOUNT;
	if (judge_mount(bearer, &question, false))
		return -EPERM;
	question.operation = MOUNT_PROPAGATION;
	return judge_mount(bearer, &question, false) ? -EPERM : 0;
}

SEC("lsm/path_chroot")
int BPF_PROG(change_root, const struct path *path)
{
	struct bearer *bearer;
	int refused = bearer_now(&bearer);

	if (!bearer)
		return refused;
	return judge_operation(bearer, OPERATION_CHROOT);
}

SEC("lsm/sb_pivotroot")
int BPF_PROG(pivot_root, const struct path *old, const struct path *new)
{
	struct bearer *bearer;
	int refused = bearer_now(&bearer);

	if (!bearer)
		return refused;
	return judge_operation(bearer, OPERATION_PIVOT_ROOT);
}

#endif
