/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef SALLYPORT_AUTOMATON_H
#define SALLYPORT_AUTOMATON_H

/*
 * Reading a path by a profile's automaton, from its beginning. Each name costs one read, each byte one cell, or two
 * where it has no transition of its own. It ends as soon as no rule can match any more, or all that follows matches the
 * same: mostly after one or two names.
 */

#include "canonical.h"

#define STATE_PAGE(state) ((state) >> PROFILE_CELL_BITS)
#define STATE_CELL(state) ((state) & (PROFILE_CELLS - 1))
#define CHUNKS ((WALK_NAMES + 2) * (NAME_BYTES / CHUNK + 1) * WALK_WINDOWS)

/* The container's row, or NULL: its life is over. */
static __always_inline struct hardened_subject *subject_of(const struct bearer *bearer)
{
	__u32 key = bearer->subject;
	struct hardened_subject *subject = bpf_map_lookup_elem(&hardened_subjects, &key);

	return subject && subject->instance == bearer->instance ? subject : NULL;
}

/* The pages of the container's profile, or NULL: it has none, or it is not the one whose life this is. */
static __always_inline void *profile_of(const struct bearer *bearer)
{
	__u32 key = bearer->subject;

	return subject_of(bearer) ? bpf_map_lookup_elem(&profiles, &key) : NULL;
}

static __always_inline struct profile *head_of(void *profile)
{
	__u32 zero = 0;
	union profile_page *page = bpf_map_lookup_elem(profile, &zero);

	return page ? &page->head : NULL;
}

/* What changes from byte to byte is in the bearer: of its own stack the verifier would follow each value. */
struct reader {
	struct bearer *bearer;
	void *profile;
	union profile_page *page; /* that the state is in; NULL: it is on another one than before */
};

static __always_inline long end_reading(struct bearer *bearer, __u32 how)
{
	bearer->walk.flags |= how;
	return 1;
}

/* Puts the next name, with the slash before it, into the text. */
static __always_inline bool next_name(struct bearer *bearer)
{
	struct component *component;
	__u32 length;

	bearer->walk.left--;
	component = &bearer->walk.names[bearer->walk.left % WALK_NAMES];
	length = component->length;
	bearer->text[0] = '/';
	bearer->text[(length + 1) % TEXT_BYTES] = 0;
	bearer->walk.at = 0;
	return length < NAME_BYTES &&
	       !bpf_probe_read_kernel(bearer->text + 1, length & (NAME_BYTES - 1), (void *)component->name);
}

/* Reads the next few bytes. */
static long read_chunk(__u32 index, struct reader *reader)
{
	struct bearer *bearer = reader->bearer;
	union profile_page *page = reader->page;
	__u32 state, number, at;
	const struct cell *cell;
	const __u8 *text;

	if (!bearer->text[bearer->walk.at % TEXT_BYTES]) {
		if (!bearer->walk.left)
			return 1;
		/* Of more names than are noted at once, those below are noted in their turn. */
		if (unlikely(bearer->walk.depth - bearer->walk.left >= WALK_NAMES) && note_names(bearer, bearer->walk.left))
			return end_reading(bearer, WALK_LOST);
		if (!next_name(bearer))
			return end_reading(bearer, WALK_LOST);
	}
	state = bearer->walk.state;
	number = STATE_PAGE(state);
	if (!page) {
		page = bpf_map_lookup_elem(reader->profile, &number);
		if (!page)
			return end_reading(bearer, WALK_LOST);
		reader->page = page;
	}
	at = *(volatile __u32 *)&bearer->walk.at % TEXT_BYTES;
	text = bearer->text + at;
	for (int byte = 0; byte < CHUNK; byte++) {
		if (!text[byte])
			break;
		/* A page has as many cells as the lower part of a state can count. */
		cell = &page->cells[(state + text[byte]) % PROFILE_CELLS];
		if (cell->owner != STATE_CELL(state))
			cell = &page->cells[STATE_CELL(state)];
		state = cell->next;
		at++;
		/* Dead is on page 0, where no state is. */
		if (STATE_PAGE(state) != number)
			break;
	}
	bearer->walk.state = state;
	bearer->walk.at = at;
	if (!state)
		return end_reading(bearer, WALK_DONE);
	if (STATE_PAGE(state) != number)
		reader->page = NULL;
	else if (page->cells[STATE_CELL(state)].owner & MATCH_SINK)
		return end_reading(bearer, WALK_DONE);
	return 0;
}

static __always_inline bool is_root(const struct bearer *bearer, const struct hardened_subject *subject)
{
	return bearer->walk.anchor.device == subject->root_device && bearer->walk.anchor.inode == subject->root_inode;
}

/* Puts where the anchor lies into the text; false when it is not anchored. */
static __always_inline bool begin_at_anchor(struct bearer *bearer, const struct hardened_subject *subject)
{
	struct anchor_key key = bearer->walk.anchor;
	struct anchor *anchor;
	__u32 length;

	if (likely(is_root(bearer, subject)))
		return true;
	key.subject = ~key.inode ? bearer->subject : 0;
	anchor = bpf_map_lookup_elem(&anchors, &key);
	if (!anchor)
		return false;
	length = anchor->length % NAME_BYTES;
	bpf_probe_read_kernel(bearer->text, length, anchor->path);
	bearer->text[length] = 0;
	return true;
}

/* Does what `read_path` says, in a profile that is at hand. */
static __always_inline void read_in(struct bearer *bearer, void *profile, const struct hardened_subject *subject,
				    __u32 start)
{
	struct reader reader = { .bearer = bearer, .profile = profile };
	__u32 depth;

	bearer->walk.state = start;
	bearer->walk.at = 0;
	bearer->text[0] = 0;
	if (unlikely(!(bearer->walk.flags & WALK_REACHED) || !begin_at_anchor(bearer, subject))) {
		if (!locate(bearer))
			return;
		if (!(bearer->walk.flags & WALK_TOP))
			begin_at_anchor(bearer, subject);
	}
	depth = bearer->walk.depth;
	bearer->walk.left = depth;
	if (unlikely(!depth && !bearer->text[0])) {
		bearer->text[0] = '/';
		bearer->text[1] = 0;
	}
	if (unlikely(bpf_loop(CHUNKS, read_chunk, &reader, 0) == CHUNKS))
		bearer->walk.flags |= WALK_LOST;
	bearer->walk.flags &= ~WALK_DONE;
}

/*
 * Reads the path of what `climb` began with, from the `start` of an automaton of the profile that the bearer knows. The
 * state it ends in is in bearer->walk.state; where the path could not be told, WALK_LOST is set.
 */
FUNCTION read_path(struct bearer *bearer, __u32 start)
{
	struct hardened_subject *subject;
	struct profile *head;
	void *profile;

	if (!bearer)
		return 0;
	subject = subject_of(bearer);
	profile = profile_of(bearer);
	head = profile ? head_of(profile) : NULL;
	if (!subject || !head || head->id != bearer->profile_id)
		bearer->walk.flags = WALK_LOST;
	else
		read_in(bearer, profile, subject, start);
	return 0;
}

#endif
