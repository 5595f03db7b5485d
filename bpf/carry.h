/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * A switch that follows another one of its group and carries packets beside it: src/flow/carry.ts. It translates packets
 * of stitched flows by its copies of them, and steers all others of the shells' to the leader, as they are.
 */
#pragma once

#define STEER_MS 1000
#define STEER_BYTES (1 << 28)
/* A tuple is told of as missing at most this often, and any tuple that often, in milliseconds. */
#define MISS_MS 1000
#define MISS_GAP_MS 5

enum { COPY_NONE, COPY_STEERED, COPY_DONE };

/* Under the flow's lock. */
static __always_inline int is_leaders(const struct work *w, struct flow *f, struct conn *x)
{
	const struct segment *s = &w->segment;

	if (s->flags & (FLAG_SYN | FLAG_FIN | FLAG_RST))
		f->conn[0].far.conn_bits |= CONN_YIELDED;
	if (f->conn[0].far.conn_bits & CONN_YIELDED || f->state != STATE_STITCHED)
		return 1;
	if (x->far.conn_bits & CONN_STEERED) {
		s32 since = seq_diff(s->seq, x->STEERED_SEQ);

		if (w->now - x->STEERED_AT < STEER_MS && since < STEER_BYTES && since > -STEER_BYTES)
			return 0;
	}
	x->far.conn_bits |= CONN_STEERED;
	x->STEERED_AT = w->now;
	x->STEERED_SEQ = s->seq;
	return 1;
}

/* The packet's step where this switch holds a copy of its flow. */
static __always_inline int step_copy(struct work *w, struct flow *f, const struct place *place, u32 from_shell, u32 known)
{
	u32 inner = place->inner & 1;
	u32 generation = place->generation;
	int result = COPY_DONE;

	barrier_var(inner);
	inner &= 1;
	bpf_spin_lock(&f->lock);
	struct conn *x = &f->conn[inner];
	struct conn *y = &f->conn[inner ^ 1];

	if (!is_used(f) || (u16)f->generation != (u16)generation || f->mode != MODE_DIRECT || f->state == STATE_CLOSED ||
	    !tuple_equal(&x->tuple, from_shell ? &w->reversed : &w->tuple)) {
		result = COPY_NONE;
	} else if (from_shell) {
		if (w->segment.flags & FLAG_SYN && known)
			result = COPY_STEERED;
		else
			w->swallowed = 1;
	} else if (is_leaders(w, f, x) && known) {
		result = COPY_STEERED;
	} else {
		translate_copy(w, x, y);
	}
	bpf_spin_unlock(&f->lock);
	return result;
}

static __always_inline int is_shell(struct work *w, const u32 *address)
{
	__builtin_memcpy(w->address.word, address, 16);
	return bpf_map_lookup_elem(&shells, &w->address) != 0;
}

static __always_inline int concerns_shell(struct work *w, const struct tuple *t)
{
	return is_shell(w, t->destination) || is_shell(w, t->source);
}

/* Tells the process of a packet without a copy: the flow may have been stitched a moment ago. */
static __always_inline void tell_miss(struct work *w)
{
	u32 zero = 0;
	u32 *last = bpf_map_lookup_elem(&last_miss, &zero);
	u32 *told;

	key_of(&w->key, &w->tuple);
	told = bpf_map_lookup_elem(&misses, &w->key);
	if (!last || (told && w->now - *told < MISS_MS) || w->now - *last < MISS_GAP_MS)
		return;
	*last = w->now;
	bpf_map_update_elem(&misses, &w->key, &w->now, BPF_ANY);
	count(COUNT_MISSED);
	w->event.kind = EVENT_MISS;
	if (bpf_ringbuf_output(&events, &w->event, sizeof(w->event), 0))
		count(COUNT_EVENTS_LOST);
}

/* As a router would hand it on: TTL or hop limit, and the link's addresses. */
static __always_inline int hand_on(struct __sk_buff *skb, struct work *w, const struct leader *leader)
{
	if (w->is_ipv6) {
		u8 hop_limit = w->ttl - 1;

		if (bpf_skb_store_bytes(skb, w->l3 + 7, &hop_limit, 1, BPF_F_RECOMPUTE_CSUM))
			return -1;
	} else {
		u32 h = w->present_ttl - bpf_htonl(1 << 24);

		change_ip_check(w, w->present_ttl, h);
		h |= bpf_htonl(bpf_ntohs(w->ip_check));
		if (bpf_skb_store_bytes(skb, w->l3 + 8, &h, 4, 0))
			return -1;
	}
	return bpf_skb_store_bytes(skb, 0, leader->macs, sizeof(leader->macs), 0);
}

/* `held`: of a flow of which there is a copy, so it can't be for this host. */
static __noinline int steer(struct __sk_buff *skb, struct work *w, u32 held)
{
	struct leader *leader = bpf_map_lookup_elem(&leaders, &w->ifindex);

	if (!leader || !leader->known) {
		count(COUNT_UNSTEERED);
		return TC_ACT_UNSPEC;
	}
	if (!held && !testing && route(skb, w, &w->tuple, 0, BPF_FIB_LOOKUP_SKIP_NEIGH) == BPF_FIB_LKUP_RET_NOT_FWDED) {
		count(COUNT_HOST);
		return TC_ACT_UNSPEC;
	}
	if (w->ttl <= 1)
		return TC_ACT_SHOT;
	if (hand_on(skb, w, leader)) {
		count(COUNT_SEND_FAILED);
		return TC_ACT_SHOT;
	}
	count(COUNT_STEERED);
	if (testing) {
		keep_for_test(skb, w);
		return TC_ACT_SHOT;
	}
	return bpf_redirect(w->ifindex, 0);
}

/* Finds the copy and lets it do its step. */
static __noinline u32 find_copy(struct work *w, u32 known)
{
	u32 from_shell = 0;
	struct place *place = find_either(w, &from_shell);

	if (!place)
		return COPY_NONE;
	struct place at = *place;
	struct flow *f = flow_at(at.slot);

	return f ? step_copy(w, f, &at, from_shell, known) : COPY_NONE;
}

/* What tc is told. Inline: the stack below has room for no more. */
static __always_inline int carry(struct __sk_buff *skb, struct work *w, u32 known)
{
	u32 result = find_copy(w, known);

	if (result == COPY_DONE) {
		count(w->swallowed ? COUNT_SWALLOWED : COUNT_CARRIED);
		return send_all(skb, w, 0);
	}
	if (result == COPY_STEERED)
		return steer(skb, w, 1);
	if (!concerns_shell(w, &w->tuple)) {
		count(COUNT_HOST);
		return TC_ACT_UNSPEC;
	}
	if (!(w->segment.flags & FLAG_SYN))
		tell_miss(w);
	return steer(skb, w, 0);
}
