/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef SALLYPORT_OBJECTS_H
#define SALLYPORT_OBJECTS_H

/* What the hardening programs read of the kernel's own objects; offsets are relocated when they are loaded. */

#include "kernel.h"

#define KERNEL __attribute__((preserve_access_index))

#define EPERM 1
#define EAGAIN 11
#define ENOMEM 12
#define EACCES 13

#define S_IFMT 0170000
#define S_IFBLK 0060000
#define S_IFDIR 0040000
#define S_IFCHR 0020000
#define S_IFREG 0100000
#define S_IFIFO 0010000
#define S_IFSOCK 0140000
#define S_ISUID 04000
#define S_ISGID 02000
#define S_IXGRP 00010

#define FMODE_READ 1
#define FMODE_WRITE 2
#define FMODE_EXEC_FLAG 0x20 /* __FMODE_EXEC, in f_flags */

#define MAY_EXEC 1
#define MAY_WRITE 2
#define MAY_READ 4
#define MAY_APPEND 8

#define PROT_READ 1
#define PROT_WRITE 2
#define PROT_EXEC 4
#define MAP_SHARED_BIT 1
#define VM_WRITE 2
#define VM_EXEC 4
#define VM_SHARED 8

/* No path leads to it: pipes, sockets, anonymous files, memfds. */
#define SB_NOUSER (1UL << 31)

struct qstr {
	union {
		struct {
			__u32 hash;
			__u32 len;
		};
		__u64 hash_len;
	};
	const unsigned char *name;
} KERNEL;

struct hlist_node {
	struct hlist_node *next;
} KERNEL;

struct hlist_head {
	struct hlist_node *first;
} KERNEL;

struct hlist_bl_node {
	struct hlist_bl_node **pprev;
} KERNEL;

struct inode {
	__u16 i_mode;
	__u32 i_rdev;
	unsigned long i_ino;
	struct super_block *i_sb;
	struct hlist_head i_dentry;
} KERNEL;

struct dentry {
	struct hlist_bl_node d_hash;
	struct dentry *d_parent;
	struct qstr d_name;
	struct inode *d_inode;
	struct super_block *d_sb;
} KERNEL;

struct file_system_type {
	const char *name;
	int fs_flags;
} KERNEL;

struct super_block {
	__u32 s_dev;
	unsigned long s_flags;
	unsigned long s_magic;
	struct dentry *s_root;
	struct file_system_type *s_type;
	struct block_device *s_bdev;
} KERNEL;

struct vfsmount {
	struct dentry *mnt_root;
	struct super_block *mnt_sb;
	int mnt_flags;
} KERNEL;

struct mnt_namespace;

struct mount {
	struct mount *mnt_parent;
	struct dentry *mnt_mountpoint;
	struct vfsmount mnt;
	struct mnt_namespace *mnt_ns;
} KERNEL;

struct path {
	struct vfsmount *mnt;
	struct dentry *dentry;
} KERNEL;

struct file {
	__u32 f_mode;
	struct path f_path;
	struct inode *f_inode;
	__u32 f_flags;
} KERNEL;

struct mm_struct {
	struct file *exe_file;
} KERNEL;

struct kernfs_node {
	__u64 id;
} KERNEL;

struct cgroup_subsys_state {
	struct cgroup *cgroup;
	struct cgroup_subsys_state *parent;
} KERNEL;

struct cgroup_root {
	int hierarchy_id;
} KERNEL;

struct cgroup {
	struct cgroup_subsys_state self;
	int level;
	struct kernfs_node *kn;
	struct cgroup_root *root;
	struct cgroup *ancestors[];
} KERNEL;

struct css_set {
	struct cgroup *dfl_cgrp;
} KERNEL;

typedef struct {
	__u32 val;
} kuid_t;

typedef struct {
	__u32 val;
} kgid_t;

struct user_namespace;

/* Of 8 bytes, whatever they are called. */
struct capability_set {
	__u64 bits;
};

struct cred {
	kuid_t uid;
	kgid_t gid;
	kuid_t suid;
	kuid_t euid;
	kgid_t egid;
	struct capability_set cap_permitted;
	kuid_t fsuid;
	struct {
		__u64 bits;
	} cap_effective;
	struct user_namespace *user_ns;
} KERNEL;

struct nsproxy {
	struct mnt_namespace *mnt_ns;
} KERNEL;

struct fdtable {
	unsigned int max_fds;
	struct file **fd;
	unsigned long *open_fds;
} KERNEL;

struct files_struct {
	struct fdtable *fdt;
} KERNEL;

struct task_struct {
	int pid;
	int tgid;
	unsigned int flags;
	__u8 comm[16];
	struct mm_struct *mm;
	struct task_struct *real_parent;
	struct task_struct *group_leader;
	struct css_set *cgroups;
	struct files_struct *files;
	struct nsproxy *nsproxy;
	const struct cred *real_cred;
	const struct cred *cred;
} KERNEL;

struct vm_area_struct {
	unsigned long vm_flags;
	void *anon_vma;
	struct file *vm_file;
} KERNEL;

struct linux_binprm {
	struct file *file;
	struct cred *cred;
	const char *filename;
	const char *interp;
} KERNEL;

#endif
