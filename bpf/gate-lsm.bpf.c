/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * gate-lsm: BPF LSM hooks beside gate.bpf.c, for kernels that have them. What waits to begin is let go by the agent
 * alone, which takes it out of `gates` first: nobody else may continue it, nor, from another container, take hold of
 * it.
 *
 *   keep_waiting    task_kill              SIGCONT to a stopped process
 *   keep_untraced   ptrace_access_check    ptrace, /proc/PID/mem, process_vm_writev and whatever else asks the same
 */

#include "lib/gate-tables.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define EPERM 1
#define SIGCONT 18
#define PTRACE_MODE_ATTACH 0x02

SEC("lsm/task_kill")
int BPF_PROG(keep_waiting, struct task_struct *task, struct kernel_siginfo *info, int signal)
{
	struct held *held;
	struct gate *gate;
	__u32 pid;

	if (signal != SIGCONT)
		return 0;
	pid = task->tgid;
	held = bpf_map_lookup_elem(&held_processes, &pid);
	gate = gate_of_held(held);
	if (!gate)
		return 0;
	tell_disturbance(GATE_REFUSED, held, gate, pid);
	return -EPERM;
}

SEC("lsm/ptrace_access_check")
int BPF_PROG(keep_untraced, struct task_struct *task, unsigned int mode)
{
	struct held *held;
	struct gate *gate;
	__u32 pid;

	if (!(mode & PTRACE_MODE_ATTACH))
		return 0;
	pid = task->tgid;
	held = bpf_map_lookup_elem(&held_processes, &pid);
	gate = gate_of_held(held);
	if (!gate || !is_outsider(gate))
		return 0;
	tell_disturbance(GATE_REFUSED, held, gate, pid);
	return -EPERM;
}
