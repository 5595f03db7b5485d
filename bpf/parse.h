/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * From a frame to `work.tuple` and `work.segment`: Ethernet, IPv4 with options, IPv6 with extension headers, TCP with its
 * options to their end. As src/wire/frame.ts and tcp.ts do it; what they leave to the host is left here too.
 */
#pragma once

enum { FRAME_TCP, FRAME_FRAGMENT, FRAME_OTHER, FRAME_MALFORMED, FRAME_ICMP, FRAME_UDP };

#define ETHERNET_HEADER 14
#define IPV4_HEADER 20
#define IPV6_HEADER 40
#define TCP_HEADER 20
#define MAX_EXTENSIONS 8
#define VLAN_ID_MASK 0x0fff

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

static __always_inline u16 read16(const u8 *at)
{
	return (u16)at[0] << 8 | at[1];
}

static __always_inline u32 read32(const u8 *at)
{
	return (u32)at[0] << 24 | (u32)at[1] << 16 | (u32)at[2] << 8 | at[3];
}

static __always_inline void write16(u8 *at, u32 value)
{
	at[0] = value >> 8;
	at[1] = value;
}

static __always_inline void write32(u8 *at, u32 value)
{
	at[0] = value >> 24;
	at[1] = value >> 16;
	at[2] = value >> 8;
	at[3] = value;
}

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

static __always_inline int parse_ipv4(struct __sk_buff *skb, struct work *w)
{
	u8 ip[IPV4_HEADER];

	if (bpf_skb_load_bytes(skb, w->l3, ip, IPV4_HEADER))
		return FRAME_MALFORMED;
	u32 header = (ip[0] & 15) * 4;
	u32 total = read16(ip + 2);

	if (ip[0] >> 4 != 4 || header < IPV4_HEADER || total < header || w->l3 + total > skb->len)
		return FRAME_MALFORMED;
	w->l4 = w->l3 + header;
	w->end = w->l3 + total;
	w->ttl = ip[8];
	w->present_ttl = bpf_htonl((u32)ip[8] << 24 | (u32)ip[9] << 16);
	w->ip_check = *(u16 *)(ip + 10);
	w->may_fragment = !(ip[6] & 0x40);
	w->tuple.source[0] = w->tuple.source[1] = 0;
	w->tuple.destination[0] = w->tuple.destination[1] = 0;
	w->tuple.source[2] = w->tuple.destination[2] = MAPPED_WORD;
	w->tuple.source[3] = *(u32 *)(ip + 12);
	w->tuple.destination[3] = *(u32 *)(ip + 16);
	if (read16(ip + 6) & 0x3fff)
		return FRAME_FRAGMENT;
	if (ip[9] == 1)
		return FRAME_ICMP;
	if (ip[9] == 17)
		return FRAME_UDP;
	return ip[9] == 6 ? parse_tcp(skb, w) : FRAME_OTHER;
}

struct walk {
	struct __sk_buff *skb;
	struct work *w;
	u32 next;
	u32 result;
};

/* One extension header (RFC 8200 section 4). */
static long read_extension(u64 index, void *context)
{
	struct walk *walk = context;
	struct work *w = walk->w;
	u32 next = walk->next;
	u8 header[4];

	if (next != 0 && next != 43 && next != 44 && next != 60)
		return 1;
	walk->result = FRAME_OTHER;
	if (index == MAX_EXTENSIONS)
		return 1;
	walk->result = FRAME_MALFORMED;
	if (w->l4 + 8 > w->end || (next == 0 && index > 0))
		return 1;
	if (bpf_skb_load_bytes(walk->skb, w->l4, header, 4))
		return 1;
	if (next == 44) {
		walk->result = FRAME_FRAGMENT;
		return 1;
	}
	u32 length = (header[1] + 1) * 8;

	if (w->l4 + length > w->end)
		return 1;
	walk->result = FRAME_OTHER;
	if (next == 43 && header[3] != 0)
		return 1;
	walk->next = header[0];
	w->l4 += length;
	walk->result = FRAME_TCP;
	return 0;
}

static __always_inline int is_mapped(const u32 *address)
{
	return address[0] == 0 && address[1] == 0 && address[2] == MAPPED_WORD;
}

static __always_inline int parse_ipv6(struct __sk_buff *skb, struct work *w)
{
	u8 ip[IPV6_HEADER];

	if (bpf_skb_load_bytes(skb, w->l3, ip, IPV6_HEADER))
		return FRAME_MALFORMED;
	u32 payload = read16(ip + 4);

	if (ip[0] >> 4 != 6)
		return FRAME_MALFORMED;
	/* A jumbogram (RFC 2675 section 3). */
	if (payload == 0 && ip[6] == 0)
		return FRAME_OTHER;
	w->l4 = w->l3 + IPV6_HEADER;
	w->end = w->l4 + payload;
	if (w->end > skb->len)
		return FRAME_MALFORMED;
	w->ttl = ip[7];
	w->may_fragment = 0;
	for (int i = 0; i < 4; i++) {
		w->tuple.source[i] = *(u32 *)(ip + 8 + 4 * i);
		w->tuple.destination[i] = *(u32 *)(ip + 24 + 4 * i);
	}
	struct walk walk = { .skb = skb, .w = w, .next = ip[6], .result = FRAME_TCP };

	if (walk.next != 6)
		bpf_loop(MAX_EXTENSIONS + 1, read_extension, &walk, 0);
	if (walk.result != FRAME_TCP)
		return walk.result;
	/* In a tuple such an address would be the IPv4 one. */
	if (is_mapped(w->tuple.source) || is_mapped(w->tuple.destination))
		return FRAME_OTHER;
	if (walk.next == 58)
		return FRAME_ICMP;
	if (walk.next == 17)
		return FRAME_UDP;
	return walk.next == 6 ? parse_tcp(skb, w) : FRAME_OTHER;
}

static __noinline int parse_frame(struct __sk_buff *skb, struct work *w)
{
	/* A tagged frame belongs to an interface of its own, where it comes by again without its tag. */
	if (skb->vlan_present) {
		if (skb->vlan_tci & VLAN_ID_MASK)
			return FRAME_OTHER;
		/* A priority tag names no VLAN: the host takes such a frame as one without. */
		if (bpf_skb_vlan_pop(skb))
			return FRAME_OTHER;
	}
	w->l3 = ETHERNET_HEADER;
	if (skb->protocol == bpf_htons(0x0800)) {
		w->is_ipv6 = 0;
		return parse_ipv4(skb, w);
	}
	if (skb->protocol != bpf_htons(0x86dd))
		return FRAME_OTHER;
	w->is_ipv6 = 1;
	return parse_ipv6(skb, w);
}
