/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * What a flow's steps lead to: src/flow/progress.ts. It goes on from mode to mode when a packet, a request or the time lets
 * it, or ends. Under the flow's lock.
 */
#pragma once

static __always_inline void end_flow(struct work *w, struct flow *f, u32 event, u32 reason)
{
	move(w, f, event, reason);
}

static __always_inline void refuse(struct work *w, struct flow *f, u32 reason)
{
	f->mode = MODE_RELAY;
	move(w, f, ON_REFUSE, reason);
}

static __always_inline void break_flow(struct work *w, struct flow *f, u32 reason)
{
	reset_far(w, &f->conn[0], &f->conn[1]);
	reset_far(w, &f->conn[1], &f->conn[0]);
	f->mode = MODE_DEAD;
	end_flow(w, f, ON_BREAK, reason);
}

static __always_inline void stitch_end(struct work *w, struct flow *f, struct conn *x, struct conn *y, int after_drain)
{
	settle_timestamp_delta(x, y, after_drain);
	if (!after_drain && seq_diff(x->told_max, x->far.max) < (s32)x->shell.mss)
		emit_bare_ack(w, x, y, far_ack(x, y), far_edge(x, y));
}

static __noinline void stitch(struct work *w, struct flow *f, int after_drain)
{
	struct conn *outer = &f->conn[0], *inner = &f->conn[1];

	stitch_end(w, f, outer, inner, after_drain);
	stitch_end(w, f, inner, outer, after_drain);
	f->mode = MODE_DIRECT;
	f->deadline = 0;
	move(w, f, after_drain ? ON_DRAINED : ON_EMPTY, REASON_NONE);
	if (fin_seen(&outer->far) || fin_seen(&inner->far))
		move(w, f, ON_FIN, REASON_NONE);
	if (directly_finished(f))
		end_flow(w, f, ON_FINISHED, REASON_FIN);
}

static __noinline void after_drain(struct work *w, struct flow *f)
{
	struct conn *outer = &f->conn[0], *inner = &f->conn[1];

	if (!drained(outer, inner) || !drained(inner, outer))
		return;
	/* From here nobody but the far end acks: each end learns where it stands, whatever it missed. */
	repeat_ack(w, outer, inner);
	repeat_ack(w, inner, outer);
	stitch(w, f, 1);
}

static __noinline void after_clamp(struct work *w, struct flow *f)
{
	struct conn *outer = &f->conn[0], *inner = &f->conn[1];

	if (pipeline_empty(outer, inner) && pipeline_empty(inner, outer)) {
		set_timestamp_delta(outer, inner, w->now);
		set_timestamp_delta(inner, outer, w->now);
		stitch(w, f, 0);
		return;
	}
	if (!(fits(outer, inner) && fits(inner, outer)) &&
	    !((s32)(w->now - f->deadline) >= 0 && has_room(outer, inner) && has_room(inner, outer)))
		return;
	make_cut(outer);
	set_timestamp_delta(outer, inner, w->now);
	make_cut(inner);
	set_timestamp_delta(inner, outer, w->now);
	f->mode = MODE_DRAIN;
	f->deadline = w->now + drain_limit;
	move(w, f, ON_CUT, REASON_NONE);
	after_drain(w, f);
}

static __always_inline void after_relay(struct work *w, struct flow *f, struct conn *x)
{
	if (!(f->bits & FLOW_PAIRED)) {
		w->unpaired_over = finished(x);
		return;
	}
	if (f->state == STATE_WATCHED && established(&f->conn[0]) && established(&f->conn[1])) {
		u32 refusal = refusal_of(f);

		if (refusal)
			refuse(w, f, refusal);
		else
			move(w, f, ON_ESTABLISH, REASON_NONE);
	}
	if (w->segment.flags & FLAG_FIN)
		move(w, f, ON_FIN, REASON_NONE);
	if (finished(&f->conn[0]) && finished(&f->conn[1])) {
		u32 reason = ending_of(f);

		end_flow(w, f, reason == REASON_FIN ? ON_FINISHED : ON_RESET, reason);
	}
}

static __always_inline int is_ending(const struct conn *x)
{
	return fin_seen(&x->far) || fin_seen(&x->shell) || reset_seen(x);
}

static __always_inline void begin_clamp(struct work *w, struct flow *f, const struct request *r)
{
	struct conn *o = &f->conn[0], *i = &f->conn[1];

	if (!offsets_possible(o, i, r->consumed[0], r->injected[1]) ||
	    !offsets_possible(i, o, r->consumed[1], r->injected[0])) {
		refuse(w, f, REASON_OFFSETS_IMPOSSIBLE);
		return;
	}
	if (is_ending(o) || is_ending(i)) {
		refuse(w, f, REASON_CLOSING_BEFORE_CUT);
		return;
	}
	set_delta(o, i, r->consumed[0], r->injected[1]);
	set_delta(i, o, r->consumed[1], r->injected[0]);
	f->mode = MODE_CLAMP;
	f->deadline = w->now + clamp_deadline;
	move(w, f, ON_ENABLE, REASON_NONE);
	after_clamp(w, f);
}
