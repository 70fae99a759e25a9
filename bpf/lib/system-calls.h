/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef SALLYPORT_SYSTEM_CALLS_H
#define SALLYPORT_SYSTEM_CALLS_H

/*
 * Which system call the current task is in: for those the kernel asks no security hook about, but for the capability
 * they need. All that are named here have the same number on every architecture and in its 32-bit kind.
 */

#include "objects.h"

enum system_call {
	CALL_NONE = -1,
	CALL_OPEN_TREE = 428,
	CALL_FSCONFIG = 431,
	CALL_MOUNT_SETATTR = 442,
	CALL_OPEN_TREE_ATTR = 467,
};

struct pt_regs___x86 {
	unsigned long orig_ax;
} KERNEL;

struct pt_regs___arm64 {
	int syscallno;
} KERNEL;

/* Set in the numbers of the x32 kind. */
#define X32_BIT 0x40000000

static __always_inline int current_system_call(void)
{
	void *registers = (void *)bpf_task_pt_regs(bpf_get_current_task_btf());

	if (bpf_core_field_exists(struct pt_regs___x86, orig_ax))
		return (int)BPF_CORE_READ((struct pt_regs___x86 *)registers, orig_ax) & ~X32_BIT;
	if (bpf_core_field_exists(struct pt_regs___arm64, syscallno))
		return BPF_CORE_READ((struct pt_regs___arm64 *)registers, syscallno);
	return CALL_NONE;
}

#endif
