/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef SALLYPORT_USERS_H
#define SALLYPORT_USERS_H

/* Users other than root that become root: the host's, or that of the user namespace they are in. */

#include "judge-path.h"

#define MAPPED_INLINE 5 /* extents that lie in the map itself */
#define MAPPED_MOST 340
#define NOBODY_MAPPED 0xffffffffU

struct uid_gid_extent {
	__u32 first;
	__u32 lower_first;
	__u32 count;
} KERNEL;

struct uid_gid_map {
	__u32 nr_extents;
	union {
		struct uid_gid_extent extent[MAPPED_INLINE];
		struct {
			struct uid_gid_extent *forward;
		};
	};
} KERNEL;

struct user_namespace___maps {
	struct uid_gid_map uid_map;
} KERNEL;

/* The user that is root there; more extents than a few are sorted, and the one with 0 comes first. */
static __always_inline __u32 root_in(const struct user_namespace *namespace)
{
	const struct user_namespace___maps *maps = (const struct user_namespace___maps *)namespace;
	__u32 count = BPF_CORE_READ(maps, uid_map.nr_extents);
	struct uid_gid_extent extent = {};

	if (count > MAPPED_INLINE) {
		bpf_probe_read_kernel(&extent, sizeof(extent), BPF_CORE_READ(maps, uid_map.forward));
		return extent.first ? NOBODY_MAPPED : extent.lower_first;
	}
	for (__u32 index = 0; index < MAPPED_INLINE && index < count; index++) {
		BPF_CORE_READ_INTO(&extent, maps, uid_map.extent[index]);
		if (!extent.first && extent.count)
			return extent.lower_first;
	}
	return NOBODY_MAPPED;
}

static __always_inline bool has_root(const struct cred *cred, __u32 root)
{
	__u32 user = BPF_CORE_READ(cred, uid.val), saved = BPF_CORE_READ(cred, suid.val);
	__u32 effective = BPF_CORE_READ(cred, euid.val), files = BPF_CORE_READ(cred, fsuid.val);

	return user == root || saved == root || effective == root || files == root;
}

/* Who is root in any respect may be so in all. To be called for exec as well, with what it will have. */
static __always_inline bool becomes_root(const struct cred *new, const struct cred *old)
{
	__u32 root = root_in(BPF_CORE_READ(new, user_ns));

	if (has_root(new, 0) && !has_root(old, 0))
		return true;
	return root && root != NOBODY_MAPPED && has_root(new, root) && !has_root(old, root);
}

SEC("lsm/task_fix_setuid")
int BPF_PROG(change_user, struct cred *new, const struct cred *old)
{
	struct bearer *bearer;
	int refused = bearer_now(&bearer);

	if (!bearer)
		return refused;
	return becomes_root(new, old) ? judge_operation(bearer, OPERATION_BECOME_ROOT) : 0;
}

#endif
