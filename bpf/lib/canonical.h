/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef SALLYPORT_CANONICAL_H
#define SALLYPORT_CANONICAL_H

/*
 * Where an object lies in the container's own tree. Names are noted from the object upwards, until a directory that is
 * anchored: where the container's runtime mounted something. Usually that is the root of the mount the object was
 * reached through, a few names above, and nothing is looked up on the way (`climb`). Otherwise (`find_anchor`) each
 * directory above is looked up, and above its file system's root, the mounts it was reached through are followed. The
 * task's own root never matters, nor where in the tree somebody has mounted the same object once more.
 */

#include "bearer.h"

/* Begins the walk, and notes the names up to the mount's root where they are few. */
static __noinline int climb(struct bearer *bearer, struct vfsmount *mount, struct dentry *dentry)
{
	struct walk *walk = &bearer->walk;
	struct super_block *sb = dentry->d_sb;
	struct dentry *stop, *parent;

	walk->dentry = (__u64)dentry;
	walk->mount = (__u64)mount;
	walk->depth = 0;
	walk->flags = 0;
	if (sb->s_flags & SB_NOUSER) {
		walk->flags = WALK_INTERNAL;
		return 0;
	}
	if (!mount)
		return 0;
	stop = mount->mnt_root;
	walk->stop = (__u64)stop;
	walk->anchor.device = sb->s_dev;
	walk->anchor.inode = stop == sb->s_root ? 0 : stop->d_inode->i_ino;
	for (int depth = 0; depth < WALK_NEAR; depth++) {
		if (dentry == stop) {
			walk->depth = depth;
			walk->flags = WALK_REACHED;
			return 0;
		}
		walk->names[depth].name = (__u64)dentry->d_name.name;
		walk->names[depth].length = dentry->d_name.len;
		parent = dentry->d_parent;
		if (parent == dentry)
			return 0;
		dentry = parent;
	}
	return 0;
}

#define READ(pointer, field) BPF_CORE_READ((pointer), field)

static __always_inline struct mount *mount_of(__u64 vfsmount)
{
	return vfsmount ? (struct mount *)(vfsmount - bpf_core_field_offset(struct mount, mnt)) : NULL;
}

#define MNT_NS_INTERNAL ((struct mnt_namespace *)-22L)

struct search {
	struct walk *walk;
	struct dentry *dentry;
	struct mount *mount;
	__u64 root_inode;
	__u32 root_device;
	__u32 subject;
};

static long search_anchor(__u32 index, struct search *search)
{
	struct dentry *dentry = search->dentry, *root, *parent;
	struct super_block *sb = READ(dentry, d_sb);
	struct walk *walk = search->walk;
	struct anchor_key key = {};
	struct mount *mount = search->mount, *above;
	struct inode *inode;

	root = READ(sb, s_root);
	key.device = READ(sb, s_dev);
	key.subject = search->subject;
	if (dentry != root) {
		inode = READ(dentry, d_inode);
		/* What is about to be made has none, and no anchor. */
		key.inode = inode ? READ(inode, i_ino) : ~1ULL;
	}
	if ((key.device == search->root_device && key.inode == search->root_inode) || bpf_map_lookup_elem(&anchors, &key))
		goto found;
	if (dentry != root) {
		parent = READ(dentry, d_parent);
		/* Opened by a handle, with no name that the kernel knows. */
		if (parent == dentry)
			return 1;
		search->dentry = parent;
		return 0;
	}
	key.subject = 0;
	key.device = READ(sb, s_magic);
	key.inode = ~0ULL;
	if (bpf_map_lookup_elem(&anchors, &key))
		goto found;
	if (!mount) {
		walk->flags = WALK_INTERNAL;
		return 1;
	}
	above = READ(mount, mnt_parent);
	if (above == mount) {
		walk->flags = READ(mount, mnt_ns) == MNT_NS_INTERNAL ? WALK_INTERNAL : WALK_TOP;
		walk->stop = (__u64)READ(mount, mnt.mnt_root);
		walk->stop_mount = (__u64)mount;
		return 1;
	}
	search->dentry = READ(mount, mnt_mountpoint);
	search->mount = above;
	return 0;
found:
	walk->flags = WALK_REACHED;
	walk->stop = (__u64)dentry;
	walk->stop_mount = (__u64)mount;
	walk->anchor.device = key.device;
	walk->anchor.inode = key.inode;
	walk->anchor.subject = key.subject;
	return 1;
}

struct noting {
	struct walk *walk;
	struct dentry *dentry;
	struct mount *mount;
	__u32 count;
	__u32 limit;
	bool done;
};

static long note_name(__u32 index, struct noting *noting)
{
	struct dentry *dentry = noting->dentry, *parent;
	struct mount *mount = noting->mount;
	struct walk *walk = noting->walk;
	struct component *component;
	bool last = !mount || (__u64)mount == walk->stop_mount;

	if (noting->count == noting->limit || (last && (__u64)dentry == walk->stop)) {
		noting->done = true;
		return 1;
	}
	parent = READ(dentry, d_parent);
	if (!last && (parent == dentry || dentry == READ(mount, mnt.mnt_root))) {
		noting->dentry = READ(mount, mnt_mountpoint);
		noting->mount = READ(mount, mnt_parent);
		return 0;
	}
	if (parent == dentry)
		return 1;
	component = &walk->names[noting->count % WALK_NAMES];
	component->name = (__u64)READ(dentry, d_name.name);
	component->length = READ(dentry, d_name.len);
	noting->count++;
	noting->dentry = parent;
	return 0;
}

/* Notes the uppermost 64 of the lowest `limit` names. Returns 0, or -EAGAIN when the object has moved meanwhile. */
FUNCTION note_names(struct bearer *bearer, __u32 limit)
{
	struct noting noting = {};

	if (!bearer)
		return -EAGAIN;
	noting.walk = &bearer->walk;
	noting.dentry = (struct dentry *)bearer->walk.dentry;
	noting.mount = mount_of(bearer->walk.mount);
	noting.limit = limit;
	bpf_loop(WALK_STEPS, note_name, &noting, 0);
	bearer->walk.depth = noting.count;
	return noting.done ? 0 : -EAGAIN;
}

/* Looks for an anchor at each directory above the object. */
FUNCTION find_anchor(struct bearer *bearer)
{
	struct hardened_subject *row;
	struct search search = {};

	if (!bearer)
		return 0;
	search.subject = bearer->subject;
	row = bpf_map_lookup_elem(&hardened_subjects, &search.subject);
	if (!row)
		return 0;
	search.walk = &bearer->walk;
	search.root_device = row->root_device;
	search.root_inode = row->root_inode;
	search.dentry = (struct dentry *)bearer->walk.dentry;
	search.mount = mount_of(bearer->walk.mount);
	bearer->walk.flags = WALK_LOST;
	bpf_loop(WALK_STEPS, search_anchor, &search, 0);
	return 0;
}

/* The same, and notes the names below it. False where there is nothing to read. */
static __always_inline bool locate(struct bearer *bearer)
{
	find_anchor(bearer);
	if (!(bearer->walk.flags & (WALK_REACHED | WALK_TOP)))
		return false;
	if (!note_names(bearer, WALK_STEPS))
		return true;
	bearer->walk.flags = WALK_LOST;
	return false;
}

#endif
