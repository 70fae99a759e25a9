/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef SALLYPORT_HARDEN_FILES_H
#define SALLYPORT_HARDEN_FILES_H

/*
 * Files: opened, received, cut, and used where nobody has judged their being opened.
 *
 *   file_open          read, write; disks by whatever node. Not what exec opens: that is judged when it is run
 *   file_permission    as file_open, of files that were opened before the profile came; each once
 *   file_receive       as file_open, and whether the file lies in the container at all
 *   path_truncate, file_truncate (from 6.2)
 */

#include "judged-files.h"

/* Of a file in a layer: one bit before Linux 6.14, the other one since; each is another flag in the other kernels. */
#define FMODE_BACKING (1 << 25 | 1 << 24)
#define OVERLAYFS_SUPER_MAGIC 0x794c7630

static __always_inline __u32 accesses_of(const struct file *file)
{
	__u32 mode = file->f_mode;

	return (mode & FMODE_READ ? ACCESS(ACCESS_READ) : 0) | (mode & FMODE_WRITE ? ACCESS(ACCESS_WRITE) : 0);
}

/* --- files that are judged already, while there are others */

/* As a number, which the verifier lets be calculated with. */
static __always_inline __u64 address_of(struct bearer *bearer, const struct file *file)
{
	*(volatile __u64 *)&bearer->walk.file = (__u64)file;
	return *(volatile __u64 *)&bearer->walk.file;
}

static __always_inline bool is_known(struct bearer *bearer, const struct file *file, __u32 accesses)
{
	__u64 address = address_of(bearer, file), seen = bearer->known[address / 256 % KNOWN_FILES];

	return (seen & ~7ULL) == address && !(accesses & ~seen & 7);
}

static __always_inline void remember(struct bearer *bearer, const struct file *file, __u32 accesses)
{
	__u64 address, *slot;

	if (likely(!(bearer->flags & BEARER_OLD_FILES)))
		return;
	address = address_of(bearer, file);
	slot = &bearer->known[address / 256 % KNOWN_FILES];
	*slot = address | ((*slot & ~7ULL) == address ? *slot & 7 : 0) | (accesses & 3);
}

/* --- overlay file systems open a second file, in the layer, in the task's name */

struct backing_file {
	struct path user_path;
} KERNEL;

#define HAS_BACKING_FILES bpf_core_field_exists(struct backing_file, user_path)

/* Since 6.5, by a mount of the overlay's own. */
static __always_inline bool is_backing(const struct file *file)
{
	if (!HAS_BACKING_FILES || likely(!(file->f_mode & FMODE_BACKING)))
		return false;
	return AS(struct mount, (void *)file->f_path.mnt - bpf_core_field_offset(struct mount, mnt))->mnt_ns ==
	       MNT_NS_INTERNAL;
}

/* Before that, by the name in the overlay and the inode in the layer. */
static __always_inline bool is_layer(const struct file *file)
{
	struct dentry *dentry = file->f_path.dentry;

	if (HAS_BACKING_FILES)
		return is_backing(file);
	return unlikely(file->f_inode != dentry->d_inode) && dentry->d_sb->s_magic == OVERLAYFS_SUPER_MAGIC;
}

/* The device of the overlay for which a file in a layer was opened, or 0. */
static __always_inline __u32 overlay_of(const struct file *file)
{
	struct dentry *dentry = file->f_path.dentry;

	if (HAS_BACKING_FILES)
		return AS(struct backing_file, file)->user_path.dentry->d_sb->s_dev;
	return file->f_inode != dentry->d_inode ? dentry->d_sb->s_dev : 0;
}

/* Whether the container's runtime has mounted the overlay, its root or another. */
static __always_inline bool is_runtimes(const struct bearer *bearer, const struct hardened_subject *row, __u32 overlay)
{
	struct anchor_key key = { .device = overlay, .subject = bearer->subject };

	return key.device == row->root_device || bpf_map_lookup_elem(&anchors, &key);
}

struct dentry___6_1 {
	union {
		struct hlist_node d_alias;
	} d_u;
} KERNEL;

/*
 * The layers of what its runtime has mounted are not the container's business. But what it has made a layer itself, to
 * read it by another name, is in its tree.
 */
static __always_inline int judge_layer(struct bearer *bearer, const struct file *file, __u32 accesses)
{
	__u32 subject = bearer->subject;
	struct hardened_subject *row = bpf_map_lookup_elem(&hardened_subjects, &subject);
	__u32 overlay = overlay_of(file);
	struct hlist_node *alias;

	if (!row || (overlay && is_runtimes(bearer, row, overlay)))
		return 0;
	if (file->f_inode == file->f_path.dentry->d_inode)
		return judge_path(bearer, &file->f_path, accesses);
	if (!bpf_core_field_exists(struct dentry___6_1, d_u.d_alias))
		return 0;
	alias = file->f_inode->i_dentry.first;
	if (!alias)
		return 0;
	return judge_address(bearer, 0, (__u64)alias - bpf_core_field_offset(struct dentry___6_1, d_u.d_alias), accesses);
}

static __always_inline int judge_file(struct bearer *bearer, const struct file *file, __u32 accesses)
{
	if (unlikely(is_layer(file)))
		return judge_layer(bearer, file, accesses);
	return judge_path(bearer, &file->f_path, accesses);
}

#define MAJOR(device) ((device) >> 20)
#define SCSI_GENERIC_MAJOR 21
#define FLASH_MAJOR 90

/* Block devices, and character devices that take a disk's commands. */
static __always_inline bool is_disk(const struct inode *inode)
{
	__u32 type = inode->i_mode & S_IFMT, major;

	if (likely(type != S_IFCHR))
		return type == S_IFBLK;
	major = MAJOR(inode->i_rdev);
	return major == SCSI_GENERIC_MAJOR || major == FLASH_MAJOR;
}

static __always_inline int judge_disk(struct bearer *bearer, const struct file *file, __u32 accesses)
{
	if (likely(!is_disk(file->f_inode)))
		return 0;
	if (accesses & ACCESS(ACCESS_WRITE) && judge_operation(bearer, OPERATION_DISK_WRITE))
		return -EPERM;
	return judge_operation(bearer, OPERATION_DISK_READ);
}

SEC("lsm/file_open")
int BPF_PROG(open_file, struct file *file)
{
	struct bearer *bearer;
	int refused = bearer_now(&bearer);
	__u32 accesses;
	__u64 key;

	if (!bearer)
		return refused;
	accesses = accesses_of(file);
	if (file->f_flags & FMODE_EXEC_FLAG)
		return 0;
	if (is_layer(file))
		return judge_disk(bearer, file, accesses) || judge_layer(bearer, file, accesses) ? -EACCES : 0;
	key = judged_key(bearer, file);
	if (was_allowed(bearer, file, key, accesses)) {
		remember(bearer, file, accesses);
		return 0;
	}
	bearer->walk.stop_mount = 0;
	bearer->told = 0;
	if (judge_disk(bearer, file, accesses))
		return -EPERM;
	if (judge_path(bearer, &file->f_path, accesses))
		return -EACCES;
	remember(bearer, file, accesses);
	remember_allowed(bearer, file, key, accesses);
	return 0;
}

/* Whether nobody has judged this by the profile that is in force. */
static __always_inline bool is_unjudged(struct bearer *bearer, const struct file *file, __u32 accesses)
{
	void *profile = profile_of(bearer);
	struct profile *head = profile ? head_of(profile) : NULL;

	if (unlikely(!head || head->id != bearer->profile_id))
		return true;
	return unlikely(bearer->flags & BEARER_OLD_FILES) && !is_known(bearer, file, accesses);
}

/* Judges a file that is used, if nobody has judged its being opened. */
static __always_inline int judge_old_file(struct bearer *bearer, const struct file *file, __u32 accesses)
{
	if (is_layer(file))
		return 0;
	if (judge_disk(bearer, file, accesses) || judge_path(bearer, &file->f_path, accesses))
		return -EACCES;
	remember(bearer, file, accesses);
	return 0;
}

SEC("lsm/file_permission")
int BPF_PROG(use_file, struct file *file, int mask)
{
	struct bearer *bearer;
	int refused = bearer_now(&bearer);
	__u32 accesses = (mask & MAY_READ ? ACCESS(ACCESS_READ) : 0) | (mask & MAY_WRITE ? ACCESS(ACCESS_WRITE) : 0);

	if (!bearer)
		return refused;
	if (likely(!is_unjudged(bearer, file, accesses)))
		return 0;
	return judge_old_file(bearer, file, accesses) ? -EACCES : 0;
}

/* Whether no anchor leads to it, and it lies in other mounts than the task's. */
FUNCTION is_foreign(struct bearer *bearer)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task_btf();
	struct mount *top;

	if (!bearer || bearer->walk.flags & WALK_INTERNAL)
		return 0;
	find_anchor(bearer);
	if (!(bearer->walk.flags & WALK_TOP))
		return 0;
	top = (struct mount *)bearer->walk.stop_mount;
	return BPF_CORE_READ(top, mnt_ns) != BPF_CORE_READ(task, nsproxy, mnt_ns);
}

SEC("lsm/file_receive")
int BPF_PROG(receive_file, struct file *file)
{
	struct bearer *bearer;
	int refused = bearer_now(&bearer);
	__u32 accesses;

	if (!bearer)
		return refused;
	accesses = accesses_of(file);
	if (judge_old_file(bearer, file, accesses))
		return -EACCES;
	climb(bearer, file->f_path.mnt, file->f_path.dentry);
	if (is_foreign(bearer) && judge_operation(bearer, OPERATION_FOREIGN_DESCRIPTOR))
		return -EACCES;
	return 0;
}

SEC("lsm/path_truncate")
int BPF_PROG(truncate_path, const struct path *path)
{
	struct bearer *bearer;
	int refused = bearer_now(&bearer);

	return bearer ? judge_path(bearer, path, ACCESS(ACCESS_WRITE)) : refused;
}

SEC("lsm/file_truncate")
int BPF_PROG(truncate_file, struct file *file)
{
	struct bearer *bearer;
	int refused = bearer_now(&bearer);

	return bearer ? judge_path(bearer, &file->f_path, ACCESS(ACCESS_WRITE)) : refused;
}

#endif
