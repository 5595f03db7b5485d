/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/* Whether a segment of X's can be X's at all: src/flow/belief.ts, where the reasons stand. Under the flow's lock. */
#pragma once

static __always_inline int is_believable(const struct flow *f, struct conn *x, const struct conn *y,
					 const struct segment *s)
{
	if (!established(x) || is_restored(f))
		return 1;
	if (s->flags & (FLAG_SYN | FLAG_RST))
		return 1;
	if (seq_diff(s->seq, x->told_max) > PROBE_BYTES || seq_diff(x->told_ack, s->seq) > (s32)RECENT)
		return 0;
	if (!(s->flags & FLAG_ACK))
		return 1;
	u32 sent = f->mode >= MODE_DRAIN ? sent_to_far(x, y) : x->shell.max;

	return seq_diff(s->ack, sent) <= 0 && seq_diff(x->far.ack, s->ack) <= (s32)RECENT;
}

/* What X can't have sent goes on to whoever can judge it, and teaches nothing. In a drain there is nobody. */
static __always_inline void stray_from_far(struct work *w, const struct flow *f, struct conn *x, struct conn *y)
{
	w->verdict = f->mode <= MODE_CLAMP ? VERDICT_PASS : VERDICT_EMIT;
	if (f->mode == MODE_DIRECT)
		translate(w, f, x, y, 0);
}
