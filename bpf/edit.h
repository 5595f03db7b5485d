/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * Edits the packet at hand into an output of the outbox: the received packet with other numbers, or with less payload, or
 * a bare segment in its place.
 *
 * Checksums: a packet of a local sender has a partial one (CHECKSUM_PARTIAL: the field holds the folded sum of the
 * pseudo-header, the interface does the rest). `bpf_l4_csum_replace` without BPF_F_PSEUDO_HDR leaves such a field alone, with
 * it both kinds are kept right.
 */
#pragma once

#define HOP_LIMIT 64
#define TCP_CHECKSUM 16

static __always_inline u32 wanted_byte_at(u32 at)
{
	barrier_var(at);
	return at & (HEADER_BYTES - 1);
}

static __always_inline void put(struct work *w, u32 at, u32 byte)
{
	w->wanted[wanted_byte_at(at)] = byte;
}

static __always_inline void put_word(struct work *w, u32 at, u32 value)
{
	put(w, at, value >> 24);
	put(w, at + 1, value >> 16);
	put(w, at + 2, value >> 8);
	put(w, at + 3, value);
}

/* Options that were taken out become NOPs; the MSS may be another. */
static long write_option(u64 index, void *context)
{
	struct work *w = ((struct option_walk *)context)->w;
	u32 at = w->walk_at, kind = 0, length = option_length(w, &kind);

	if (length == 0 || length == OPTION_BAD)
		return 1;
	if (length == 1)
		return 0;
	u32 bit = option_bit(kind, length);
	/* `unused` of the emission holds the options seen so far. */
	struct emission *e = &w->out[w->last & (MAX_OUT - 1)];
	u32 repeated = bit & OPT_SINGLE & e->unused;
	u32 wanted = repeated ? bit | OPT_UNKNOWN : bit;

	e->unused |= bit;
	w->walk_at = at + length;
	if ((e->segment.options & wanted) != wanted) {
		for (u32 i = 0; i < 40; i++) {
			if (i >= length)
				break;
			put(w, at + i, OPTION_NOP);
		}
	} else if (!repeated && bit == OPT_MSS) {
		put(w, at + 2, e->segment.mss >> 8);
		put(w, at + 3, e->segment.mss);
	}
	return 0;
}

static __always_inline void write_sack(struct work *w, const struct segment *s)
{
	u32 held = (w->sack_length - 2) >> 3;
	u32 at = w->sack_at;
	u32 kept = s->options & OPT_SACK ? s->sack_count : 0;

	if (kept < held) {
		u32 from = kept == 0 ? 0 : 2 + 8 * kept;

		if (kept)
			put(w, at + 1, 2 + 8 * kept);
		for (u32 i = 0; i < 34; i++) {
			if (i >= w->sack_length)
				break;
			if (i >= from)
				put(w, at + i, OPTION_NOP);
		}
	}
	for (u32 i = 0; i < 4; i++) {
		if (i >= kept)
			break;
		put_word(w, at + 2 + 8 * i, s->sack_left[i]);
		put_word(w, at + 6 + 8 * i, s->sack_right[i]);
	}
}

/* The received header with the emission's values; the checksum as it stands in the packet. */
static __always_inline void write_edited(struct work *w, struct emission *e)
{
	const struct segment *s = &e->segment;

	__builtin_memcpy(w->wanted, w->received, HEADER_BYTES);
	*(u32 *)w->wanted = e->tuple.ports;
	write32(w->wanted + 4, s->seq);
	write32(w->wanted + 8, s->ack);
	w->wanted[13] = s->flags;
	write16(w->wanted + 14, s->window);
	*(u16 *)(w->wanted + TCP_CHECKSUM) = *(u16 *)(w->present + TCP_CHECKSUM);
	/* Of a second option of one kind, `timestamps_at` and `sack_at` know nothing. */
	if (w->segment.flags & FLAG_SYN || w->segment.options & OPT_UNKNOWN) {
		struct option_walk walk = { .w = w };

		e->unused = 0;
		w->walk_at = TCP_HEADER;
		bpf_loop(40, write_option, &walk, 0);
	}
	if (w->segment.flags & FLAG_SYN)
		return;
	if (w->timestamps_at) {
		put_word(w, w->timestamps_at + 2, s->tsval);
		put_word(w, w->timestamps_at + 6, s->tsecr);
	}
	if (w->sack_at)
		write_sack(w, s);
}

/* The packet as it came, before the first edit. */
static __always_inline void begin_edits(struct work *w)
{
	__builtin_memcpy(w->present, w->received, HEADER_BYTES);
	w->present_tuple = w->tuple;
	w->partial = *(u16 *)(w->received + TCP_CHECKSUM) == (u16)fold(pseudo_sum(&w->tuple, PROTOCOL_TCP, w->end - w->l4));
}

/* RFC 1624 equation 3. */
static __always_inline void change_ip_check(struct work *w, u32 from, u32 to)
{
	w->ip_check = ~fold((u64)(u16)~w->ip_check + (u32)~from + to);
}

/* The IPv4 header from its TTL to its end, or from an IPv6 header's hop limit: one write for what changes there. */
static __always_inline int store_ip(struct __sk_buff *skb, struct work *w, const struct tuple *t)
{
	u32 ttl = w->ttl - 1;

	if (w->is_ipv6) {
		u8 *h = w->chunk;

		h[0] = ttl;
		__builtin_memcpy(h + 1, t->source, 32);
		return bpf_skb_store_bytes(skb, w->l3 + 7, h, 33, 0);
	}
	u32 h[3] = { bpf_htonl(ttl << 24 | PROTOCOL_TCP << 16), t->source[3], t->destination[3] };

	change_ip_check(w, w->present_ttl, h[0]);
	change_ip_check(w, w->present_tuple.source[3], h[1]);
	change_ip_check(w, w->present_tuple.destination[3], h[2]);
	w->present_ttl = h[0];
	h[0] |= bpf_htonl(bpf_ntohs(w->ip_check));
	return bpf_skb_store_bytes(skb, w->l3 + 8, h, 12, 0);
}

static __always_inline int store_addresses(struct __sk_buff *skb, struct work *w, const struct tuple *t)
{
	s64 diff;

	if (w->is_ipv6) {
		diff = bpf_csum_diff(w->present_tuple.source, 32, (u32 *)t->source, 32, 0);
	} else {
		u32 from[2] = { w->present_tuple.source[3], w->present_tuple.destination[3] };
		u32 to[2] = { t->source[3], t->destination[3] };

		diff = bpf_csum_diff(from, 8, to, 8, 0);
	}
	if (bpf_l4_csum_replace(skb, w->l4 + TCP_CHECKSUM, 0, diff,
				BPF_F_PSEUDO_HDR | (w->is_ipv6 ? ipv6_flag : 0)) ||
	    store_ip(skb, w, t))
		return -1;
	w->present_tuple = *t;
	return 0;
}

/* Cuts the payload to `length` bytes, and makes the checksum anew. The headers stand in the packet already. */
static __always_inline int trim(struct __sk_buff *skb, struct work *w, const struct tuple *t, u32 length)
{
	u32 end = w->l4 + w->header_length + length;

	if (bpf_skb_change_tail(skb, end, 0))
		return -1;
	if (!w->is_ipv6) {
		u16 total = bpf_htons(end - w->l3);

		change_ip_check(w, bpf_htons(w->end - w->l3), total);
		if (bpf_skb_store_bytes(skb, w->l3 + 2, &total, 2, 0) ||
		    bpf_skb_store_bytes(skb, w->l3 + 10, &w->ip_check, 2, 0))
			return -1;
	} else {
		u16 payload = bpf_htons(end - w->l3 - IPV6_HEADER);

		if (bpf_skb_store_bytes(skb, w->l3 + 4, &payload, 2, 0))
			return -1;
	}
	w->end = end;
	w->trimmed = 1;
	u32 sum = fold(pseudo_sum(t, PROTOCOL_TCP, end - w->l4));
	u16 check = sum;

	if (!w->partial) {
		u16 zero = 0;

		if (bpf_skb_store_bytes(skb, w->l4 + TCP_CHECKSUM, &zero, 2, 0))
			return -1;
		if (sum_packet(skb, w, w->l4, end, sum))
			return -1;
		check = ~fold(w->csum);
	}
	*(u16 *)(w->wanted + TCP_CHECKSUM) = check;
	return bpf_skb_store_bytes(skb, w->l4 + TCP_CHECKSUM, &check, 2, 0);
}

/* `more`: others are made of this packet after this one. */
static __noinline int make_edited(struct __sk_buff *skb, struct work *w, struct emission *e, int more)
{
	u32 length = w->header_length;

	if (length < TCP_HEADER || length > 60)
		return -1;
	write_edited(w, e);
	s64 diff = bpf_csum_diff((u32 *)w->present, HEADER_BYTES, (u32 *)w->wanted, HEADER_BYTES, 0);

	barrier_var(length);
	if (length < TCP_HEADER || length > 60)
		return -1;
	if (bpf_skb_store_bytes(skb, w->l4, w->wanted, length, 0) ||
	    bpf_l4_csum_replace(skb, w->l4 + TCP_CHECKSUM, 0, diff, 0) || store_addresses(skb, w, &e->tuple))
		return -1;
	__builtin_memcpy(w->present, w->wanted, HEADER_BYTES);
	if (e->segment.payload_length != w->end - w->l4 - w->header_length) {
		if (trim(skb, w, &e->tuple, e->segment.payload_length))
			return -1;
	}
	return more ? bpf_skb_load_bytes(skb, w->l4 + TCP_CHECKSUM, w->present + TCP_CHECKSUM, 2) : 0;
}

/* A bare segment of the switch's own in place of the packet at hand: src/wire/build.ts. */
static __noinline int make_bare(struct __sk_buff *skb, struct work *w, const struct emission *e)
{
	const struct segment *s = &e->segment;
	u32 base = w->is_ipv6 ? IPV6_HEADER : IPV4_HEADER;
	u32 extra = w->l4 - w->l3 - base;
	u32 tcp = s->options & OPT_TIMESTAMPS ? 32 : 20;
	u8 *h = w->wanted;

	if (extra) {
		if (bpf_skb_adjust_room(skb, -(s32)extra, BPF_ADJ_ROOM_NET, BPF_F_ADJ_ROOM_FIXED_GSO))
			return -1;
		w->l4 = w->l3 + base;
	}
	w->end = w->l4 + tcp;
	if (bpf_skb_change_tail(skb, w->end, 0))
		return -1;
	__builtin_memset(h, 0, HEADER_BYTES);
	*(u32 *)h = e->tuple.ports;
	write32(h + 4, s->seq);
	write32(h + 8, s->ack);
	h[12] = (tcp / 4) << 4;
	h[13] = s->flags;
	write16(h + 14, s->window);
	if (tcp == 32) {
		*(u32 *)(h + 20) = bpf_htonl(0x0101080a);
		write32(h + 24, s->tsval);
		write32(h + 28, s->tsecr);
	}
	u64 sum = fold(pseudo_sum(&e->tuple, PROTOCOL_TCP, tcp));

	if (w->partial) {
		*(u16 *)(h + TCP_CHECKSUM) = sum;
	} else {
		sum = (u32)bpf_csum_diff(0, 0, (u32 *)h, 32, sum);
		*(u16 *)(h + TCP_CHECKSUM) = ~fold(sum);
	}
	if (tcp == 32 ? bpf_skb_store_bytes(skb, w->l4, h, 32, 0) : bpf_skb_store_bytes(skb, w->l4, h, 20, 0))
		return -1;
	if (w->is_ipv6) {
		u32 ip[10] = { bpf_htonl(0x60000000), bpf_htonl(tcp << 16 | 6 << 8 | HOP_LIMIT) };

		__builtin_memcpy(ip + 2, e->tuple.source, 32);
		return bpf_skb_store_bytes(skb, w->l3, ip, IPV6_HEADER, 0);
	}
	u32 ip[5] = { bpf_htonl(0x45000000 | (IPV4_HEADER + tcp)), bpf_htonl(0x4000), bpf_htonl(HOP_LIMIT << 24 | 6 << 16),
		      e->tuple.source[3], e->tuple.destination[3] };

	sum = (u32)bpf_csum_diff(0, 0, ip, sizeof(ip), 0);
	ip[2] |= bpf_htonl((u16)bpf_ntohs((u16)~fold(sum)));
	return bpf_skb_store_bytes(skb, w->l3, ip, IPV4_HEADER, 0);
}
