/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * Teardown modes `control` and `shell`: FINs and RSTs that are held, and FINs of the switch's own. src/flow/hold.ts has
 * the rules for segments, src/flow/holding.ts what leads to what. Under the flow's lock.
 */
#pragma once

/* src/flow/holding.ts: the waits before a FIN is repeated, in milliseconds and in doublings. */
#define RESEND_FIRST 300
#define RESEND_ALIVE 3
#define RESEND_MOST 8

static __always_inline int holds_ends(const struct flow *f)
{
	u32 mode = (f->bits & FLOW_TEARDOWN) >> FLOW_TEARDOWN_SHIFT;

	return mode == TEARDOWN_CONTROL || mode == TEARDOWN_SHELL;
}

static __always_inline u32 resends(const struct flow *f)
{
	return f->bits >> FLOW_RESENDS_SHIFT & 15;
}

static __always_inline void set_resends(struct flow *f, u32 n)
{
	f->bits = (f->bits & ~FLOW_RESENDS) | n << FLOW_RESENDS_SHIFT;
}

/* In a flow that holds its ends. */
static __always_inline u32 promised_ack(const struct conn *x, const struct conn *y)
{
	u32 ack = far_ack(x, y);

	return fin_seen(&x->far) && ack == before_fin(&x->far) ? x->far.fin_end : ack;
}

static __always_inline int fin_delivered(const struct conn *x, const struct conn *y)
{
	return fin_seen(&x->far) && seq_diff(far_ack(x, y), x->far.fin_end) >= 0;
}

static __always_inline int knows_all(const struct conn *x)
{
	return fin_seen(&x->far) && seq_diff(x->told_ack, x->far.fin_end) >= 0;
}

static __always_inline int has_left(const struct conn *x, const struct conn *y)
{
	return fin_delivered(y, x) && knows_all(x);
}

static __always_inline int probes(const struct conn *x, const struct conn *y, const struct segment *s)
{
	return x->far.conn_bits & (CONN_FIN_HELD | CONN_FIN_SENT) && !has_left(x, y) && seq_diff(s->seq, x->far.fin_end) < 0;
}

static __always_inline int both_done(const struct conn *x, const struct conn *y)
{
	return fin_seen(&x->far) && !(x->far.conn_bits & CONN_FIN_HELD) && knows_all(y);
}

static __always_inline int tells_news(const struct conn *x, const struct conn *y, const struct segment *s)
{
	if (knows_all(y))
		return 0;
	u32 scale = y->shell.scale;
	u32 ack = s->ack - y->delta;
	u32 edge = ack + (convert_window(s->window, x->far.scale, scale) << (scale & 15));

	return s->sack_count > 0 || seq_diff(ack, y->told_ack) > 0 || seq_diff(edge, y->told_edge) > 0;
}

static __always_inline void translate_holding(struct work *w, const struct flow *f, struct conn *x,
					      struct conn *y, u32 had_fin)
{
	struct segment *s = &w->segment;

	if (s->flags & FLAG_SYN || !knows_where_it_stands(f)) {
		translate(w, f, x, y, 1);
		return;
	}
	if (fin_seen(&y->far) && s->ack - y->delta == before_fin(&y->far))
		s->ack += 1;
	u32 bare = s->payload_length == 0;
	u32 repeats = !bare && knows_all(x);
	u32 asks = had_fin || repeats || (bare && probes(x, y, s));

	if (asks && promised_ack(x, y) == x->far.fin_end)
		emit_bare_ack(w, x, y, x->far.fin_end, far_edge(x, y));
	if (bare && both_done(x, y))
		return;
	if (asks && (bare || repeats) && !tells_news(x, y, s))
		return;
	translate(w, f, x, y, 1);
}

/* X's FIN, made anew for Y. */
static __noinline void emit_fin(struct work *w, struct conn *x, struct conn *y)
{
	struct segment *s = emit_bare_ack(w, y, x, promised_ack(y, x), far_edge(y, x));

	s->flags |= FLAG_FIN;
	s->seq = before_fin(&x->far) + x->delta;
}

static __always_inline void hold(struct work *w, struct flow *f)
{
	if (f->deadline == 0)
		f->deadline = (w->now + teardown_limit) ?: 1;
}

/* Lets go on what is held of X's, if anything is. */
static __noinline void let_go(struct work *w, struct flow *f, u32 inner)
{
	inner &= 1;
	struct conn *x = &f->conn[inner], *y = &f->conn[inner ^ 1];

	if (x->far.conn_bits & CONN_RESET_HELD) {
		x->far.conn_bits &= ~CONN_RESET_HELD;
		reset_far(w, y, x);
		end_flow(w, f, ON_RESET, inner ? REASON_RESET_BY_CORE : REASON_RESET_BY_PEER);
	} else if (x->far.conn_bits & CONN_FIN_HELD && !(y->far.conn_bits & CONN_RESET_HELD) && f->state == STATE_CLOSING) {
		x->far.conn_bits &= ~CONN_FIN_HELD;
		x->far.conn_bits |= CONN_FIN_SENT;
		emit_fin(w, x, y);
		set_resends(f, 0);
		f->resend_at = (w->now + RESEND_FIRST) ?: 1;
		if (!(y->far.conn_bits & CONN_FIN_HELD))
			f->deadline = 0;
	}
}

static __always_inline void resend(struct work *w, struct flow *f)
{
	struct conn *o = &f->conn[0], *i = &f->conn[1];
	u32 done = resends(f);
	u32 sent_at = f->resend_at - ((u32)RESEND_FIRST << done);
	u32 silent = (s32)(f->last_at - sent_at) < 0;
	u32 most = silent ? RESEND_MOST : RESEND_ALIVE;

	if (done == RESEND_MOST && silent) {
		break_flow(w, f, REASON_FIN_UNACKNOWLEDGED);
		return;
	}
	if (o->far.conn_bits & CONN_FIN_SENT)
		emit_fin(w, o, i);
	if (i->far.conn_bits & CONN_FIN_SENT)
		emit_fin(w, i, o);
	done = done + 1 < most ? done + 1 : most;
	set_resends(f, done);
	f->resend_at = (w->now + ((u32)RESEND_FIRST << done)) ?: 1;
}

static __always_inline void tick_held(struct work *w, struct flow *f)
{
	if (f->deadline && (s32)(w->now - f->deadline) >= 0) {
		let_go(w, f, 0);
		let_go(w, f, 1);
	} else if (f->resend_at && (s32)(w->now - f->resend_at) >= 0) {
		resend(w, f);
	}
	tick_quiet(w, f);
}

/* How long until the flow is to be ticked again; 0 for not at all. */
static __always_inline u32 due_in(const struct work *w, const struct flow *f)
{
	u32 at = f->deadline;

	u32 quiet;

	if (f->mode == MODE_RELAY || f->mode == MODE_DEAD || f->state == STATE_CLOSED)
		return 0;
	/* After its deadline only packets change anything in a clamp. */
	if (f->mode == MODE_CLAMP && (s32)(w->now - at) >= 0)
		return 0;
	if (!at || (f->resend_at && (s32)(f->resend_at - at) < 0))
		at = f->resend_at;
	if (quiet_at(f, &quiet) && (!at || (s32)(quiet - at) < 0))
		at = quiet ?: 1;
	if (!at)
		return 0;
	s32 left = at - w->now;

	return left > 1 ? left : 1;
}

static __always_inline void hold_reset(struct work *w, struct flow *f, struct conn *x, u32 inner)
{
	x->far.conn_bits |= CONN_RESET_HELD | CONN_RESET_BY_FAR;
	x->far.conn_bits &= ~(CONN_FIN_SENT | CONN_RESET_BY_SHELL);
	hold(w, f);
	tell_held(w, EVENT_RST, f->state, inner ? FROM_CORE : FROM_PEER);
}

static __always_inline void hold_fin(struct work *w, struct flow *f, struct conn *x, u32 inner)
{
	if (x->far.conn_bits & CONN_FIN_REPORTED)
		return;
	x->far.conn_bits |= CONN_FIN_REPORTED | CONN_FIN_HELD;
	hold(w, f);
	tell_held(w, EVENT_FIN, f->state, inner ? FROM_CORE : FROM_PEER);
	move(w, f, ON_FIN, REASON_NONE);
}

/* An end is gone: nothing goes to or from it any more. When the other one resets too, nobody is left to be told. */
static __always_inline void while_reset(struct work *w, struct flow *f, struct conn *x, struct conn *y, u32 inner)
{
	const struct segment *s = &w->segment;

	if (x->far.conn_bits & CONN_RESET_HELD || !(s->flags & FLAG_RST) || !reset_counts(x, s))
		return;
	y->far.conn_bits &= ~CONN_RESET_HELD;
	tell(w, EVENT_RST, f->state, inner ? FROM_CORE : FROM_PEER);
	end_flow(w, f, ON_RESET, inner ? REASON_RESET_BY_PEER : REASON_RESET_BY_CORE);
}

/* A packet of a stitched flow that holds its ends; already tracked. */
static __noinline void hold_from_far(struct work *w, struct flow *f, u32 inner)
{
	inner &= 1;
	struct conn *x = &f->conn[inner], *y = &f->conn[inner ^ 1];
	struct segment *s = &w->segment;
	int over = f->state == STATE_CLOSED;
	u32 had_fin = s->flags & FLAG_FIN;

	if ((x->far.conn_bits | y->far.conn_bits) & CONN_RESET_HELD) {
		while_reset(w, f, x, y, inner);
		return;
	}
	if (s->flags & FLAG_RST) {
		if (has_left(x, y))
			return;
		if (!over && reset_counts(x, s))
			hold_reset(w, f, x, inner);
		else
			pass_reset(w, f, inner);
		return;
	}
	if (had_fin && !over)
		hold_fin(w, f, x, inner);
	s->flags &= ~FLAG_FIN;
	translate_holding(w, f, x, y, had_fin);
	if (over)
		return;
	if (y->far.conn_bits & CONN_FIN_SENT && fin_delivered(y, x)) {
		y->far.conn_bits &= ~CONN_FIN_SENT;
		if (!(x->far.conn_bits & CONN_FIN_SENT))
			f->resend_at = 0;
	}
	if (f->state == STATE_CLOSING && directly_finished(f))
		end_flow(w, f, ON_FINISHED, REASON_FIN);
}
