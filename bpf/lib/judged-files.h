/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef SALLYPORT_JUDGED_FILES_H
#define SALLYPORT_JUDGED_FILES_H

/*
 * What was simply allowed is remembered at the file's inode, so that opening a file again costs no reading of its path.
 * What was judged is remembered with it, as a hash: the container's life, its profile and executables, the name by which
 * the file was reached, and how many renames the kernel had made. Each rename anywhere begins all anew; so does a new
 * profile. Nothing but an allowance is ever remembered, and one that somebody is told of is not.
 */

#include "judge-path.h"

/* Containers that share files (volumes) have each a place of their own, mostly. */
#define JUDGED_PLACES 4
/* In a place: accesses that are allowed; the rest is the hash. */
#define JUDGED_ACCESSES ((1ULL << ACCESS_MAX) - 1)

struct judged {
	__u64 places[JUDGED_PLACES];
};

struct {
	__uint(type, BPF_MAP_TYPE_INODE_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct judged);
} judged_files SEC(".maps"); /* kernel */

/* Since 6.2, thus in kernels with backing files: what it gives is read by plain loads. */
extern void *bpf_rdonly_cast(const void *object, __u32 type) __ksym __weak;

#define AS(type, address) ((type *)bpf_rdonly_cast((const void *)(address), bpf_core_type_id_kernel(type)))

struct seqcount {
	__u32 sequence;
} KERNEL;

/* A seqlock; its first word counts renames, and is odd while one goes on. Not there: nothing is remembered. */
extern const void rename_lock __ksym __weak;

static __always_inline __u32 renames_now(void)
{
	__u32 renames = 1;

	if (bpf_rdonly_cast)
		return *(volatile __u32 *)&AS(struct seqcount, &rename_lock)->sequence;
	bpf_probe_read_kernel(&renames, sizeof(renames), &rename_lock);
	return renames;
}

/*
 * The hash under which a file is remembered, or 0: it is not to be. The profile must be the one the bearer knows.
 * Names are only followed up to the anchors, which stay where they are as long as the container lives.
 */
static __always_inline __u64 judged_key(struct bearer *bearer, const struct file *file)
{
	void *profile = profile_of(bearer);
	struct profile *head = profile ? head_of(profile) : NULL;
	__u32 renames;
	__u64 hash;

	if (!head || head->id != bearer->profile_id || !&rename_lock)
		return 0;
	renames = renames_now();
	if (renames & 1)
		return 0;
	/* As numbers, which the verifier lets be calculated with. */
	*(volatile __u64 *)&bearer->walk.dentry = (__u64)file->f_path.dentry;
	*(volatile __u64 *)&bearer->walk.mount = (__u64)file->f_path.mnt;
	hash = mix(bearer->instance, bearer->profile_id);
	/* Mostly none: what is hashed for one is hashed for every file. */
	if (bearer->executables)
		hash = mix(hash, bearer->executables);
	hash = mix(hash, *(volatile __u64 *)&bearer->walk.dentry);
	hash = mix(hash, *(volatile __u64 *)&bearer->walk.mount);
	hash = mix(hash, renames);
	return hash & ~JUDGED_ACCESSES ?: 1ULL << ACCESS_MAX;
}

static __always_inline __u64 *judged_place(const struct bearer *bearer, const struct file *file, __u64 flags)
{
	struct judged *judged = bpf_inode_storage_get(&judged_files, file->f_inode, 0, flags);

	return judged ? &judged->places[bearer->instance % JUDGED_PLACES] : NULL;
}

/* Whether the accesses were allowed before, under the same key. */
static __always_inline bool was_allowed(const struct bearer *bearer, const struct file *file, __u64 key, __u32 accesses)
{
	__u64 *place = key ? judged_place(bearer, file, 0) : NULL, seen;

	if (!place)
		return false;
	seen = *(volatile __u64 *)place;
	return (seen & ~JUDGED_ACCESSES) == key && !(accesses & ~seen);
}

/* After it was allowed, under the key from before it was judged: what was renamed meanwhile has another one. */
static __always_inline void remember_allowed(const struct bearer *bearer, const struct file *file, __u64 key,
					     __u32 accesses)
{
	__u64 *place, seen;

	if (!key || bearer->told || bearer->walk.flags & WALK_TOP)
		return;
	/* Mounts that it was followed through may be moved, which is no rename. */
	if (bearer->walk.stop_mount && bearer->walk.stop_mount != (__u64)mount_of(bearer->walk.mount))
		return;
	place = judged_place(bearer, file, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!place)
		return;
	seen = *(volatile __u64 *)place;
	if ((seen & ~JUDGED_ACCESSES) == key)
		accesses |= seen & JUDGED_ACCESSES;
	*(volatile __u64 *)place = key | accesses;
}

#endif
