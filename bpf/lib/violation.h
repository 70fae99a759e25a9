/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef SALLYPORT_VIOLATION_H
#define SALLYPORT_VIOLATION_H

/*
 * Counting and telling what was not simply allowed. Each rule has a budget of events for each container, and the first is
 * always told; what exceeds it is counted and told with the next. Of a container that is learnt from, each different
 * thing that staged rules report is told once. The verdict stands before any of this is done.
 */

#include "observed.h"

/* Of questions nobody is told of: what would be refused is only asked. */
#define CLASS_QUIET 0

#define STAGED_RULE (1U << 31)
/* Of violations for which there was no room: they are counted together. */
#define RULE_OTHERS (STAGED_RULE - 1)

/* Counts, and says whether to tell, always where `whole` is set; then *suppressed is what was not told before. */
static __noinline bool count_violation(__u32 subject, __u32 rule, __u32 *suppressed, bool whole)
{
	struct violation_key key = { .subject = subject, .rule = rule };
	struct violation_counter *counter = bpf_map_lookup_elem(&violations, &key), fresh = {};
	struct settings *settings = settings_now();
	__u64 now = bpf_ktime_get_ns();
	bool first = false;

	if (!settings)
		return false;
	if (!counter) {
		fresh.refilled = now;
		fresh.budget = settings->event_burst;
		first = !bpf_map_update_elem(&violations, &key, &fresh, BPF_NOEXIST);
		counter = bpf_map_lookup_elem(&violations, &key);
		if (!counter) {
			key.rule = RULE_OTHERS;
			counter = bpf_map_lookup_elem(&violations, &key);
		}
		if (!counter) {
			count_incident(INCIDENT_EVENT_LOST);
			return false;
		}
	}
	__sync_fetch_and_add(&counter->count, 1);
	counter->last = now;
	if (!whole &&
	    !take_token(now, &counter->refilled, &counter->budget, settings->event_rate, settings->event_burst) && !first) {
		__sync_fetch_and_add(&counter->suppressed, 1);
		return false;
	}
	*suppressed = __sync_lock_test_and_set(&counter->suppressed, 0);
	return true;
}

struct spelling {
	struct violation_event *event;
	const struct walk *walk;
	__u32 names; /* left to be written */
	__u32 at;
	__u32 total; /* bytes of those left */
};

static long add_length(__u32 index, struct spelling *spelling)
{
	if (index >= spelling->names)
		return 1;
	spelling->total += spelling->walk->names[index % WALK_NAMES].length + 1;
	return 0;
}

static long spell_name(__u32 index, struct spelling *spelling)
{
	const struct component *component;
	__u32 length, at = spelling->at;

	if (!spelling->names)
		return 1;
	spelling->names--;
	component = &spelling->walk->names[spelling->names % WALK_NAMES];
	length = component->length;
	/* The end tells more than the beginning. */
	if (spelling->total >= VIOLATION_PATH) {
		spelling->total -= length + 1;
		spelling->event->cut = 1;
		return 0;
	}
	if (length >= NAME_BYTES || at + length + 1 >= VIOLATION_PATH)
		return 1;
	spelling->at = at + length + 1;
	at &= VIOLATION_PATH - 1;
	spelling->event->path[at] = '/';
	bpf_probe_read_kernel(spelling->event->path + at + 1, length & (NAME_BYTES - 1), (void *)component->name);
	at = spelling->at;
	spelling->event->path[at & (VIOLATION_PATH - 1)] = 0;
	return 0;
}

/* Writes the noted names to event->path, from the top; room for one more name lies behind it. */
static __noinline void spell(struct violation_event *event, const struct bearer *bearer)
{
	struct spelling spelling = { .event = event, .walk = &bearer->walk };
	struct anchor_key key = bearer->walk.anchor;
	__u32 depth = bearer->walk.depth < WALK_NAMES ? bearer->walk.depth : WALK_NAMES;
	struct anchor *anchor = NULL;

	event->cut = bearer->walk.depth > WALK_NAMES;
	event->path[0] = '/';
	event->path[1] = 0;
	spelling.names = depth;
	bpf_loop(WALK_NAMES, add_length, &spelling, 0);
	if (!(bearer->walk.flags & WALK_TOP))
		anchor = bpf_map_lookup_elem(&anchors, &key);
	if (anchor && !event->cut && spelling.total + anchor->length < VIOLATION_PATH) {
		spelling.at = anchor->length < ANCHOR_BYTES ? anchor->length : 0;
		bpf_probe_read_kernel(event->path, ANCHOR_BYTES, anchor->path);
		event->path[spelling.at & (NAME_BYTES - 1)] = 0;
	}
	bpf_loop(WALK_NAMES, spell_name, &spelling, 0);
}

static __always_inline void tell_ancestors(struct violation_event *event)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task_btf();

	for (int index = 0; index < ANCESTORS; index++) {
		event->ancestors[index].pid = task->tgid;
		bpf_probe_read_kernel(event->ancestors[index].name, sizeof(event->ancestors[index].name), task->comm);
		task = task->real_parent;
	}
}

static __always_inline void tell_executable(struct violation_event *event, struct bearer *bearer)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task_btf();
	struct file *file = BPF_CORE_READ(task, mm, exe_file);

	event->path[0] = 0;
	if (file) {
		bearer->walk.dentry = (__u64)BPF_CORE_READ(file, f_path.dentry);
		bearer->walk.mount = (__u64)BPF_CORE_READ(file, f_path.mnt);
		if (locate(bearer))
			spell(event, bearer);
	}
	bpf_probe_read_kernel(event->executable, VIOLATION_PATH, event->path);
}

/* The lowest 64 names, where there are more. */
static __always_inline void tell_path(struct violation_event *event, struct bearer *bearer)
{
	if (!locate(bearer))
		return;
	if (bearer->walk.depth > WALK_NAMES) {
		note_names(bearer, WALK_NAMES);
		bearer->walk.depth = WALK_NAMES + 1;
	}
	spell(event, bearer);
}

/* Counts and tells what is in bearer->given. Whatever the walk was of, it is that again in the end, but for its depth. */
FUNCTION report(struct bearer *bearer, __u32 class, __u64 detail)
{
	struct violation_event *event;
	__u32 flags, suppressed = 0;
	__u64 dentry, mount;
	bool told = false, learnt;

	if (!bearer || class == CLASS_QUIET)
		return 0;
	bearer->told = 1;
	if (bearer->given.verdict == VERDICT_DENY || bearer->given.verdict == VERDICT_ALERT)
		told = count_violation(bearer->subject, bearer->given.rule, &suppressed, false);
	learnt = is_learnt_from(bearer);
	if (bearer->given.staged_verdict != VERDICT_NONE && bearer->given.staged_verdict != bearer->given.verdict &&
	    (!learnt || observe(bearer, class, detail)))
		told |= count_violation(bearer->subject, bearer->given.staged_rule | STAGED_RULE, &suppressed, learnt);
	if (!told)
		return 0;
	event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);
	if (!event) {
		count_incident(INCIDENT_EVENT_LOST);
		if (learnt)
			forget_observation(bearer);
		return 0;
	}
	event->head.time = bpf_ktime_get_ns();
	event->head.kind = EVENT_VIOLATION;
	event->instance = bearer->instance;
	event->cgroup = bpf_get_current_cgroup_id();
	event->detail = detail;
	event->executables = bearer->executables;
	event->subject = bearer->subject;
	event->rule = bearer->given.rule;
	event->staged_rule = bearer->given.staged_rule;
	event->suppressed = suppressed;
	event->pid = bpf_get_current_pid_tgid() >> 32;
	event->thread = bpf_get_current_pid_tgid();
	event->user = bpf_get_current_uid_gid();
	event->verdict = bearer->given.verdict;
	event->staged_verdict = bearer->given.staged_verdict;
	event->class = class;
	event->cut = 0;
	tell_ancestors(event);
	dentry = bearer->walk.dentry;
	mount = bearer->walk.mount;
	flags = bearer->walk.flags;
	tell_executable(event, bearer);
	bearer->walk.dentry = dentry;
	bearer->walk.mount = mount;
	event->cut = 0;
	event->path[0] = 0;
	if (flags & WALK_TEXT)
		bpf_probe_read_kernel(event->path, NAME_BYTES, bearer->text);
	else if (dentry && !(flags & WALK_INTERNAL))
		tell_path(event, bearer);
	bearer->walk.flags = flags & ~WALK_REACHED;
	bpf_ringbuf_submit(event, 0);
	return 0;
}

#endif
