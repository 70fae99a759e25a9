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

/* The pages of the container's profile, or NULL: it has none, or not the one whose life this is. */
static __always_inline void *profile_of(const struct bearer *bearer)
{
	__u32 subject = bearer->subject;
	struct hardened_subject *row = bpf_map_lookup_elem(&hardened_subjects, &subject);

	if (!row || row->instance != bearer->instance)
		return NULL;
	return bpf_map_lookup_elem(&profiles, &subject);
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
	__u32 state, number, base, next, at;
	union profile_page *page;
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
	at = *(volatile __u32 *)&bearer->walk.at % TEXT_BYTES;
	number = STATE_PAGE(state);
	page = bpf_map_lookup_elem(reader->profile, &number);
	if (!page)
		return end_reading(bearer, WALK_LOST);
	text = bearer->text + at;
	for (int byte = 0; byte < CHUNK; byte++) {
		if (!text[byte])
			break;
		base = STATE_CELL(state);
		cell = &page->cells[(base + text[byte]) % PROFILE_CELLS];
		next = cell->owner == base ? cell->next : page->cells[base].next;
		at++;
		state = next;
		/* Dead is on page 0, where no state is. */
		if (STATE_PAGE(next) != number)
			break;
	}
	bearer->walk.state = state;
	bearer->walk.at = at;
	if (!state)
		return end_reading(bearer, WALK_DONE);
	if (STATE_PAGE(state) == number && page->cells[STATE_CELL(state)].owner & MATCH_SINK)
		return end_reading(bearer, WALK_DONE);
	return 0;
}

static __always_inline bool is_root(const struct bearer *bearer, const struct anchor_key *key)
{
	__u32 subject = bearer->subject;
	struct hardened_subject *row = bpf_map_lookup_elem(&hardened_subjects, &subject);

	return row && key->device == row->root_device && key->inode == row->root_inode;
}

/* Puts where the anchor lies into the text; false when it is not anchored. */
static __always_inline bool begin_at_anchor(struct reader *reader)
{
	struct bearer *bearer = reader->bearer;
	struct anchor_key key = bearer->walk.anchor;
	struct anchor *anchor;

	if (is_root(bearer, &key))
		return true;
	key.subject = ~key.inode ? bearer->subject : 0;
	anchor = bpf_map_lookup_elem(&anchors, &key);
	if (!anchor)
		return false;
	bpf_probe_read_kernel(bearer->text, ANCHOR_BYTES, anchor->path);
	bearer->text[anchor->length % NAME_BYTES] = 0;
	return true;
}

/*
 * Reads the path of what `climb` began with, from the `start` of an automaton of the profile that the bearer knows. The
 * state it ends in is in bearer->walk.state; where the path could not be told, WALK_LOST is set.
 */
FUNCTION read_path(struct bearer *bearer, __u32 start)
{
	struct reader reader = { .bearer = bearer };
	struct profile *head;
	__u32 depth;

	if (!bearer)
		return 0;
	bearer->walk.state = start;
	bearer->walk.at = 0;
	bearer->text[0] = 0;
	reader.profile = profile_of(bearer);
	head = reader.profile ? head_of(reader.profile) : NULL;
	if (!head || head->id != bearer->profile_id) {
		bearer->walk.flags = WALK_LOST;
		return 0;
	}
	if (!(bearer->walk.flags & WALK_REACHED) || !begin_at_anchor(&reader)) {
		if (!locate(bearer))
			return 0;
		if (!(bearer->walk.flags & WALK_TOP))
			begin_at_anchor(&reader);
	}
	depth = bearer->walk.depth;
	bearer->walk.left = depth;
	if (!depth && !bearer->text[0]) {
		bearer->text[0] = '/';
		bearer->text[1] = 0;
	}
	bpf_loop(CHUNKS, read_chunk, &reader, 0);
	bearer->walk.flags &= ~WALK_DONE;
	return 0;
}

#endif
