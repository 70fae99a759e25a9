/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef SALLYPORT_GATE_PATH_H
#define SALLYPORT_GATE_PATH_H

/* Which cgroups are containers', by their paths: gate_automaton, read byte by byte. */

#include "gate-tables.h"

struct reading {
	__u32 automaton;
	__u32 state;
	__u32 outcome; /* enum gate_accept, of the first part of the path that is more than none */
	bool whole;    /* that part is the path's last */
};

static long read_byte(__u32 index, struct reading *reading)
{
	struct gate_automaton *automaton = bpf_map_lookup_elem(&gate_automata, &reading->automaton);
	__u32 key = 0;
	struct gate_scratch *scratch = bpf_map_lookup_elem(&gate_paths, &key);
	__u32 state = reading->state & (GATE_STATES - 1), cell;
	__u8 byte;

	if (!automaton || !scratch || index >= GATE_PATH)
		return 1;
	byte = scratch->path[index & (GATE_PATH - 1)];
	if (byte == 0 || (byte == '/' && index > 0)) {
		reading->outcome = automaton->accepts[state];
		reading->whole = byte == 0;
		if (byte == 0 || reading->outcome != GATE_ACCEPT_NONE)
			return 1;
	}
	cell = state * GATE_CLASSES + (automaton->classes[byte] & (GATE_CLASSES - 1));
	barrier_var(cell); /* the compiler knows its range, verifiers before 6.8 do not */
	reading->state = automaton->next[cell & (GATE_STATES * GATE_CLASSES - 1)];
	return reading->state == 0;
}

/* Whether a new cgroup of this path, with no container above it, is one. */
static __always_inline bool is_container(struct cgroup *cgroup, const char *path, const struct gate_settings *settings)
{
	struct reading reading = { .automaton = settings->automaton & 1, .state = settings->start };
	__u32 key = 0;
	struct gate_scratch *scratch = bpf_map_lookup_elem(&gate_paths, &key);
	long length;

	if (!scratch)
		return false;
	length = bpf_probe_read_kernel_str(scratch->path, sizeof(scratch->path), path);
	if (length <= 1 || length >= GATE_PATH) {
		/* The kernel's own buffer was too small. The name alone tells most of them. */
		count_gate(GATE_COUNT_LONG);
		scratch->path[0] = '/';
		length = bpf_probe_read_kernel_str(scratch->path + 1, sizeof(scratch->path) - 1, cgroup->kn->name);
		if (length <= 1)
			return false;
	}
	bpf_loop(GATE_PATH, read_byte, &reading, 0);
	return reading.whole && reading.outcome == GATE_ACCEPT_CONTAINER;
}

#endif
