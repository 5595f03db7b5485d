/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/* What the leader of a group adds where followers carry packets too: src/flow/share.ts. Under the flow's lock. */
#pragma once

#define QUIET_MS 2000
#define ASK_MS 1000

/* X's acknowledgment tells what Y must have sent, though it did not pass here. */
static __always_inline void learn_from_ack(const struct flow *f, const struct conn *x, struct conn *y,
					   const struct segment *s)
{
	struct sender *far = &y->far;

	if (!(s->flags & FLAG_ACK) || s->flags & FLAG_SYN)
		return;
	if (is_restored(f) && !(far->bits & SENDER_HEARD))
		return;
	u32 acked = s->ack - y->delta;

	far->max = seq_max(far->max, acked);
	note_sent(far, acked);
}

/* A RST that counts stands at the end of all that X sent; so did one before it that could not be judged. */
static __always_inline void learn_from_reset(const struct flow *f, struct conn *x, struct conn *y, const struct segment *s)
{
	if (is_restored(f) && !(x->far.bits & SENDER_HEARD))
		return;
	note_sent(&x->far, s->seq);
	learn_from_ack(f, x, y, s);
	if (!(x->far.conn_bits & CONN_ASKED))
		return;
	note_sent(&x->far, x->ASKED_END);
	note_sent(&y->far, x->ASKED_ACK);
}

/* X answers something late with a RST: it has left in order, and the ack that would have told so took another way. */
static __always_inline int has_left_unseen(const struct flow *f, const struct conn *x, const struct conn *y)
{
	return f->state == STATE_CLOSING && fin_seen(&x->far) && fin_acknowledged(f, y, x);
}

/* After a RST of X's that is not exact: a dead end answers with one that is (RFC 9293 section 3.5.2). */
static __noinline void ask_where_it_stands(struct work *w, struct flow *f, u32 inner)
{
	inner &= 1;
	struct conn *x = &f->conn[inner], *y = &f->conn[inner ^ 1];

	if (f->state == STATE_CLOSED || !knows_where_it_stands(f))
		return;
	if (x->far.conn_bits & CONN_ASKED && w->now - x->ASKED_AT < ASK_MS)
		return;
	x->far.conn_bits |= CONN_ASKED;
	x->far.conn_bits &= ~CONN_STEERED;
	x->ASKED_AT = w->now;
	x->ASKED_END = w->segment.seq;
	x->ASKED_ACK = w->segment.flags & FLAG_ACK ? w->segment.ack - y->delta : y->far.data_max;
	emit_bare_ack(w, x, y, seq_max(far_ack(x, y), x->told_ack), far_edge(x, y));
}

/* Nothing more is to be expected of the flow from `*at` on; 0 while something is. */
static __always_inline int quiet_at(const struct flow *f, u32 *at)
{
	const struct conn *o = &f->conn[0], *i = &f->conn[1];

	if (!shared || f->state != STATE_CLOSING || !fin_seen(&o->far) || !fin_seen(&i->far))
		return 0;
	if ((o->far.conn_bits | i->far.conn_bits) & (CONN_FIN_HELD | CONN_FIN_SENT | CONN_RESET_HELD))
		return 0;
	*at = f->last_at + QUIET_MS;
	return 1;
}

/* The last ack took another way. */
static __always_inline void tick_quiet(struct work *w, struct flow *f)
{
	u32 at;

	if (quiet_at(f, &at) && (s32)(w->now - at) >= 0)
		end_flow(w, f, ON_FINISHED, REASON_FIN);
}
