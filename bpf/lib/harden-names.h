/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef SALLYPORT_HARDEN_NAMES_H
#define SALLYPORT_HARDEN_NAMES_H

/*
 * Names: made, removed, moved; and what belongs to a file beside its content.
 *
 *   path_mkdir, path_mknod, path_symlink    create; device nodes, and setuid bits, by whatever call makes them
 *   path_unlink, path_rmdir                 delete
 *   path_link, path_rename                  create at the destination, delete at the source (rename), and whether the
 *                                           source, or what lies below a directory, would escape rules that guard it
 *   path_chmod, path_chown, inode_setxattr, inode_removexattr, inode_set_acl, inode_remove_acl (from 6.2)  attributes
 */

#include "judge-path.h"

#define RENAME_EXCHANGE 2

static __always_inline int judge_name(const struct path *directory, struct dentry *dentry, __u32 accesses)
{
	struct bearer *bearer;
	int refused = bearer_now(&bearer);

	return bearer ? judge_dentry(bearer, directory->mnt, dentry, accesses) : refused;
}

SEC("lsm/path_mkdir")
int BPF_PROG(make_directory, const struct path *directory, struct dentry *dentry)
{
	return judge_name(directory, dentry, ACCESS(ACCESS_CREATE));
}

SEC("lsm/path_symlink")
int BPF_PROG(make_symlink, const struct path *directory, struct dentry *dentry)
{
	return judge_name(directory, dentry, ACCESS(ACCESS_CREATE));
}

/* Regular files too, where open(2) makes them. */
SEC("lsm/path_mknod")
int BPF_PROG(make_node, const struct path *directory, struct dentry *dentry, __u16 mode, unsigned int device)
{
	struct bearer *bearer;
	int refused = bearer_now(&bearer);
	__u32 type = mode & S_IFMT;

	if (!bearer)
		return refused;
	/* A character device 0:0 is a whiteout, and no device. */
	if ((type == S_IFBLK || (type == S_IFCHR && device)) && judge_operation(bearer, OPERATION_DEVICE_NODE))
		return -EPERM;
	if ((type == S_IFREG || !type) && mode & (S_ISUID | S_ISGID) && judge_operation(bearer, OPERATION_SETUID_MODE))
		return -EPERM;
	/* To bind a UNIX socket to a path is to make it there. */
	return judge_dentry(bearer, directory->mnt, dentry,
			    ACCESS(ACCESS_CREATE) | (type == S_IFSOCK ? ACCESS(ACCESS_BIND) : 0));
}

SEC("lsm/path_unlink")
int BPF_PROG(remove_file, const struct path *directory, struct dentry *dentry)
{
	return judge_name(directory, dentry, ACCESS(ACCESS_DELETE));
}

SEC("lsm/path_rmdir")
int BPF_PROG(remove_directory, const struct path *directory, struct dentry *dentry)
{
	return judge_name(directory, dentry, ACCESS(ACCESS_DELETE));
}

SEC("lsm/path_link")
int BPF_PROG(make_link, struct dentry *source, const struct path *directory, struct dentry *dentry)
{
	struct bearer *bearer;
	int refused = bearer_now(&bearer);

	if (!bearer)
		return refused;
	if (judge_dentry(bearer, directory->mnt, dentry, ACCESS(ACCESS_CREATE) | PLACE))
		return -EACCES;
	return judge_dentry(bearer, directory->mnt, source, MOVING);
}

static __always_inline __u32 moving(const struct dentry *dentry)
{
	return MOVING | ((dentry->d_inode->i_mode & S_IFMT) == S_IFDIR ? BELOW : 0);
}

SEC("lsm/path_rename")
int BPF_PROG(move_name, const struct path *from, struct dentry *source, const struct path *to, struct dentry *target,
	     unsigned int flags)
{
	__u32 at_target = ACCESS(ACCESS_CREATE) | PLACE, at_source = ACCESS(ACCESS_DELETE) | moving(source);
	struct bearer *bearer;
	int refused = bearer_now(&bearer);

	if (!bearer)
		return refused;
	/* What stood there before is deleted. Some verifiers take for granted that something did. */
	if (BPF_CORE_READ(target, d_inode))
		at_target |= ACCESS(ACCESS_DELETE);
	if (judge_dentry(bearer, to->mnt, target, at_target))
		return -EACCES;
	if (judge_dentry(bearer, from->mnt, source, at_source))
		return -EACCES;
	if (!(flags & RENAME_EXCHANGE))
		return 0;
	/* The other way. */
	if (judge_dentry(bearer, from->mnt, source, ACCESS(ACCESS_CREATE) | PLACE))
		return -EACCES;
	return judge_dentry(bearer, to->mnt, target, moving(target));
}

SEC("lsm/path_chmod")
int BPF_PROG(change_mode, const struct path *path, __u16 mode)
{
	struct bearer *bearer;
	int refused = bearer_now(&bearer);
	__u16 now;

	if (!bearer)
		return refused;
	now = path->dentry->d_inode->i_mode;
	if ((now & S_IFMT) == S_IFREG && mode & ~now & (S_ISUID | S_ISGID) &&
	    judge_operation(bearer, OPERATION_SETUID_MODE))
		return -EPERM;
	return judge_path(bearer, path, ACCESS(ACCESS_ATTRIBUTES));
}

SEC("lsm/path_chown")
int BPF_PROG(change_owner, const struct path *path)
{
	struct bearer *bearer;
	int refused = bearer_now(&bearer);

	return bearer ? judge_path(bearer, path, ACCESS(ACCESS_ATTRIBUTES)) : refused;
}

/* Their mount is not told. What an overlay file system does in its layers finds no anchor and is let be. */
static __always_inline int judge_attributes(struct dentry *dentry)
{
	struct bearer *bearer;
	int refused = bearer_now(&bearer);

	return bearer ? judge_dentry(bearer, NULL, dentry, ACCESS(ACCESS_ATTRIBUTES)) : refused;
}

static const char capabilities_name[] = "security.capability";

SEC("lsm/inode_setxattr")
int BPF_PROG(set_attribute, void *ids, struct dentry *dentry, const char *name)
{
	char start[sizeof(capabilities_name)] = {};
	struct bearer *bearer;
	int refused = bearer_now(&bearer);

	if (!bearer)
		return refused;
	bpf_probe_read_kernel_str(start, sizeof(start), name);
	if (!__builtin_memcmp(start, capabilities_name, sizeof(start)) && judge_operation(bearer, OPERATION_SETUID_MODE))
		return -EPERM;
	return judge_dentry(bearer, NULL, dentry, ACCESS(ACCESS_ATTRIBUTES));
}

SEC("lsm/inode_removexattr")
int BPF_PROG(remove_attribute, void *ids, struct dentry *dentry)
{
	return judge_attributes(dentry);
}

SEC("lsm/inode_set_acl")
int BPF_PROG(set_acl, void *ids, struct dentry *dentry)
{
	return judge_attributes(dentry);
}

SEC("lsm/inode_remove_acl")
int BPF_PROG(remove_acl, void *ids, struct dentry *dentry)
{
	return judge_attributes(dentry);
}

#endif
