/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/* A flow of another switch, of which only constants are known: src/flow/restore.ts. Under the flow's lock. */
#pragma once

/*
 * Fields that a stitched flow has no use for any more, by what they hold then, if a bit says so: when the leader was given
 * a packet last, and its number; or when the end was asked last where it stands, and where its own stream and the other one
 * end by the RST that led to it.
 */
#define STEERED_AT cut
#define STEERED_SEQ cut_max
#define ASKED_AT told_shell_edge
#define ASKED_END cut
#define ASKED_ACK cut_max

static __always_inline int is_restored(const struct flow *f)
{
	return f->conn[0].far.conn_bits & CONN_RESTORED;
}

/* Takes from a packet of X's where the flow stands, before the packet is tracked. */
static __always_inline void relearn(struct conn *x, struct conn *y, const struct segment *s)
{
	if (s->flags & (FLAG_SYN | FLAG_RST))
		return;
	if (!(x->far.bits & SENDER_HEARD)) {
		x->far.bits |= SENDER_HEARD;
		x->far.bits &= ~SENDER_ACK_SEEN;
		x->far.max = s->seq;
		x->far.data_max = s->seq;
		x->transparent_from = s->seq - RECENT;
		y->shell.max = s->seq + x->delta;
	}
	if (!(s->flags & FLAG_ACK))
		return;
	u32 acked = s->ack - y->delta;

	if (y->far.bits & SENDER_HEARD) {
		y->far.max = seq_max(y->far.max, acked);
	} else {
		y->far.max = acked;
		y->transparent_from = acked - RECENT;
		x->shell.max = s->ack;
	}
}

/* Forgets where the flow's ends stand: from now on its packets may take ways where they are not seen. */
static __always_inline void unlearn(struct flow *f)
{
	struct conn *o = &f->conn[0], *i = &f->conn[1];

	o->far.bits &= ~SENDER_HEARD;
	i->far.bits &= ~SENDER_HEARD;
	o->far.conn_bits &= ~(CONN_TOLD_ANY | CONN_STEERED | CONN_YIELDED | CONN_ASKED);
	i->far.conn_bits &= ~(CONN_TOLD_ANY | CONN_STEERED | CONN_YIELDED | CONN_ASKED);
	o->far.conn_bits |= CONN_RESTORED;
	i->far.conn_bits |= CONN_RESTORED;
}

/* False while the switch can't speak in an end's place, nor judge where the ends stand. */
static __always_inline int knows_where_it_stands(const struct flow *f)
{
	const struct conn *o = &f->conn[0], *i = &f->conn[1];

	return !is_restored(f) ||
	       (o->far.bits & i->far.bits & SENDER_HEARD && o->far.conn_bits & i->far.conn_bits & CONN_TOLD_ANY);
}
