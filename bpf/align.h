/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/* What two connections have in common: the options of their SYNs, and whether they can be one flow. src/flow/align.ts. */
#pragma once

#define STRIPPED (OPT_FAST_OPEN | OPT_MPTCP | OPT_UNKNOWN)

static __always_inline void align(struct segment *s, const struct conn *outer)
{
	s->options &= ~STRIPPED;
	if (!outer)
		return;
	if (!(outer->far.conn_bits & CONN_TIMESTAMPS))
		s->options &= ~OPT_TIMESTAMPS;
	if (!(outer->far.conn_bits & CONN_SACK))
		s->options &= ~OPT_SACK_PERMITTED;
	if (!(outer->far.conn_bits & CONN_ECN))
		s->flags &= ~(FLAG_ECE | FLAG_CWR);
	if (s->options & OPT_MSS && s->mss > outer->far.mss)
		s->mss = outer->far.mss;
}

static __always_inline u32 refusal_of(const struct flow *f)
{
	const struct conn *o = &f->conn[0], *i = &f->conn[1];
	u32 seen = o->far.options | o->shell.options | i->far.options | i->shell.options;

	if (seen & OPT_MD5)
		return REASON_TCP_MD5;
	if (seen & OPT_AO)
		return REASON_TCP_AO;
	if ((o->far.conn_bits ^ i->far.conn_bits) & CONN_TIMESTAMPS)
		return REASON_TIMESTAMPS_DIFFER;
	if ((o->far.conn_bits ^ i->far.conn_bits) & CONN_ECN)
		return REASON_ECN_DIFFERS;
	return REASON_NONE;
}
