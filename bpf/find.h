/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/* Whose packet it is: connections by tuple, records by place, and whose ports are carried. */
#pragma once

static __always_inline struct flow *flow_at(u32 slot)
{
	return bpf_map_lookup_elem(&flows, &slot);
}

static __always_inline u32 is_used(const struct flow *f)
{
	return f->generation & 1;
}

static __always_inline struct place *find(struct work *w, const struct tuple *t)
{
	key_of(&w->key, t);
	return bpf_map_lookup_elem(&connections, &w->key);
}

/*
 * Of a packet's connection, whoever sent it. A packet of the shell's is found by its tuple reversed, which then lies in
 * `reversed`.
 */
static __always_inline struct place *find_either(struct work *w, u32 *from_shell)
{
	struct place *place = find(w, &w->tuple);

	if (place)
		return place;
	*from_shell = 1;
	tuple_reverse(&w->reversed, &w->tuple);
	return find(w, &w->reversed);
}

static __always_inline int owns(struct work *w, const u32 *address, u32 port)
{
	struct owned *owned;

	__builtin_memcpy(w->address.word, address, 16);
	owned = bpf_map_lookup_elem(&owners, &w->address);
	return owned && owned->ports[(port >> 5) & (PORT_WORDS - 1)] >> (port & 31) & 1;
}

static __always_inline u32 source_port(const struct tuple *t)
{
	return bpf_ntohl(t->ports) >> 16;
}

static __always_inline u32 destination_port(const struct tuple *t)
{
	return bpf_ntohl(t->ports) & 0xffff;
}

static __always_inline void change_unpaired(s32 by)
{
	u32 zero = 0;
	u32 *n = bpf_map_lookup_elem(&unpaired, &zero);

	if (n)
		__sync_fetch_and_add(n, by);
}

static __always_inline u32 unpaired_count(void)
{
	u32 zero = 0;
	u32 *n = bpf_map_lookup_elem(&unpaired, &zero);

	return n ? *(volatile u32 *)n : ~0u;
}

/* Takes a tuple out of the index if it is this record's. */
static __always_inline void unlink_tuple(struct work *w, const struct tuple *t, u32 slot, u32 generation)
{
	struct place *place = find(w, t);

	if (place && place->slot == slot && place->generation == (u16)generation)
		bpf_map_delete_elem(&connections, &w->key);
}

/* Whether a record is still the one that a place was written for. Under its lock. */
static __always_inline int is_same(const struct flow *f, u32 generation)
{
	return is_used(f) && (u16)f->generation == (u16)generation;
}

/*
 * Ends the use of a record, once: who gets 1 takes its tuples out of the index, and puts it back among the free ones. Two
 * processors may want to, and between the two the slot may have been given to another connection.
 */
static __always_inline int end_use(struct flow *f, u32 generation)
{
	int mine;

	bpf_spin_lock(&f->lock);
	mine = is_same(f, generation);
	f->generation += mine;
	bpf_spin_unlock(&f->lock);
	return mine;
}

static __always_inline void put_back(u32 slot)
{
	bpf_map_push_elem(&free_slots, &slot, 0);
}

/* Forgets a connection that belongs to no flow, unless it got one meanwhile. */
static __always_inline void free_unpaired(struct work *w, struct flow *f, const struct tuple *t, u32 slot, u32 generation)
{
	int mine;

	bpf_spin_lock(&f->lock);
	mine = is_same(f, generation) && !(f->bits & FLOW_PAIRED);
	f->generation += mine;
	bpf_spin_unlock(&f->lock);
	if (!mine)
		return;
	unlink_tuple(w, t, slot, generation);
	put_back(slot);
	change_unpaired(-1);
}

/* A new record for a connection found by `t`; 0 when there is none free, or its key is another's. */
static __always_inline struct flow *new_record(struct work *w, const struct tuple *t, u32 *slot)
{
	struct place place = {};
	struct flow *f;

	if (bpf_map_pop_elem(&free_slots, slot))
		return 0;
	f = flow_at(*slot);
	if (!f)
		return 0;
	bpf_spin_lock(&f->lock);
	u32 generation = f->generation + 1;

	__builtin_memset(&f->mode, 0, sizeof(*f) - sizeof(f->lock));
	f->generation = generation;
	f->opened = w->now_long;
	f->conn[0].tuple = *t;
	f->last_at = w->now;
	bpf_spin_unlock(&f->lock);
	place.slot = *slot;
	place.generation = generation;
	key_of(&w->key, t);
	if (bpf_map_update_elem(&connections, &w->key, &place, BPF_NOEXIST)) {
		if (end_use(f, generation))
			put_back(*slot);
		return 0;
	}
	return f;
}
