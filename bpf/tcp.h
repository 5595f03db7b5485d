/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * The TCP header with its options to their end, read into `work.segment`: src/wire/tcp.ts. `work.received` holds its bytes
 * as they came.
 */
#pragma once

#define TCP_HEADER 20

#define OPTION_END 0
#define OPTION_NOP 1
#define OPTION_MSS 2
#define OPTION_SCALE 3
#define OPTION_SACK_PERMITTED 4
#define OPTION_SACK 5
#define OPTION_TIMESTAMPS 8
#define OPTION_MD5 19
#define OPTION_AO 29
#define OPTION_MPTCP 30
#define OPTION_FAST_OPEN 34

static __always_inline u32 option_bit(u32 kind, u32 length)
{
	switch (kind) {
	case OPTION_MSS:
		return length == 4 ? OPT_MSS : OPT_UNKNOWN;
	case OPTION_SCALE:
		return length == 3 ? OPT_SCALE : OPT_UNKNOWN;
	case OPTION_SACK_PERMITTED:
		return length == 2 ? OPT_SACK_PERMITTED : OPT_UNKNOWN;
	case OPTION_SACK:
		return length == 10 || length == 18 || length == 26 || length == 34 ? OPT_SACK : OPT_UNKNOWN;
	case OPTION_TIMESTAMPS:
		return length == 10 ? OPT_TIMESTAMPS : OPT_UNKNOWN;
	case OPTION_MD5:
		return OPT_MD5;
	case OPTION_AO:
		return OPT_AO;
	case OPTION_MPTCP:
		return OPT_MPTCP;
	case OPTION_FAST_OPEN:
		return OPT_FAST_OPEN;
	default:
		return OPT_UNKNOWN;
	}
}

/* A byte of the received TCP header; the mask is for the verifier. */
static __always_inline u32 header_byte(const struct work *w, u32 at)
{
	barrier_var(at);
	return w->received[at & (HEADER_BYTES - 1)];
}

static __always_inline u32 header_word(const struct work *w, u32 at)
{
	return header_byte(w, at) << 24 | header_byte(w, at + 1) << 16 | header_byte(w, at + 2) << 8 |
	       header_byte(w, at + 3);
}

/* A bpf_loop's context lives on the stack; the work is what it leads to. */
struct option_walk {
	struct work *w;
};

#define OPTION_BAD (~0u)

/* Length of the option at `walk_at`, or OPTION_BAD; 1 for a NOP, which is passed by; 0 behind the last one. */
static __always_inline u32 option_length(struct work *w, u32 *kind)
{
	u32 at = w->walk_at;

	if (at >= w->header_length)
		return 0;
	*kind = header_byte(w, at);
	if (*kind == OPTION_END)
		return 0;
	if (*kind == OPTION_NOP) {
		w->walk_at = at + 1;
		return 1;
	}
	u32 length = at + 1 < w->header_length ? header_byte(w, at + 1) : 0;

	return length < 2 || at + length > w->header_length ? OPTION_BAD : length;
}

static long read_option(u64 index, void *context)
{
	struct work *w = ((struct option_walk *)context)->w;
	struct segment *s = &w->segment;
	u32 at = w->walk_at, kind = 0, length = option_length(w, &kind);

	if (length == OPTION_BAD)
		w->walk_bad = 1;
	if (length == 0 || length == OPTION_BAD)
		return 1;
	if (length == 1)
		return 0;
	u32 bit = option_bit(kind, length);

	w->walk_at = at + length;
	if (bit & OPT_SINGLE & s->options) {
		s->options |= OPT_UNKNOWN;
		return 0;
	}
	s->options |= bit;
	if (bit == OPT_TIMESTAMPS) {
		w->timestamps_at = at;
		s->tsval = header_word(w, at + 2);
		s->tsecr = header_word(w, at + 6);
	} else if (bit == OPT_MSS) {
		s->mss = header_byte(w, at + 2) << 8 | header_byte(w, at + 3);
	} else if (bit == OPT_SCALE) {
		s->scale = header_byte(w, at + 2);
	} else if (bit == OPT_SACK) {
		w->sack_at = at;
		w->sack_length = length;
		s->sack_count = (length - 2) >> 3;
		for (u32 i = 0; i < 4; i++) {
			if (i >= s->sack_count)
				break;
			s->sack_left[i] = header_word(w, at + 2 + 8 * i);
			s->sack_right[i] = header_word(w, at + 6 + 8 * i);
		}
	}
	return 0;
}

static __always_inline int parse_tcp(struct __sk_buff *skb, struct work *w)
{
	struct segment *s = &w->segment;
	u8 *h = w->received;

	if (w->l4 + TCP_HEADER > w->end)
		return FRAME_MALFORMED;
	if (bpf_skb_load_bytes(skb, w->l4, h, TCP_HEADER))
		return FRAME_MALFORMED;
	u32 length = (h[12] >> 4) * 4;

	if (length < TCP_HEADER || w->l4 + length > w->end)
		return FRAME_MALFORMED;
	w->header_length = length;
	u32 options = length - TCP_HEADER;

	barrier_var(options);
	if (options > 0 && options <= 40 && bpf_skb_load_bytes(skb, w->l4 + TCP_HEADER, h + TCP_HEADER, options))
		return FRAME_MALFORMED;
	w->tuple.ports = *(u32 *)h;
	__builtin_memset(s, 0, sizeof(*s));
	s->seq = read32(h + 4);
	s->ack = read32(h + 8);
	s->flags = h[13];
	s->window = read16(h + 14);
	s->urgent = read16(h + 18);
	s->payload_length = w->end - w->l4 - length;
	w->timestamps_at = 0;
	w->sack_at = 0;
	w->sack_length = 0;
	w->walk_bad = 0;
	if (length == 32 && *(u32 *)(h + 20) == bpf_htonl(0x0101080a)) {
		/* Two NOPs and timestamps, as nearly all segments have them. */
		s->options = OPT_TIMESTAMPS;
		w->timestamps_at = 22;
		s->tsval = read32(h + 24);
		s->tsecr = read32(h + 28);
	} else if (options > 0) {
		struct option_walk walk = { .w = w };

		w->walk_at = TCP_HEADER;
		bpf_loop(40, read_option, &walk, 0);
	}
	return FRAME_TCP;
}
