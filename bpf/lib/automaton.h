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
#define CHUNK 16 /* bytes read at a time: few, since the verifier goes through each */
#define CHUNKS ((WALK_NAMES + 2) * (TEXT_BYTES / CHUNK + 1))

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
	__u32 ended; /* nothing more need be read */
	__u32 lost;
};

static __always_inline long end_reading(struct reader *reader, __u32 lost)
{
	reader->ended = 1;
	reader->lost = lost;
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
	bearer->walk.at = 0;
	bearer->length = length + 1;
	return length < TEXT_BYTES &&
	       !bpf_probe_read_kernel(bearer->text + 1, length & (TEXT_BYTES - 1), (void *)component->name);
}

/* Reads the next few bytes. */
static long read_chunk(__u32 index, struct reader *reader)
{
	struct bearer *bearer = reader->bearer;
	__u32 state, number, at, length, base, next;
	union profile_page *page;
	struct cell *cell;

	if (bearer->walk.at >= bearer->length) {
		if (!bearer->walk.left)
			return 1;
		if (!next_name(bearer))
			return end_reading(reader, 1);
	}
	state = bearer->walk.state;
	at = *(volatile __u32 *)&bearer->walk.at;
	length = *(volatile __u32 *)&bearer->length;
	number = STATE_PAGE(state);
	page = bpf_map_lookup_elem(reader->profile, &number);
	if (!page)
		return end_reading(reader, 1);
	for (int byte = 0; byte < CHUNK && at < length; byte++) {
		base = STATE_CELL(state);
		cell = &page->cells[(base + bearer->text[at & (TEXT_BYTES - 1)]) & (PROFILE_CELLS - 1)];
		next = cell->owner == base ? cell->next : page->cells[base].next;
		at++;
		state = next;
		if (!next || STATE_PAGE(next) != number)
			break;
	}
	bearer->walk.state = state;
	bearer->walk.at = at;
	if (!state)
		return end_reading(reader, 0);
	if (at == length && STATE_PAGE(state) == number && page->cells[STATE_CELL(state)].owner & MATCH_SINK)
		return end_reading(reader, 0);
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
	bearer->length = anchor->length;
	return true;
}

static long read_window(__u32 index, struct reader *reader)
{
	struct bearer *bearer = reader->bearer;
	__u32 limit = bearer->walk.depth - WALK_NAMES;

	if (bearer->walk.depth <= WALK_NAMES)
		return 1;
	if (note_names(bearer, limit))
		return end_reading(reader, 1);
	bearer->walk.left = limit < WALK_NAMES ? limit : WALK_NAMES;
	bpf_loop(CHUNKS, read_chunk, reader, 0);
	return reader->ended ? 1 : 0;
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
	bearer->length = 0;
	reader.profile = profile_of(bearer);
	head = reader.profile ? head_of(reader.profile) : NULL;
	if (!head || head->id != bearer->profile_id)
		goto lost;
	if (!(bearer->walk.flags & WALK_REACHED) || !begin_at_anchor(&reader)) {
		if (!locate(bearer))
			return 0;
		if (!(bearer->walk.flags & WALK_TOP))
			begin_at_anchor(&reader);
	}
	depth = bearer->walk.depth;
	bearer->walk.left = depth < WALK_NAMES ? depth : WALK_NAMES;
	if (!depth && !bearer->length) {
		bearer->text[0] = '/';
		bearer->length = 1;
	}
	bpf_loop(CHUNKS, read_chunk, &reader, 0);
	/* More names than are noted at once: those below are noted, and read, in their turn. */
	if (unlikely(depth > WALK_NAMES && !reader.ended))
		bpf_loop(WALK_WINDOWS, read_window, &reader, 0);
	if (!reader.lost)
		return 0;
lost:
	bearer->walk.flags = WALK_LOST;
	return 0;
}

#endif
