/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/* A packet of a known connection through the rules of its flow's mode: src/flow/stepper.ts. Under the flow's lock. */
#pragma once

enum { VERDICT_HOST, VERDICT_PASS, VERDICT_EMIT };

#include "share.h"

/* A RST that does not count goes on, and changes nothing; where numbers may be stale, its sender is asked. */
static __always_inline void pass_reset(struct work *w, struct flow *f, u32 inner)
{
	inner &= 1;
	translate(w, f, &f->conn[inner], &f->conn[inner ^ 1], 1);
	if (shared)
		ask_where_it_stands(w, f, inner);
}

#include "hold.h"
#include "belief.h"

static __always_inline void end_by_reset(struct work *w, struct flow *f, struct conn *x, struct conn *y, u32 inner)
{
	if (shared) {
		learn_from_reset(f, x, y, &w->segment);
		if (has_left_unseen(f, x, y)) {
			end_flow(w, f, ON_FINISHED, REASON_FIN);
			return;
		}
	}
	x->far.conn_bits &= ~CONN_RESET_BY_SHELL;
	x->far.conn_bits |= CONN_RESET_BY_FAR;
	tell(w, EVENT_RST, f->state, inner ? FROM_CORE : FROM_PEER);
	end_flow(w, f, ON_RESET, inner ? REASON_RESET_BY_CORE : REASON_RESET_BY_PEER);
}

static __always_inline void report_fin(struct work *w, struct flow *f, struct conn *x, u32 inner)
{
	if (x->far.conn_bits & CONN_FIN_REPORTED)
		return;
	x->far.conn_bits |= CONN_FIN_REPORTED;
	tell(w, EVENT_FIN, f->state, inner ? FROM_CORE : FROM_PEER);
}

static __always_inline void relay_syn(struct work *w, struct flow *f, struct conn *x, u32 inner, u32 from_shell)
{
	struct segment *s = &w->segment;
	u32 options = s->options, flags = s->flags, mss = s->mss;
	const struct conn *outer = &f->conn[0];
	int second = inner && from_shell && !(flags & FLAG_ACK) && syn_seen(&outer->far) && syn_seen(&outer->shell);

	align(s, second ? outer : 0);
	note_syn(x, s, from_shell);
	track(f, x, s, from_shell, w->now);
	if (from_shell)
		note_told_far(x, s);
	else
		note_told_shell(x, s);
	if (s->options == options && s->flags == flags && s->mss == mss) {
		w->verdict = VERDICT_PASS;
		return;
	}
	add_edited(w, x, !from_shell, s->payload_length);
	w->verdict = VERDICT_EMIT;
}

/* A FIN, or a RST that counts, while the flow is clamped: it is about to end, so it stays with the shell. */
static __always_inline int ends_before_cut(struct work *w, struct flow *f, int counts)
{
	const struct segment *s = &w->segment;
	int ends = s->flags & FLAG_RST ? counts : s->flags & FLAG_FIN;

	if (ends)
		refuse(w, f, REASON_CLOSING_BEFORE_CUT);
	return ends;
}

static __always_inline void step_from_far(struct work *w, struct flow *f, struct conn *x, struct conn *y, u32 inner)
{
	struct segment *s = &w->segment;
	u32 mode = f->mode;

	/* Where other switches carry it too, its numbers here are old. */
	if (!(shared && mode >= MODE_DIRECT) && !is_believable(f, x, y, s)) {
		stray_from_far(w, f, x, y);
		return;
	}
	if (mode == MODE_DIRECT)
		note_sent_directly(x, y);
	/* Before the stitch there is no holding it: left out, it comes again, as if it had been lost. */
	if (mode == MODE_DRAIN && holds_ends(f))
		s->flags &= ~FLAG_FIN;
	if (is_restored(f))
		relearn(x, y, s);
	if (shared && mode == MODE_DIRECT && !(s->flags & FLAG_RST))
		learn_from_ack(f, x, y, s);
	if (!(s->flags & FLAG_SYN)) {
		track(f, x, s, 0, w->now);
	} else if (mode <= MODE_CLAMP) {
		relay_syn(w, f, x, inner, 0);
		return;
	}
	/* While the other direction holds the flow up, any amount may pass in this one. */
	if (mode == MODE_CLAMP || mode == MODE_DRAIN)
		keep_mark_recent(x);
	w->verdict = VERDICT_EMIT;
	if (mode == MODE_DIRECT) {
		if (holds_ends(f)) {
			hold_from_far(w, f, inner);
			return;
		}
		u32 is_reset = s->flags & FLAG_RST;

		if (is_reset && !reset_counts(x, s)) {
			pass_reset(w, f, inner);
			return;
		}
		translate(w, f, x, y, 1);
		if (f->state == STATE_CLOSED)
			return;
		if (is_reset) {
			end_by_reset(w, f, x, y, inner);
		} else if (s->flags & FLAG_FIN) {
			report_fin(w, f, x, inner);
			move(w, f, ON_FIN, REASON_NONE);
		}
		if (f->state == STATE_CLOSING && directly_finished(f))
			end_flow(w, f, ON_FINISHED, REASON_FIN);
		return;
	}
	if (mode == MODE_DEAD) {
		if (s->flags & FLAG_ACK && !(s->flags & FLAG_RST))
			emit_reset(w, x, s->ack);
		return;
	}
	if (mode == MODE_DRAIN) {
		if (s->flags & FLAG_RST) {
			if (reset_counts(x, s)) {
				reset_other(w, x, y);
				f->mode = MODE_DIRECT;
				end_by_reset(w, f, x, y, inner);
			} else {
				translate(w, f, x, y, 1);
			}
			return;
		}
		drain_from_far(w, x, y);
		if (s->flags & FLAG_FIN)
			report_fin(w, f, x, inner);
		after_drain(w, f);
		return;
	}
	if (mode == MODE_CLAMP && !ends_before_cut(w, f, reset_counts(x, s))) {
		struct segment *sent = add_edited(w, x, 1, s->payload_length);

		lift_bare_ack(x, sent, x->shell.edge);
		note_told_shell(x, s);
		announce_growth(w, y, x, cap_at(w, f));
		after_clamp(w, f);
		return;
	}
	if (s->flags & FLAG_RST && reset_counts(x, s))
		note_reset(x, CONN_RESET_BY_FAR);
	note_told_shell(x, s);
	after_relay(w, f, x);
	w->verdict = VERDICT_PASS;
}

static __always_inline void step_from_shell(struct work *w, struct flow *f, struct conn *x, struct conn *y, u32 inner)
{
	struct segment *s = &w->segment;
	u32 mode = f->mode;

	w->verdict = VERDICT_EMIT;
	if (mode >= MODE_DIRECT) {
		w->swallowed = 1;
		return;
	}
	if (mode == MODE_DRAIN) {
		/* The shell may end its connection once all that it holds is on the wire; before that, bytes are lost. */
		u32 shell_end = y->cut + y->delta;
		int unfinished = seq_diff(shell_end, x->shell.max) > 0 && seq_diff(shell_end, seg_end(s)) >= 0;

		if (s->flags & FLAG_RST || (s->flags & FLAG_FIN && unfinished)) {
			break_flow(w, f, REASON_SHELL_LOST);
			return;
		}
		s->flags &= ~FLAG_FIN;
		track(f, x, s, 1, w->now);
		drain_from_shell(w, x, y);
		after_drain(w, f);
		return;
	}
	if (s->flags & FLAG_SYN) {
		relay_syn(w, f, x, inner, 1);
		return;
	}
	track(f, x, s, 1, w->now);
	if (mode == MODE_CLAMP && !ends_before_cut(w, f, shell_reset_counts(x, s))) {
		struct segment *sent = add_edited(w, x, 0, s->payload_length);

		clamp_window(x, y, sent, cap_at(w, f));
		note_told_far(x, sent);
		after_clamp(w, f);
		return;
	}
	if (s->flags & FLAG_RST && shell_reset_counts(x, s))
		note_reset(x, CONN_RESET_BY_SHELL);
	note_told_far(x, s);
	after_relay(w, f, x);
	w->verdict = VERDICT_PASS;
}
