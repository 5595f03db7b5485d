/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * Sends what the outbox holds. The packet at hand is edited into each output in turn, least destructive first: whole
 * segments, then those with less payload, then segments that the switch makes. All but the last leave as clones.
 *
 * Checksums: a packet of a local sender has a partial one (CHECKSUM_PARTIAL: the field holds the folded sum of the
 * pseudo-header, the interface does the rest). `bpf_l4_csum_replace` without BPF_F_PSEUDO_HDR leaves such a field alone, with
 * it both kinds are kept right.
 */
#pragma once

#define HOP_LIMIT 64
#define AF_INET 2
#define AF_INET6 10
#define TCP_CHECKSUM 16

static __always_inline u32 fold(u64 sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

/* The pseudo-header's sum for a TCP segment of `length` bytes, as network-order halves. */
static __always_inline u64 pseudo_sum(const struct tuple *t, u32 length)
{
	u64 sum = bpf_htons(6);

	if (tuple_is_ipv4(t)) {
		sum += t->source[3];
		sum += t->destination[3];
		sum += bpf_htons(length & 0xffff);
	} else {
		for (int i = 0; i < 4; i++) {
			sum += t->source[i];
			sum += t->destination[i];
		}
		sum += bpf_htonl(length);
	}
	return sum;
}

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
	u32 at = w->walk_at;

	if (at >= w->header_length)
		return 1;
	u32 kind = header_byte(w, at);

	if (kind == OPTION_END)
		return 1;
	if (kind == OPTION_NOP) {
		w->walk_at = at + 1;
		return 0;
	}
	u32 length = at + 1 < w->header_length ? header_byte(w, at + 1) : 0;

	if (length < 2 || at + length > w->header_length)
		return 1;
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

static __always_inline int store_addresses(struct __sk_buff *skb, struct work *w, const struct tuple *t)
{
	s64 diff;

	if (!w->is_ipv6) {
		u32 from[4] = { w->present_tuple.source[3], w->present_tuple.destination[3], 0, 0 };
		u32 to[4] = { t->source[3], t->destination[3], 0, 0 };
		u8 ttl[2];

		if (bpf_skb_load_bytes(skb, w->l3 + 8, ttl, 2))
			return -1;
		from[2] = (u32)ttl[0];
		to[2] = (u32)(ttl[0] - !w->ttl_done);
		diff = bpf_csum_diff(from, 8, to, 8, 0);
		if (bpf_l4_csum_replace(skb, w->l4 + TCP_CHECKSUM, 0, diff, BPF_F_PSEUDO_HDR))
			return -1;
		diff = bpf_csum_diff(from, 12, to, 12, 0);
		if (bpf_l3_csum_replace(skb, w->l3 + 10, 0, diff, 0) ||
		    bpf_skb_store_bytes(skb, w->l3 + 12, to, 8, 0))
			return -1;
		if (!w->ttl_done) {
			ttl[0] -= 1;
			if (bpf_skb_store_bytes(skb, w->l3 + 8, ttl, 1, 0))
				return -1;
		}
	} else {
		diff = bpf_csum_diff(w->present_tuple.source, 32, (u32 *)t->source, 32, 0);
		if (bpf_l4_csum_replace(skb, w->l4 + TCP_CHECKSUM, 0, diff, BPF_F_PSEUDO_HDR | ipv6_flag))
			return -1;
		if (bpf_skb_store_bytes(skb, w->l3 + 8, t->source, 32, 0))
			return -1;
		if (!w->ttl_done) {
			u8 ttl = w->ttl - 1;

			if (bpf_skb_store_bytes(skb, w->l3 + 7, &ttl, 1, 0))
				return -1;
		}
	}
	w->ttl_done = 1;
	w->present_tuple = *t;
	return 0;
}

static long add_chunk(u64 index, void *context)
{
	struct walk *walk = context;
	struct work *w = walk->w;
	u32 left = walk->next - w->csum_at;

	if (left == 0 || left > 65535)
		return 1;
	if (left > 512)
		left = 512;
	barrier_var(left);
	if (left < 1 || left > 512)
		return 1;
	__builtin_memset(w->chunk, 0, sizeof(w->chunk));
	if (bpf_skb_load_bytes(walk->skb, w->csum_at, w->chunk, left)) {
		walk->result = 1;
		return 1;
	}
	w->csum = (u32)bpf_csum_diff(0, 0, (u32 *)w->chunk, 512, w->csum);
	w->csum_at += left;
	return 0;
}

/* Cuts the payload to `length` bytes, and makes the checksum anew. The headers stand in the packet already. */
static __always_inline int trim(struct __sk_buff *skb, struct work *w, const struct tuple *t, u32 length)
{
	u32 end = w->l4 + w->header_length + length;

	if (bpf_skb_change_tail(skb, end, 0))
		return -1;
	if (!w->is_ipv6) {
		u16 old;
		u16 total = bpf_htons(end - w->l3);

		if (bpf_skb_load_bytes(skb, w->l3 + 2, &old, 2) ||
		    bpf_l3_csum_replace(skb, w->l3 + 10, old, total, 2) ||
		    bpf_skb_store_bytes(skb, w->l3 + 2, &total, 2, 0))
			return -1;
	} else {
		u16 payload = bpf_htons(end - w->l3 - IPV6_HEADER);

		if (bpf_skb_store_bytes(skb, w->l3 + 4, &payload, 2, 0))
			return -1;
	}
	w->end = end;
	w->trimmed = 1;
	u32 sum = fold(pseudo_sum(t, end - w->l4));
	u16 check = sum;

	if (!w->partial) {
		u16 zero = 0;
		struct walk walk = { .skb = skb, .w = w, .next = end };

		if (bpf_skb_store_bytes(skb, w->l4 + TCP_CHECKSUM, &zero, 2, 0))
			return -1;
		w->csum = sum;
		w->csum_at = w->l4;
		bpf_loop(160, add_chunk, &walk, 0);
		if (walk.result)
			return -1;
		check = ~fold(w->csum);
	}
	*(u16 *)(w->wanted + TCP_CHECKSUM) = check;
	return bpf_skb_store_bytes(skb, w->l4 + TCP_CHECKSUM, &check, 2, 0);
}

static __noinline int make_edited(struct __sk_buff *skb, struct work *w, struct emission *e)
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
	return bpf_skb_load_bytes(skb, w->l4 + TCP_CHECKSUM, w->present + TCP_CHECKSUM, 2);
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
	u64 sum = fold(pseudo_sum(&e->tuple, tcp));

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

/* In the test build: keeps a copy of the packet in place of sending it. */
static __always_inline void keep_for_test(struct __sk_buff *skb, struct work *w)
{
	u32 i = test_count;
	struct test_packet *kept = bpf_map_lookup_elem(&test_packets, &i);
	u32 length = w->end - w->l3;

	if (!kept)
		return;
	test_count = i + 1;
	kept->length = length;
	barrier_var(length);
	if (length > 0 && length <= TEST_BYTES)
		bpf_skb_load_bytes(skb, w->l3, kept->bytes, length);
}

/* Sends the packet as it stands: a clone of it, or as the last one itself. Returns what tc is told. */
static __noinline int send(struct __sk_buff *skb, struct work *w, const struct tuple *t, int as_clone)
{
	struct bpf_fib_lookup *fib = &w->fib;
	u32 size = w->end - w->l3;
	u32 flags = as_clone ? 0 : BPF_FIB_LOOKUP_SKIP_NEIGH;

	if (testing) {
		keep_for_test(skb, w);
		return TC_ACT_SHOT;
	}
	__builtin_memset(fib, 0, sizeof(*fib));
	fib->l4_protocol = 6;
	fib->ifindex = w->ifindex;
	fib->tot_len = skb->gso_size && !w->trimmed ? w->l4 + w->header_length - w->l3 + skb->gso_size : size;
	if (w->is_ipv6) {
		fib->family = AF_INET6;
		__builtin_memcpy(fib->ipv6_src, t->source, 16);
		__builtin_memcpy(fib->ipv6_dst, t->destination, 16);
	} else {
		fib->family = AF_INET;
		fib->ipv4_src = t->source[3];
		fib->ipv4_dst = t->destination[3];
	}
	long rc = bpf_fib_lookup(skb, fib, sizeof(*fib), flags);

	if (rc == BPF_FIB_LKUP_RET_SUCCESS && !as_clone) {
		struct bpf_redir_neigh next = {};

		next.nh_family = fib->family;
		__builtin_memcpy(next.ipv6_nh, fib->ipv6_dst, 16);
		return bpf_redirect_neigh(fib->ifindex, &next, sizeof(next), 0);
	}
	if (rc == BPF_FIB_LKUP_RET_SUCCESS) {
		u8 macs[12];

		__builtin_memcpy(macs, fib->dmac, 6);
		__builtin_memcpy(macs + 6, fib->smac, 6);
		if (bpf_skb_store_bytes(skb, 0, macs, 12, 0) || bpf_clone_redirect(skb, fib->ifindex, 0))
			count(COUNT_SEND_FAILED);
		return TC_ACT_SHOT;
	}
	if (rc == BPF_FIB_LKUP_RET_FRAG_NEEDED)
		count(COUNT_TOO_BIG);
	else if (rc == BPF_FIB_LKUP_RET_NO_NEIGH)
		count(COUNT_NO_NEIGHBOUR);
	else
		count(COUNT_NO_ROUTE);
	return TC_ACT_SHOT;
}

/* Which of three rounds an emission belongs to. */
static __always_inline u32 round_of(const struct work *w, const struct emission *e)
{
	if (e->made)
		return 2;
	return e->segment.payload_length == w->segment.payload_length ? 0 : 1;
}

struct sending {
	struct __sk_buff *skb;
	struct work *w;
	u32 left;
	u32 all_as_clones;
	int action;
};

static long send_one(u64 index, void *context)
{
	struct sending *sending = context;
	struct __sk_buff *skb = sending->skb;
	struct work *w = sending->w;
	u32 i = index & (MAX_OUT - 1);
	struct emission *e = &w->out[i];
	int failed;

	if (i >= w->out_count || round_of(w, e) != index / MAX_OUT)
		return 0;
	w->last = i;
	count(e->made ? COUNT_MADE : COUNT_TRANSLATED);
	failed = e->made ? make_bare(skb, w, e) : make_edited(skb, w, e);
	sending->left -= 1;
	if (failed)
		count(COUNT_SEND_FAILED);
	else
		sending->action = send(skb, w, &e->tuple, sending->left > 0 || sending->all_as_clones);
	return failed || sending->left == 0;
}

/* Sends the outbox; `all_as_clones` where the packet at hand is not to leave by itself. */
static __noinline int send_all(struct __sk_buff *skb, struct work *w, u32 all_as_clones)
{
	struct sending sending = { .skb = skb, .w = w, .left = w->out_count, .action = TC_ACT_SHOT };

	sending.all_as_clones = all_as_clones;
	if (w->out_count == 0)
		return TC_ACT_SHOT;
	if (w->out_count == 1)
		send_one((u64)round_of(w, &w->out[0]) * MAX_OUT, &sending);
	else
		bpf_loop(3 * MAX_OUT, send_one, &sending, 0);
	return sending.action;
}
