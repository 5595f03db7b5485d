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

/* Puts a record back among the free ones. Its tuples must not lead to it any more. */
static __always_inline void free_record(struct flow *f, u32 slot)
{
	u32 was;

	bpf_spin_lock(&f->lock);
	was = is_used(f);
	f->generation += was;
	bpf_spin_unlock(&f->lock);
	if (was)
		bpf_map_push_elem(&free_slots, &slot, 0);
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
		free_record(f, *slot);
		return 0;
	}
	return f;
}
