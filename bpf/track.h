/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/* What a connection's segments tell of it: src/flow/connection.ts. Everything here runs under the flow's lock. */
#pragma once

#define DEFAULT_MSS_IPV4 536
#define DEFAULT_MSS_IPV6 1220
#define MAX_SCALE 14

static __always_inline int syn_seen(const struct sender *s)
{
	return s->bits & SENDER_SYN_SEEN;
}

static __always_inline int ack_seen(const struct sender *s)
{
	return s->bits & SENDER_ACK_SEEN;
}

static __always_inline int fin_seen(const struct sender *s)
{
	return s->bits & SENDER_FIN_SEEN;
}

static __always_inline int established(struct conn *x)
{
	if (x->far.conn_bits & CONN_ESTABLISHED)
		return 1;
	if (syn_seen(&x->far) && syn_seen(&x->shell) && ack_seen(&x->far) && ack_seen(&x->shell) &&
	    seq_diff(x->far.ack, x->shell.isn) > 0 && seq_diff(x->shell.ack, x->far.isn) > 0) {
		x->far.conn_bits |= CONN_ESTABLISHED;
		return 1;
	}
	return 0;
}

static __always_inline int reset_seen(const struct conn *x)
{
	return x->far.conn_bits & (CONN_RESET_BY_FAR | CONN_RESET_BY_SHELL);
}

static __always_inline void note_reset(struct conn *x, u32 by)
{
	if (!reset_seen(x))
		x->far.conn_bits |= by;
}

static __always_inline int finished(const struct conn *x)
{
	if (reset_seen(x))
		return 1;
	return fin_seen(&x->far) && fin_seen(&x->shell) && seq_diff(x->shell.ack, x->far.fin_end) >= 0 &&
	       seq_diff(x->far.ack, x->shell.fin_end) >= 0;
}

static __always_inline void note_syn(struct conn *x, const struct segment *s, u32 from_shell)
{
	struct sender *sender = from_shell ? &x->shell : &x->far;
	struct sender *receiver = from_shell ? &x->far : &x->shell;

	if (syn_seen(sender) && (sender->isn == s->seq || ack_seen(receiver)))
		return;
	sender->bits |= SENDER_SYN_SEEN;
	sender->isn = s->seq;
	sender->max = seg_end(s);
	sender->data_max = seg_end(s);
	sender->bytes = s->payload_length;
	sender->options = s->options;
	u32 ecn = s->flags & (FLAG_ECE | FLAG_CWR);
	u32 agrees = s->flags & FLAG_ACK ? FLAG_ECE : FLAG_ECE | FLAG_CWR;

	if (ecn == agrees)
		sender->bits |= SENDER_SYN_ECN;
	else
		sender->bits &= ~SENDER_SYN_ECN;
	sender->mss = s->options & OPT_MSS && s->mss > 0 ? s->mss :
		      tuple_is_ipv4(&x->tuple)		 ? DEFAULT_MSS_IPV4 :
							   DEFAULT_MSS_IPV6;
	sender->scale = s->scale < MAX_SCALE ? s->scale : MAX_SCALE;
	if (s->options & OPT_TIMESTAMPS)
		sender->tsval = s->tsval;
	if (!syn_seen(receiver))
		return;
	u32 both = x->far.options & x->shell.options;

	x->far.conn_bits &= ~(CONN_TIMESTAMPS | CONN_SACK | CONN_ECN);
	if (both & OPT_TIMESTAMPS)
		x->far.conn_bits |= CONN_TIMESTAMPS;
	if (both & OPT_SACK_PERMITTED)
		x->far.conn_bits |= CONN_SACK;
	if (x->far.bits & x->shell.bits & SENDER_SYN_ECN)
		x->far.conn_bits |= CONN_ECN;
	if (!(both & OPT_SCALE)) {
		x->far.scale = 0;
		x->shell.scale = 0;
	}
}

/* A window belongs to the ack that it came with (RFC 9293 section 3.10.7.4). */
static __always_inline void track_ack(struct sender *sender, const struct segment *s)
{
	u32 scale = s->flags & FLAG_SYN ? 0 : sender->scale & 15;
	u32 edge = s->ack + ((u32)s->window << scale);

	if (!ack_seen(sender) || seq_diff(s->ack, sender->ack) > 0) {
		sender->bits |= SENDER_ACK_SEEN;
		sender->ack = s->ack;
		sender->edge = edge;
	} else if (s->ack == sender->ack && seq_diff(edge, sender->edge) > 0) {
		sender->edge = edge;
	}
}

/* It has sent all up to `end`, seen or not; the FIN, which may be the last of it, is no byte. */
static __always_inline void note_sent(struct sender *sender, u32 end)
{
	if (fin_seen(sender) && end == sender->fin_end)
		end -= 1;
	s32 fresh = seq_diff(end, sender->data_max);

	if (fresh <= 0)
		return;
	sender->bytes += (u32)fresh;
	sender->data_max = end;
}

static __always_inline void track(struct flow *f, struct conn *x, const struct segment *s, u32 from_shell, u32 now)
{
	struct sender *sender = from_shell ? &x->shell : &x->far;

	f->last_at = now;
	if (!from_shell)
		x->packets++;
	if (s->flags & FLAG_RST)
		return;
	if (!(s->flags & FLAG_SYN) && syn_seen(sender)) {
		/* A FIN tells how much there was, whatever way that took. */
		if (s->payload_length > 0 || s->flags & FLAG_FIN)
			note_sent(sender, s->seq + s->payload_length);
		if (s->flags & FLAG_FIN && !fin_seen(sender)) {
			sender->bits |= SENDER_FIN_SEEN;
			sender->fin_end = seg_end(s);
		}
		sender->max = seq_max(sender->max, seg_end(s));
	}
	if (s->flags & FLAG_ACK)
		track_ack(sender, s);
	if (s->options & OPT_TIMESTAMPS && ((s32)(s->tsval - sender->tsval) > 0 || sender->tsval_at == 0)) {
		sender->tsval = s->tsval;
		sender->tsval_at = now;
	}
}

/* What `s` tells the far end, as it leaves for it. */
static __always_inline void note_told_far(struct conn *x, const struct segment *s)
{
	if (s->options & OPT_TIMESTAMPS && !(s->flags & FLAG_RST))
		if (s->flags & FLAG_SYN || !(x->far.conn_bits & CONN_TOLD_ANY) || (s32)(s->tsval - x->told_tsval) > 0)
			x->told_tsval = s->tsval;
	if (!(s->flags & FLAG_ACK) || s->flags & FLAG_RST)
		return;
	u32 scale = s->flags & FLAG_SYN ? 0 : x->shell.scale & 15;
	u32 edge = s->ack + ((u32)s->window << scale);

	if (!(x->far.conn_bits & CONN_TOLD_ANY)) {
		x->far.conn_bits |= CONN_TOLD_ANY;
		x->told_ack = s->ack;
		x->told_max = edge;
	}
	if (seq_diff(s->ack, x->told_ack) < 0)
		return;
	x->told_ack = s->ack;
	x->told_edge = edge;
	x->told_max = seq_max(x->told_max, edge);
}

static __always_inline void note_told_shell(struct conn *x, const struct segment *s)
{
	if (!(s->flags & FLAG_ACK) || s->flags & FLAG_RST)
		return;
	x->told_shell_ack = seq_max(x->told_shell_ack, s->ack);
	u32 scale = s->flags & FLAG_SYN ? 0 : x->far.scale & 15;

	x->told_shell_edge = s->ack + ((u32)s->window << scale);
}
