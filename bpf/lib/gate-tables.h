/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef SALLYPORT_GATE_TABLES_H
#define SALLYPORT_GATE_TABLES_H

/* The gate's tables, what of the kernel's types it reads, who is who, and how it tells what it did. */

#include "drops.h"
#include "../api/gate.h"

struct kernfs_node {
	__u64 id;
	const char *name;
} __attribute__((preserve_access_index));

struct cgroup_subsys_state {
	struct cgroup *cgroup;
	struct cgroup_subsys_state *parent;
} __attribute__((preserve_access_index));

struct cgroup {
	struct cgroup_subsys_state self;
	struct kernfs_node *kn;
	int level;
	struct cgroup_root *root;
} __attribute__((preserve_access_index));

struct cgroup_root {
	int hierarchy_id;
} __attribute__((preserve_access_index));

struct css_set {
	struct cgroup *dfl_cgrp;
} __attribute__((preserve_access_index));

struct path {
	struct dentry *dentry;
} __attribute__((preserve_access_index));

struct fs_struct {
	struct path root;
} __attribute__((preserve_access_index));

struct task_struct {
	int pid;
	int tgid;
	__u64 start_boottime;
	struct task_struct *group_leader;
	struct css_set *cgroups;
	struct fs_struct *fs;
} __attribute__((preserve_access_index));

struct kernel_siginfo {
	int si_code;
} __attribute__((preserve_access_index));

/* ~200 B each. */
TABLE(gates, BPF_MAP_TYPE_HASH, 4096, __u64, struct gate, 0);                      /* both */
TABLE(held_processes, BPF_MAP_TYPE_HASH, 8192, __u32, struct held, 0);             /* kernel; the agent deletes */
TABLE(gate_refused, BPF_MAP_TYPE_LRU_HASH, 4096, __u64, __u64, 0);                 /* kernel */
TABLE(gate_settings, BPF_MAP_TYPE_ARRAY, 1, __u32, struct gate_settings, 0);
TABLE(gate_automata, BPF_MAP_TYPE_ARRAY, 2, __u32, struct gate_automaton, 0);
TABLE(gate_counts, BPF_MAP_TYPE_PERCPU_ARRAY, GATE_COUNT_MAX, __u32, __u64, 0);    /* kernel */

struct gate_scratch {
	char path[GATE_PATH];
};

/* Whoever writes here has disabled interrupts (the tracepoints of cgroups are called under a spin lock). */
TABLE(gate_paths, BPF_MAP_TYPE_PERCPU_ARRAY, 1, __u32, struct gate_scratch, 0);

static __always_inline void count_gate(__u32 what)
{
	__u64 *counter = bpf_map_lookup_elem(&gate_counts, &what);

	if (counter)
		(*counter)++;
}

static __always_inline struct gate_settings *gate_settings_now(void)
{
	__u32 key = 0;

	return bpf_map_lookup_elem(&gate_settings, &key);
}

static __always_inline void tell_gate(enum gate_operation operation, __u64 owner, __u64 cgroup, __u32 pid,
				      const char *name)
{
	struct gate_event *event;

	count_gate(operation);
	event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);
	if (!event) {
		count_incident(INCIDENT_EVENT_LOST);
		return;
	}
	event->head.time = bpf_ktime_get_ns();
	event->head.kind = EVENT_GATE;
	event->owner = owner;
	event->cgroup = cgroup;
	event->pid = pid;
	event->operation = operation;
	event->name[0] = 0;
	if (name)
		bpf_probe_read_kernel_str(event->name, sizeof(event->name), name);
	bpf_ringbuf_submit(event, 0);
}

static __always_inline __u64 root_of(struct task_struct *task)
{
	return (__u64)task->fs->root.dentry;
}

static __always_inline __u64 own_cgroup(void)
{
	return ((struct task_struct *)bpf_get_current_task_btf())->cgroups->dfl_cgrp->kn->id;
}

/* Of the container that a stopped process belongs to, while it waits. */
static __always_inline struct gate *gate_of_held(struct held *held)
{
	__u64 owner;

	if (!held)
		return NULL;
	owner = held->owner;
	return bpf_map_lookup_elem(&gates, &owner);
}

/* Somebody has tried to let a stopped process go: told the first time, counted always. */
static __always_inline void tell_disturbance(enum gate_operation operation, struct held *held, const struct gate *gate,
					     __u32 pid)
{
	if (held->flags & HELD_DISTURBED) {
		count_gate(operation);
		return;
	}
	held->flags |= HELD_DISTURBED;
	tell_gate(operation, held->owner, own_cgroup(), pid, gate->name);
}

/* Whether who runs now is in a container, by the root directory, and not beside the runtime. */
static __always_inline bool is_outsider(const struct gate *gate)
{
	__u64 root = root_of((struct task_struct *)bpf_get_current_task_btf());

	return root != gate->maker && root != gate->entrant;
}

#endif
