/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * The numbers of one connection in the terms of the other, and what is put into the outbox: src/flow/mapping.ts. Connection
 * x joins the far end X with the shell, y joins Y with it. Everything here runs under the flow's lock.
 */
#pragma once

#define RECENT (1u << 30)

/* Of a connection: the top half of the hash of what goes to its far end, or 0 where it is not known. The shell has no CONN_*. */
#define HASH_TOP shell.conn_bits

/*
 * Receive steering and the choice of a queue go by a packet's hash, which is its sender's: packets of the shell and direct
 * ones to the same far end would take two ways and overtake each other, and what is older than the newest timestamp
 * is thrown away there (PAWS: RFC 7323 section 5). So all that goes to a far end has the hash of the other one, as direct
 * packets have by themselves: its top half, which is what ways are chosen by.
 */
static __always_inline u32 hash_to_far(const struct conn *x)
{
	return x->HASH_TOP;
}

static __always_inline void note_hash(const struct work *w, struct conn *y)
{
	y->HASH_TOP = w->hash_top;
}

/* Writes into a slot that the verifier can see to be in range; the last one is overwritten when there are too many. */
static __always_inline struct emission *add(struct work *w, const struct conn *x, u32 to_shell)
{
	u32 i = w->out_count;

	if (i >= MAX_OUT)
		i = MAX_OUT - 1;
	else
		w->out_count = i + 1;
	barrier_var(i);
	struct emission *e = &w->out[i & (MAX_OUT - 1)];

	if (to_shell)
		e->tuple = x->tuple;
	else
		tuple_reverse(&e->tuple, &x->tuple);
	e->to_shell = to_shell;
	e->hash_top = to_shell ? 0 : hash_to_far(x);
	return e;
}

static __always_inline struct segment *add_made(struct work *w, const struct conn *x, u32 to_shell)
{
	struct emission *e = add(w, x, to_shell);

	e->made = 1;
	__builtin_memset(&e->segment, 0, sizeof(e->segment));
	return &e->segment;
}

static __always_inline struct segment *add_edited(struct work *w, const struct conn *x, u32 to_shell, u32 length)
{
	struct emission *e = add(w, x, to_shell);

	e->made = 0;
	e->segment = w->segment;
	e->segment.payload_length = length;
	return &e->segment;
}

static __always_inline u32 far_ack(const struct conn *x, const struct conn *y)
{
	return y->far.ack - x->delta;
}

static __always_inline u32 far_edge(const struct conn *x, const struct conn *y)
{
	return y->far.edge - x->delta;
}

static __always_inline u32 combined_ack(const struct conn *x, const struct conn *y)
{
	return seq_max(x->shell.ack, far_ack(x, y));
}

static __always_inline u32 before_fin(const struct sender *sender)
{
	return sender->fin_end - 1;
}

/* Without a FIN that is held. */
static __always_inline u32 sent_to_far(const struct conn *x, const struct conn *y)
{
	u32 end = y->far.conn_bits & CONN_FIN_HELD ? before_fin(&y->far) : y->far.max;

	return seq_max(x->shell.max, end + y->delta);
}

/* What Y was sent counts as sent by the shell: see noteSentDirectly in src/flow/mapping.ts. */
static __always_inline void note_sent_directly(const struct conn *x, struct conn *y)
{
	y->shell.max = sent_to_far(y, x);
}

static __always_inline u32 window_field(u32 edge, u32 ack, u32 scale)
{
	s32 open = seq_diff(edge, ack);

	if (open <= 0)
		return 0;
	u32 field = (u32)open >> (scale & 15);

	return field < 0xffff ? field : 0xffff;
}

static __always_inline u32 tellable_edge(const struct conn *x, const struct conn *y)
{
	u32 ack = combined_ack(x, y);

	return ack + (window_field(far_edge(x, y), ack, x->shell.scale) << (x->shell.scale & 15));
}

static __always_inline u32 convert_window(u32 field, u32 from, u32 to)
{
	if (field == 0)
		return 0;
	u32 bytes = (field << (from & 15)) >> (to & 15);

	return bytes < 1 ? 1 : bytes < 0xffff ? bytes : 0xffff;
}

static __always_inline void set_sack_count(struct segment *s, u32 n)
{
	s->sack_count = n;
	if (n == 0)
		s->options &= ~OPT_SACK;
}

static __always_inline void clear_sack(struct segment *s)
{
	set_sack_count(s, 0);
}

/* Moves edges by -delta and keeps the blocks at or after `floor`. */
static __always_inline void shift_sack(struct segment *s, u32 delta, u32 floor)
{
	u32 kept = 0;

	for (u32 i = 0; i < 4; i++) {
		if (i >= s->sack_count)
			break;
		u32 left = s->sack_left[i] - delta;
		u32 right = s->sack_right[i] - delta;

		if (seq_diff(left, floor) < 0)
			continue;
		barrier_var(kept);
		s->sack_left[kept & 3] = left;
		s->sack_right[kept & 3] = right;
		kept++;
	}
	set_sack_count(s, kept);
}

/* The shell can't be told of bytes that it never sent. */
static __always_inline void clip_sack(struct segment *s, u32 limit)
{
	u32 kept = 0;

	for (u32 i = 0; i < 4; i++) {
		if (i >= s->sack_count)
			break;
		u32 left = s->sack_left[i];
		u32 right = s->sack_right[i];

		if (seq_diff(left, limit) >= 0)
			continue;
		barrier_var(kept);
		s->sack_left[kept & 3] = left;
		s->sack_right[kept & 3] = seq_diff(right, limit) > 0 ? limit : right;
		kept++;
	}
	set_sack_count(s, kept);
}

/* The rule against the ack deadlock: see liftBareAck in src/flow/mapping.ts. */
static __always_inline void lift_bare_ack(const struct conn *x, struct segment *s, u32 edge)
{
	if (s->payload_length != 0 || s->flags & (FLAG_SYN | FLAG_FIN | FLAG_RST))
		return;
	if (!(x->far.conn_bits & CONN_TOLD_ANY))
		return;
	if (seq_diff(s->seq, x->told_ack) < 0 || seq_diff(s->seq, x->far.max) >= 0)
		return;
	s->seq = seq_max(s->seq, seq_min(x->far.max, edge));
}

static __always_inline struct segment *emit_bare_ack(struct work *w, struct conn *x, const struct conn *y, u32 ack,
						     u32 edge)
{
	struct segment *s = add_made(w, x, 0);

	s->flags = FLAG_ACK;
	s->seq = seq_min(sent_to_far(x, y), x->far.edge);
	s->ack = ack;
	s->window = window_field(edge, ack, x->shell.scale);
	if (x->far.conn_bits & CONN_TIMESTAMPS) {
		s->options = OPT_TIMESTAMPS;
		s->tsval = x->told_tsval;
		s->tsecr = x->far.tsval;
	}
	note_told_far(x, s);
	return s;
}

static __always_inline void emit_reset(struct work *w, const struct conn *x, u32 seq)
{
	struct segment *s = add_made(w, x, 0);

	s->flags = FLAG_RST;
	s->seq = seq;
}

static __always_inline void set_delta(struct conn *x, const struct conn *y, u64 consumed, u64 injected)
{
	x->delta = y->shell.isn - x->far.isn + (u32)injected - (u32)consumed;
	u64 shared = x->far.bytes - consumed;

	x->transparent_from = x->far.data_max - (u32)(shared < RECENT ? shared : RECENT);
}

static __always_inline int offsets_possible(const struct conn *x, const struct conn *y, u64 consumed, u64 injected)
{
	return consumed <= x->far.bytes && y->shell.bytes + consumed <= x->far.bytes + injected;
}

/* The mark is drawn along: numbers compare only within 2^31 of each other. */
static __always_inline void keep_mark_recent(struct conn *x)
{
	if (x->far.conn_bits & CONN_TOLD_ANY && seq_diff(x->told_ack, x->transparent_from) > (s32)(RECENT + RECENT / 2))
		x->transparent_from = x->told_ack - RECENT;
}
