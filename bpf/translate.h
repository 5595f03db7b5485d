/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/* A stitched flow: constants only, apart from the rule against the ack deadlock. src/flow/translate.ts, teardown.ts. */
#pragma once

/* Not where the flow doesn't know where it stands: the packet then goes nowhere, and is sent again. */
static __always_inline void acknowledge_again(struct work *w, const struct flow *f, struct conn *x, const struct conn *y)
{
	if (knows_where_it_stands(f))
		emit_bare_ack(w, x, y, far_ack(x, y), far_edge(x, y));
}

/* From X's numbers to those that Y expects. `floor`: the least number of Y's that a block of SACK may name. */
static __always_inline void convert(const struct conn *x, const struct conn *y, struct segment *s, u32 floor)
{
	s->seq += x->delta;
	if (s->flags & FLAG_ACK)
		s->ack -= y->delta;
	s->window = convert_window(s->window, x->far.scale, y->shell.scale);
	if (s->options & OPT_SACK) {
		if (y->far.conn_bits & CONN_SACK)
			shift_sack(s, y->delta, floor);
		else
			clear_sack(s);
	}
	if (s->options & OPT_TIMESTAMPS) {
		s->tsval += x->ts_delta;
		if (s->flags & FLAG_ACK)
			s->tsecr -= y->ts_delta;
	}
}

/* By constants alone: nothing is compared, and nothing noted. */
static __always_inline void translate_copy(struct work *w, const struct conn *x, const struct conn *y)
{
	const struct segment *got = &w->segment;

	if (got->flags & FLAG_SYN)
		return;
	convert(x, y, add_edited(w, y, 0, got->payload_length), got->ack - y->delta - RECENT);
}

/* `believed`: see belief.h. */
static __always_inline void translate(struct work *w, const struct flow *f, struct conn *x, struct conn *y, int believed)
{
	const struct segment *got = &w->segment;

	if (got->flags & FLAG_SYN) {
		/* RFC 5961 section 4. */
		acknowledge_again(w, f, x, y);
		return;
	}
	keep_mark_recent(x);
	if (seq_diff(got->seq, x->transparent_from) < 0 && got->payload_length > 1) {
		/* Bytes that the shell consumed have no counterpart: they are acknowledged again. */
		acknowledge_again(w, f, x, y);
		return;
	}
	struct segment *s = add_edited(w, y, 0, got->payload_length);

	lift_bare_ack(x, s, far_edge(x, y));
	if (x->far.conn_bits & CONN_FIN_HELD)
		s->seq = seq_min(s->seq, before_fin(&x->far));
	convert(x, y, s, y->transparent_from);
	if (believed)
		note_told_far(y, s);
}

/* A FIN's own number: see isFinNumber in src/flow/teardown.ts. */
static __always_inline int is_fin_number(const struct sender *sender, u32 seq)
{
	return fin_seen(sender) && seq == sender->fin_end - 1;
}

/* A RST that its receiver obeys (RFC 5961 section 3), as far as the switch can know. */
static __always_inline int reset_counts(struct conn *x, const struct segment *s)
{
	return !established(x) || s->seq == x->told_ack || s->seq == x->far.max || is_fin_number(&x->far, s->seq);
}

static __always_inline int shell_reset_counts(struct conn *x, const struct segment *s)
{
	return !established(x) || s->seq == x->far.ack || s->seq == x->shell.max || is_fin_number(&x->shell, s->seq);
}

static __always_inline int fin_acknowledged(const struct flow *f, const struct conn *x, const struct conn *y)
{
	if (!fin_seen(&x->far))
		return 0;
	/* An ack beyond a FIN is an old number, of an end not heard of since a restore. */
	s32 beyond = seq_diff(far_ack(x, y), x->far.fin_end);

	return beyond == 0 || (beyond > 0 && (!is_restored(f) || y->far.bits & SENDER_HEARD));
}

static __always_inline int directly_finished(const struct flow *f)
{
	return fin_acknowledged(f, &f->conn[0], &f->conn[1]) && fin_acknowledged(f, &f->conn[1], &f->conn[0]);
}

static __always_inline u32 ending_of(const struct flow *f)
{
	if (f->conn[0].far.conn_bits & CONN_RESET_BY_FAR)
		return REASON_RESET_BY_PEER;
	if (f->conn[1].far.conn_bits & CONN_RESET_BY_FAR)
		return REASON_RESET_BY_CORE;
	return reset_seen(&f->conn[0]) || reset_seen(&f->conn[1]) ? REASON_RESET_BY_SHELL : REASON_FIN;
}

static __always_inline void reset_far(struct work *w, const struct conn *x, const struct conn *y)
{
	u32 sent = sent_to_far(x, y);

	emit_reset(w, x, x->far.ack);
	if (sent != x->far.ack)
		emit_reset(w, x, sent);
}

static __always_inline void reset_other(struct work *w, const struct conn *x, const struct conn *y)
{
	u32 end = x->far.max + x->delta;

	emit_reset(w, y, y->far.ack);
	if (end != y->far.ack)
		emit_reset(w, y, end);
}
