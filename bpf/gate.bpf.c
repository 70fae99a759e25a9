/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * gate: BTF tracepoints on the life of cgroups and of the processes in new ones. A new container's first instruction
 * runs only after the agent has its tables in the kernel; no runtime takes part.
 *
 *   cgroup_created   cgroup_mkdir         a runtime prepares a container: it waits
 *   cgroup_entered   cgroup_attach_task   its first process comes in: the runtime's helper, whose root we remember
 *   gate_exec        sched_process_exec   a process of a waiting container is stopped before its first instruction,
 *                                         unless its root is still the runtime's
 *   stay_stopped     signal_generate      a stopped process that somebody else continues is stopped again, or killed
 *   stop_again       signal_generate      the same, before it goes on at all (from Linux 6.13 on)
 *   agent_ended      sched_process_exit   the agent is gone in this moment, not only when its heartbeat has been missed
 *   cgroup_removed   cgroup_rmdir         it is gone; its identity must not outlive it
 *
 * The agent lets a container go by deleting it from `gates`, and then continues exactly those in `held_processes`.
 * A program that was about to stop a process meanwhile looks again after it has: whoever comes second undoes it.
 *
 * Which cgroups are containers' is told by an automaton over their paths (api/gate.h). The first part of a path that is
 * one counts: what a container makes below its own cgroup is its own and waits no more once it is open.
 *
 * Why nobody inside gets out by itself: a container begins with one process of the runtime's, and whatever replaces
 * it is stopped by an exec that leaves one thread; so before it is opened no code of its own runs that could send a
 * signal, fork, or leave the cgroup. `docker exec` into it is stopped as well.
 *
 * From outside, who shares its pid namespace may continue it. A continued process tells its parent so on its way back
 * to user space (CLD_CONTINUED), in its own context: there it is stopped again. One that was continued from within
 * another container is killed instead: whoever goes on trying would sooner or later hit the moment between a SIGSTOP
 * and its effect, in which a SIGCONT takes it back, and could have killed it anyway. Where the kernel has BPF LSM,
 * gate-lsm.bpf.c refuses the attempt itself.
 *
 * What it sees it also tells through the event ring, so that the agent looks at a new container in the moment it
 * appears. Only the cgroup2 tree is told of: others have no id that a socket knows.
 */

#include "lib/gate-path.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* The default hierarchy is the first that the kernel makes; /proc/PID/cgroup shows it as 0 too. */
#define HIERARCHY_V2 0

/* The same on every architecture Linux has with BPF trampolines, but for MIPS. */
#define SIGKILL 9
#define SIGCHLD 17
#define SIGCONT 18
#define SIGSTOP 19
#define CLD_CONTINUED 6
#define E2BIG 7

static __always_inline int tell(struct cgroup *cgroup, enum cgroup_operation operation, __u32 pid)
{
	struct cgroup_event *event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);

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

static __always_inline void begin_waiting(struct cgroup *cgroup, const char *path)
{
	struct gate_settings *settings = gate_settings_now();
	__u64 id = cgroup->kn->id, above = cgroup->self.parent->cgroup->kn->id;
	struct gate *parent = bpf_map_lookup_elem(&gates, &above);
	struct gate gate = {};

	if (!settings || !(settings->flags & GATE_ON))
		return;
	if (!parent && !is_container(cgroup, path, settings))
		return;
	gate.owner = parent ? parent->owner : id;
	gate.created = bpf_ktime_get_ns();
	if (!parent)
		gate.maker = root_of((struct task_struct *)bpf_get_current_task_btf());
	bpf_probe_read_kernel_str(gate.name, sizeof(gate.name), cgroup->kn->name);
	/* An int before Linux 6.4, whose upper half is nothing. */
	if ((int)bpf_map_update_elem(&gates, &id, &gate, BPF_NOEXIST) != -E2BIG)
		return;
	if (!(settings->flags & GATE_FULL_KILL)) {
		tell_gate(GATE_FULL, gate.owner, id, 0, gate.name);
		return;
	}
	/* Its helper's root is remembered here: there is no other place. */
	gate.maker = root_of((struct task_struct *)bpf_get_current_task_btf());
	bpf_map_update_elem(&gate_refused, &id, &gate.maker, BPF_ANY);
}

SEC("tp_btf/cgroup_mkdir")
int BPF_PROG(cgroup_created, struct cgroup *cgroup, const char *path)
{
	if (cgroup->root->hierarchy_id != HIERARCHY_V2)
		return 0;
	begin_waiting(cgroup, path);
	return tell(cgroup, CGROUP_CREATED, 0);
}

SEC("tp_btf/cgroup_attach_task")
int BPF_PROG(cgroup_entered, struct cgroup *cgroup, const char *path, struct task_struct *task, bool threadgroup)
{
	struct gate *gate;
	__u64 id;

	if (cgroup->root->hierarchy_id != HIERARCHY_V2)
		return 0;
	id = cgroup->kn->id;
	gate = bpf_map_lookup_elem(&gates, &id);
	if (gate && gate->owner != id)
		gate = bpf_map_lookup_elem(&gates, &gate->owner);
	/* The first to come in is the runtime's: of the container's own there is nobody yet. */
	if (gate && gate->entrant == 0)
		gate->entrant = root_of(task);
	return tell(cgroup, CGROUP_ENTERED, task->tgid);
}

SEC("tp_btf/cgroup_rmdir")
int BPF_PROG(cgroup_removed, struct cgroup *cgroup, const char *path)
{
	__u64 id;

	if (cgroup->root->hierarchy_id != HIERARCHY_V2)
		return 0;
	id = cgroup->kn->id;
	bpf_map_delete_elem(&gates, &id);
	bpf_map_delete_elem(&gate_refused, &id);
	return tell(cgroup, CGROUP_REMOVED, 0);
}

/* --- who is stopped */

static __always_inline bool is_stale(const struct gate_settings *settings, __u64 now)
{
	struct settings *common = settings_now();

	return !common || settings->agent == GATE_AGENT_GONE || now > common->heartbeat + settings->stale_after;
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(agent_ended, struct task_struct *task)
{
	struct gate_settings *settings = gate_settings_now();
	__u32 pid = task->pid; /* its first thread's is that of the process */

	/* In one step: the next agent may be about to write that it is there. */
	if (settings && pid && pid == settings->agent)
		__sync_val_compare_and_swap(&settings->agent, pid, GATE_AGENT_GONE);
	return 0;
}

/* What a container of which nothing could be written down gets. */
static __always_inline void turn_away(const struct gate_settings *settings, __u64 owner, __u64 cgroup, __u32 pid,
				      const char *name)
{
	if (settings->flags & GATE_FULL_KILL) {
		tell_gate(GATE_KILLED, owner, cgroup, pid, name);
		bpf_send_signal(SIGKILL);
	} else {
		tell_gate(GATE_FULL, owner, cgroup, pid, name);
	}
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(gate_exec, struct task_struct *task)
{
	__u64 cgroup = task->cgroups->dfl_cgrp->kn->id, root = root_of(task), owner, now;
	struct gate *gate = bpf_map_lookup_elem(&gates, &cgroup);
	struct gate_settings *settings;
	struct held held = {};
	__u32 pid = task->tgid;

	settings = gate_settings_now();
	if (!settings)
		return 0;
	if (likely(!gate)) {
		__u64 *maker = bpf_map_lookup_elem(&gate_refused, &cgroup);

		if (maker && *maker != root)
			turn_away(settings, cgroup, cgroup, pid, NULL);
		return 0;
	}
	owner = gate->owner;
	if (owner != cgroup)
		gate = bpf_map_lookup_elem(&gates, &owner);
	if (!gate)
		return 0; /* open since */
	if (root == gate->maker || root == gate->entrant) {
		count_gate(GATE_COUNT_HELPER);
		return 0;
	}
	now = bpf_ktime_get_ns();
	if ((settings->flags & GATE_STALE_OPEN) && is_stale(settings, now)) {
		tell_gate(GATE_STALE, owner, cgroup, pid, gate->name);
		bpf_map_delete_elem(&gates, &owner);
		return 0;
	}
	held.owner = owner;
	held.start = task->group_leader->start_boottime;
	held.time = now;
	if (bpf_map_update_elem(&held_processes, &pid, &held, BPF_ANY)) {
		turn_away(settings, owner, cgroup, pid, gate->name);
		return 0;
	}
	if (gate->stopped == 0) {
		gate->pid = pid;
		gate->stopped = now;
	}
	if (bpf_send_signal(SIGSTOP)) {
		count_gate(GATE_COUNT_UNSTOPPABLE);
		bpf_map_delete_elem(&held_processes, &pid);
		return 0;
	}
	/* Opened meanwhile: whether the agent has seen this one or not, it goes on. */
	if (!bpf_map_lookup_elem(&gates, &owner)) {
		bpf_map_delete_elem(&held_processes, &pid);
		bpf_send_signal(SIGCONT);
		return 0;
	}
	tell_gate(GATE_STOPPED, owner, cgroup, pid, gate->name);
	return 0;
}

/* --- who is continued by others */

/* What a stopped process gets that somebody else has continued. */
static __always_inline int answer_to(const struct held *held)
{
	return held->flags & HELD_CONDEMNED ? SIGKILL : SIGSTOP;
}

static __always_inline int somebody_continues(__u32 pid, const void *info)
{
	struct held *held = bpf_map_lookup_elem(&held_processes, &pid);
	struct gate *gate = gate_of_held(held);

	if (!gate)
		return 0;
	/* Small numbers stand for the kernel, which has its reasons. */
	if ((__u64)info > 1 && is_outsider(gate))
		held->flags |= HELD_CONDEMNED;
	tell_disturbance(held->flags & HELD_CONDEMNED ? GATE_CONDEMNED : GATE_CONTINUED, held, gate, pid);
	return 0;
}

SEC("tp_btf/signal_generate")
int BPF_PROG(stay_stopped, int signal, struct kernel_siginfo *info, struct task_struct *task)
{
	__u32 pid = bpf_get_current_pid_tgid() >> 32;
	struct held *held;
	int code = 0;

	if (signal == SIGCONT)
		return somebody_continues(task->tgid, info);
	if (signal != SIGCHLD)
		return 0;
	bpf_probe_read_kernel(&code, sizeof(code), (void *)info + bpf_core_field_offset(struct kernel_siginfo, si_code));
	if (code != CLD_CONTINUED)
		return 0;
	held = bpf_map_lookup_elem(&held_processes, &pid);
	/* Interrupts are off: it is sent when they are on again, which is before the way back to user space ends. */
	if (gate_of_held(held) && bpf_send_signal(answer_to(held)))
		count_gate(GATE_COUNT_UNSTOPPABLE);
	return 0;
}

enum pid_type {
	PIDTYPE_TGID = 1,
};

extern int bpf_send_signal_task(struct task_struct *task, int signal, enum pid_type type, __u64 value) __ksym __weak;

SEC("tp_btf/signal_generate")
int BPF_PROG(stop_again, int signal, struct kernel_siginfo *info, struct task_struct *task)
{
	__u32 pid;
	struct held *held;

	if (signal != SIGCONT)
		return 0;
	pid = task->tgid;
	held = bpf_map_lookup_elem(&held_processes, &pid);
	/* Refused where it is dying already, or where one is on its way. */
	if (gate_of_held(held))
		bpf_send_signal_task(task, answer_to(held), PIDTYPE_TGID, 0);
	return 0;
}
