/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/* The clamp, the cut and the drain: src/flow/clamp.ts and drain.ts, where the reasons stand. Under the flow's lock. */
#pragma once

#define SLACK_BYTES 4096
#define SLACK_WINDOW_LEFT 16384
#define TSVAL_LEAD 2
#define PROBE_BYTES 1

/* ---- clamp */

#define NO_CAP (1u << 30)

static __always_inline u32 cap_at(const struct work *w, const struct flow *f)
{
	return (s32)(w->now - f->deadline) < 0 ? clamp_cap : NO_CAP;
}

static __always_inline u32 allowed_edge(const struct conn *x, const struct conn *y, u32 cap)
{
	u32 fits = seq_min(far_edge(x, y), far_ack(x, y) + cap);

	return seq_max(x->told_max, seq_min(x->shell.edge, fits));
}

static __always_inline void clamp_window(const struct conn *x, const struct conn *y, struct segment *s, u32 cap)
{
	u32 window = window_field(allowed_edge(x, y, cap), s->ack, x->shell.scale);

	if (window < s->window)
		s->window = window;
}

static __always_inline void announce_growth(struct work *w, struct conn *x, const struct conn *y, u32 cap)
{
	u32 edge = allowed_edge(x, y, cap);
	s32 growth = seq_diff(edge, x->told_max);
	int stuck = seq_diff(x->told_max, x->far.max) < (s32)x->shell.mss;

	if (growth >= (s32)(clamp_cap / 8) || (stuck && growth >= (s32)x->shell.mss))
		emit_bare_ack(w, x, y, x->shell.ack, edge);
}

static __always_inline int fits(const struct conn *x, const struct conn *y)
{
	u32 slack = seq_diff(x->told_max, x->far.max) > SLACK_WINDOW_LEFT ? SLACK_BYTES : 0;

	return seq_diff(x->told_max, far_edge(x, y) + slack) <= 0;
}

static __always_inline int has_room(const struct conn *x, const struct conn *y)
{
	return seq_diff(x->far.max, far_edge(x, y)) <= 0;
}

static __always_inline int pipeline_empty(const struct conn *x, const struct conn *y)
{
	return x->shell.ack == x->far.max && far_ack(x, y) == x->far.max && x->far.max + x->delta == y->shell.max;
}

/* ---- cut */

static __always_inline void make_cut(struct conn *x)
{
	x->cut = x->far.data_max;
	x->cut_max = x->far.max;
	x->told_shell_ack = x->far.ack;
	x->told_shell_edge = x->far.edge;
}

static __always_inline void set_timestamp_delta(struct conn *x, const struct conn *y, u32 now)
{
	u32 shell_now = y->shell.tsval + (now - y->shell.tsval_at);
	u32 far_now = x->far.tsval + (now - x->far.tsval_at);

	x->ts_delta = shell_now - far_now;
}

static __always_inline void settle_timestamp_delta(struct conn *x, const struct conn *y, int after_drain)
{
	u32 mapped = x->far.tsval + x->ts_delta;
	s32 behind = (s32)(y->told_tsval + (after_drain ? TSVAL_LEAD : 0) - mapped);

	if (behind > 0)
		x->ts_delta += behind;
}

static __always_inline int drained(const struct conn *x, const struct conn *y)
{
	return seq_diff(far_ack(x, y), x->cut) >= 0;
}

/* ---- drain */

static __always_inline void repeat_ack(struct work *w, struct conn *x, const struct conn *y)
{
	emit_bare_ack(w, x, y, combined_ack(x, y), far_edge(x, y));
}

static __always_inline void probe(struct work *w, struct conn *x, struct conn *y)
{
	struct segment *s = emit_bare_ack(w, y, x, combined_ack(y, x), far_edge(y, x));

	s->seq = y->far.ack - 1;
}

static __always_inline void repeat_ack_to_shell(struct work *w, struct conn *x)
{
	struct segment *s = add_made(w, x, 1);

	s->flags = FLAG_ACK;
	s->seq = x->cut_max;
	s->ack = seq_min(x->far.ack, x->shell.max);
	s->window = window_field(x->far.edge, s->ack, x->far.scale);
	if (x->far.conn_bits & CONN_TIMESTAMPS) {
		s->options = OPT_TIMESTAMPS;
		s->tsval = x->far.tsval;
		s->tsecr = x->shell.tsval;
	}
	note_told_shell(x, s);
}

static __always_inline int carries_sack_for(const struct work *w, const struct conn *x, const struct conn *y)
{
	const struct segment *s = &w->segment;

	return s->options & OPT_SACK && y->far.conn_bits & CONN_SACK && drained(y, x) &&
	       s->ack - y->delta == combined_ack(y, x);
}

static __always_inline void emit_to_shell(struct work *w, struct conn *x, u32 length)
{
	const struct segment *got = &w->segment;
	struct segment *s = add_edited(w, x, 1, length);

	if (length < got->payload_length || got->flags & FLAG_FIN) {
		s->flags &= ~(FLAG_FIN | FLAG_PSH | FLAG_URG);
		s->seq = seq_min(got->seq, x->cut);
	}
	if (length == 0)
		s->seq = x->cut_max;
	if (seq_diff(s->ack, x->shell.max) > 0) {
		u32 edge = s->ack + ((u32)s->window << (x->far.scale & 15));

		s->ack = x->shell.max;
		s->window = window_field(edge, s->ack, x->far.scale);
	}
	if (s->options & OPT_SACK)
		clip_sack(s, x->shell.max);
	note_told_shell(x, s);
}

static __always_inline void emit_direct(struct work *w, struct conn *x, struct conn *y, int with_payload)
{
	const struct segment *got = &w->segment;
	struct segment *s = add_edited(w, y, 0, with_payload ? got->payload_length : 0);

	if (!with_payload) {
		s->flags &= ~(FLAG_FIN | FLAG_PSH | FLAG_URG);
		s->seq = x->far.max;
	}
	s->seq += x->delta;
	u32 ack = combined_ack(y, x);

	if (s->options & OPT_SACK) {
		if (carries_sack_for(w, x, y))
			shift_sack(s, y->delta, y->transparent_from);
		else
			clear_sack(s);
	}
	s->ack = ack;
	s->window = window_field(far_edge(y, x), ack, y->shell.scale);
	if (s->options & OPT_TIMESTAMPS) {
		u32 lead = y->shell.tsval + TSVAL_LEAD;

		s->tsval = (s32)(y->told_tsval - lead) > 0 ? y->told_tsval : lead;
		s->tsecr -= y->ts_delta;
	}
	note_told_far(y, s);
}

static __always_inline void acknowledge_far(struct work *w, struct conn *x, struct conn *y)
{
	if (seq_diff(combined_ack(y, x), y->told_ack) > 0 || seq_diff(tellable_edge(y, x), y->told_edge) > 0 ||
	    carries_sack_for(w, x, y))
		emit_direct(w, x, y, 0);
}

static __always_inline void acknowledge_shell(struct work *w, struct conn *x, struct conn *y, int duplicates)
{
	const struct segment *got = &w->segment;
	u32 scale = x->far.scale & 15;
	u32 ack = seq_min(got->ack, x->shell.max);
	u32 edge = got->ack + ((u32)got->window << scale);
	int outstanding = seq_diff(x->shell.max, x->told_shell_ack) > 0;
	int opened = seq_diff(edge, x->told_shell_edge) >= (s32)(1u << scale);
	int news = seq_diff(ack, x->told_shell_ack) > 0 || (opened && !drained(y, x));
	int loss = outstanding && ack == x->told_shell_ack && (duplicates || got->options & OPT_SACK);

	if (news || loss)
		emit_to_shell(w, x, 0);
}

static __always_inline void drain_from_far(struct work *w, struct conn *x, struct conn *y)
{
	const struct segment *s = &w->segment;

	if (s->flags & FLAG_SYN) {
		repeat_ack(w, x, y);
		return;
	}
	int carries = seg_length(s) > 0;
	int known = seq_diff(seg_end(s), x->told_ack) <= 0 && (carries || seq_diff(s->seq, x->told_ack) < 0);

	if (known)
		repeat_ack(w, x, y);
	if (known && s->payload_length <= PROBE_BYTES)
		probe(w, x, y);
	if (!carries || known) {
		acknowledge_far(w, x, y);
		acknowledge_shell(w, x, y, !carries && !known);
	} else if (seq_diff(seg_end(s), x->cut) <= 0) {
		emit_to_shell(w, x, s->payload_length);
		acknowledge_far(w, x, y);
	} else if (seq_diff(s->seq, x->cut) >= 0) {
		emit_direct(w, x, y, 1);
		acknowledge_shell(w, x, y, 0);
	} else {
		if (seq_diff(s->seq, x->transparent_from) >= 0)
			emit_direct(w, x, y, 1);
		emit_to_shell(w, x, x->cut - s->seq);
	}
}

static __always_inline void drain_from_shell(struct work *w, struct conn *x, struct conn *y)
{
	struct segment *got = &w->segment;

	if (got->flags & FLAG_SYN)
		return;
	u32 ack = combined_ack(x, y);
	u32 edge = far_edge(x, y);
	int bare = got->payload_length == 0;
	int known = seq_diff(bare ? got->seq + 1 : seg_end(got), x->far.ack) <= 0;
	int is_probe = known && got->payload_length <= PROBE_BYTES;

	if (known)
		repeat_ack_to_shell(w, x);
	if (known && !is_probe)
		return;
	int duplicate_of_use = got->ack == ack && seq_diff(ack, x->cut) < 0;
	int news = seq_diff(ack, x->told_ack) > 0 || seq_diff(tellable_edge(x, y), x->told_edge) > 0;

	if (bare && !news && !duplicate_of_use && !is_probe)
		return;
	struct segment *s = add_edited(w, x, 0, got->payload_length);

	if (s->options & OPT_SACK && got->ack != ack)
		clear_sack(s);
	s->ack = ack;
	s->window = window_field(edge, ack, x->shell.scale);
	/* The shell's own clock stands while it still has bytes for X on the way; then it must not fall behind. */
	if (s->options & OPT_TIMESTAMPS && drained(y, x) && (s32)(x->told_tsval - s->tsval) > 0)
		s->tsval = x->told_tsval;
	note_told_far(x, s);
}
