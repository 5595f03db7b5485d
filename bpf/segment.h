/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/* Sequence numbers (RFC 9293 section 3.4), flags and options, as in src/wire/seq.ts and segment.ts. */
#pragma once

#define FLAG_FIN 0x01
#define FLAG_SYN 0x02
#define FLAG_RST 0x04
#define FLAG_PSH 0x08
#define FLAG_ACK 0x10
#define FLAG_URG 0x20
#define FLAG_ECE 0x40
#define FLAG_CWR 0x80

#define OPT_MSS 0x001
#define OPT_SCALE 0x002
#define OPT_SACK_PERMITTED 0x004
#define OPT_SACK 0x008
#define OPT_TIMESTAMPS 0x010
#define OPT_FAST_OPEN 0x020
#define OPT_MPTCP 0x040
#define OPT_MD5 0x080
#define OPT_AO 0x100
#define OPT_UNKNOWN 0x200
/* A second one in the same header is not one to understand. */
#define OPT_SINGLE (OPT_MSS | OPT_SCALE | OPT_SACK | OPT_TIMESTAMPS)

static __always_inline s32 seq_diff(u32 a, u32 b)
{
	return (s32)(a - b);
}

static __always_inline u32 seq_max(u32 a, u32 b)
{
	return seq_diff(a, b) >= 0 ? a : b;
}

static __always_inline u32 seq_min(u32 a, u32 b)
{
	return seq_diff(a, b) <= 0 ? a : b;
}

static __always_inline u32 seg_length(const struct segment *s)
{
	return s->payload_length + !!(s->flags & FLAG_SYN) + !!(s->flags & FLAG_FIN);
}

static __always_inline u32 seg_end(const struct segment *s)
{
	return s->seq + seg_length(s);
}

static __always_inline void tuple_reverse(struct tuple *to, const struct tuple *from)
{
	for (int i = 0; i < 4; i++) {
		to->source[i] = from->destination[i];
		to->destination[i] = from->source[i];
	}
	to->ports = (from->ports << 16) | (from->ports >> 16);
}

static __always_inline int addresses_equal(const struct tuple *a, const struct tuple *b)
{
	u32 differ = 0;

	for (int i = 0; i < 4; i++)
		differ |= (a->source[i] ^ b->source[i]) | (a->destination[i] ^ b->destination[i]);
	return differ == 0;
}

static __always_inline int tuple_equal(const struct tuple *a, const struct tuple *b)
{
	return a->ports == b->ports && addresses_equal(a, b);
}

#define MAPPED_WORD bpf_htonl(0xffff)

static __always_inline int tuple_is_ipv4(const struct tuple *t)
{
	return t->source[0] == 0 && t->source[1] == 0 && t->source[2] == MAPPED_WORD;
}

static __always_inline u32 mix(u32 a, u32 b)
{
	u32 x = (a ^ (b >> 15) ^ b) * 0x85ebca6b;

	x ^= x >> 13;
	x *= 0xc2b2ae35;
	return x ^ (x >> 16);
}

/* IPv4: exact. IPv6: a mix; whoever finds a record compares the tuple. */
static __always_inline void key_of(struct key *key, const struct tuple *t)
{
	if (tuple_is_ipv4(t)) {
		key->word[0] = t->source[3];
		key->word[1] = t->destination[3];
		key->word[2] = t->ports;
		key->word[3] = 4;
		return;
	}
	u32 x = mix(t->source[0], t->source[1]);

	x = mix(x ^ t->source[2], t->source[3]);
	u32 y = mix(t->destination[0] ^ x, t->destination[1]);

	y = mix(y ^ t->destination[2], t->destination[3]);
	key->word[0] = x;
	key->word[1] = y;
	key->word[2] = t->ports;
	key->word[3] = 6 | (mix(x ^ t->source[3], y ^ t->destination[3]) << 8);
}
