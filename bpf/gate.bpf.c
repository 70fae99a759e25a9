/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * gate: BTF tracepoints on the life of cgroups. What it sees it tells through the event ring, so that the agent
 * looks at a new container in the moment it appears and not when the runtime gets round to announcing it:
 *
 *   cgroup_created   cgroup_mkdir          a runtime prepares a container
 *   cgroup_entered   cgroup_attach_task    its first process comes in
 *   cgroup_removed   cgroup_rmdir          it is gone; its identity must not outlive it
 *
 * It decides nothing. Only the cgroup2 tree is told of: others have no id that a socket knows.
 */

#include "lib/drops.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

struct kernfs_node {
	__u64 id;
} __attribute__((preserve_access_index));

struct cgroup {
	struct kernfs_node *kn;
	int level;
	struct cgroup_root *root;
} __attribute__((preserve_access_index));

struct cgroup_root {
	int hierarchy_id;
} __attribute__((preserve_access_index));

struct task_struct {
	int pid;
	int tgid;
} __attribute__((preserve_access_index));

/* The default hierarchy is the first that the kernel makes; /proc/PID/cgroup shows it as 0 too. */
#define HIERARCHY_V2 0

static __always_inline int tell(struct cgroup *cgroup, enum cgroup_operation operation, __u32 pid)
{
	struct cgroup_event *event;

	if (cgroup->root->hierarchy_id != HIERARCHY_V2)
		return 0;
	event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);
	if (!event) {
		count_incident(INCIDENT_EVENT_LOST);
		return 0;
	}
	event->head.time = bpf_ktime_get_ns();
	event->head.kind = EVENT_CGROUP;
	event->cgroup = cgroup->kn->id;
	event->operation = operation;
	event->level = cgroup->level;
	event->pid = pid;
	event->pad = 0;
	bpf_ringbuf_submit(event, 0);
	return 0;
}

SEC("tp_btf/cgroup_mkdir")
int BPF_PROG(cgroup_created, struct cgroup *cgroup, const char *path)
{
	return tell(cgroup, CGROUP_CREATED, 0);
}

SEC("tp_btf/cgroup_attach_task")
int BPF_PROG(cgroup_entered, struct cgroup *cgroup, const char *path, struct task_struct *task, bool threadgroup)
{
	return tell(cgroup, CGROUP_ENTERED, task->tgid);
}

SEC("tp_btf/cgroup_rmdir")
int BPF_PROG(cgroup_removed, struct cgroup *cgroup, const char *path)
{
	return tell(cgroup, CGROUP_REMOVED, 0);
}
