/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * ICMP and ICMPv6 errors about packets that the switch translated: they are for the end that sent the packet, and quote it as
 * that end knows it. src/wire/icmp-error.ts, src/flow/icmp.ts. All others are for whom they are addressed to.
 */
#pragma once

/* Ports and sequence number: what an error quotes of TCP at the least (RFC 792). */
#define QUOTED_TCP 8

static __always_inline int is_icmp_error(const struct work *w, u32 type)
{
	return w->is_ipv6 ? type >= 1 && type <= 4 : type == 3 || type == 11 || type == 12;
}

/* The offset of the TCP header that is quoted, by the IP header in front of it; 0 for none. Fills `w->quoted`'s addresses. */
static __always_inline u32 find_quoted_ipv4(struct __sk_buff *skb, struct work *w, u32 at)
{
	u8 *ip = w->chunk;

	if (at + IPV4_HEADER > w->end || bpf_skb_load_bytes(skb, at, ip, IPV4_HEADER))
		return 0;
	u32 header = (ip[0] & 15) * 4;

	if (ip[0] >> 4 != 4 || header < IPV4_HEADER || ip[9] != PROTOCOL_TCP || read16(ip + 6) & 0x1fff)
		return 0;
	w->quoted = w->tuple;
	w->quoted.source[3] = *(u32 *)(ip + 12);
	w->quoted.destination[3] = *(u32 *)(ip + 16);
	w->quoted_check = *(u16 *)(ip + 10);
	return at + header;
}

static __always_inline u32 find_quoted_ipv6(struct __sk_buff *skb, struct work *w, u32 at)
{
	u32 l4 = w->l4;
	u8 *ip = w->chunk;
	u8 *fragment = w->chunk;

	if (at + IPV6_HEADER > w->end || bpf_skb_load_bytes(skb, at, ip, IPV6_HEADER) || ip[0] >> 4 != 6)
		return 0;
	__builtin_memcpy(w->quoted.source, ip + 8, 32);
	if (is_mapped(w->quoted.source) || is_mapped(w->quoted.destination))
		return 0;
	struct walk walk = { .skb = skb, .w = w, .next = ip[6], .result = FRAME_TCP };

	/* The walk goes by `w->l4`. */
	w->l4 = at + IPV6_HEADER;
	if (walk.next != PROTOCOL_TCP)
		bpf_loop(MAX_EXTENSIONS + 1, read_extension, &walk, 0);
	u32 found = w->l4;

	w->l4 = l4;
	if (walk.result == FRAME_FRAGMENT) {
		if (bpf_skb_load_bytes(skb, found, fragment, 4) || read16(fragment + 2) & 0xfff8)
			return 0;
		walk.next = fragment[0];
		found += 8;
	} else if (walk.result != FRAME_TCP) {
		return 0;
	}
	return walk.next == PROTOCOL_TCP ? found : 0;
}

/* Whom an error is for that quotes `w->quoted`, and as what that end knows the packet; 0 if the shell sent it. */
static __noinline int find_target(struct work *w)
{
	int found = 0;

	if (find(w, &w->quoted))
		return 0;
	tuple_reverse(&w->reversed, &w->quoted);
	struct place *place = find(w, &w->reversed);

	if (!place)
		return 0;
	struct place at = *place;
	struct flow *f = flow_at(at.slot);
	u32 inner = at.inner & 1;

	if (!f)
		return 0;
	barrier_var(inner);
	inner &= 1;
	bpf_spin_lock(&f->lock);
	struct conn *x = &f->conn[inner];
	struct conn *y = &f->conn[inner ^ 1];

	if (is_used(f) && (u16)f->generation == at.generation && f->mode == MODE_DIRECT &&
	    tuple_equal(&x->tuple, &w->reversed)) {
		w->target = y->tuple;
		w->target_seq = bpf_htonl(bpf_ntohl(w->quoted_seq) - y->delta);
		found = 1;
	}
	bpf_spin_unlock(&f->lock);
	return found;
}

static __always_inline int is_icmp_checksum_right(struct __sk_buff *skb, struct work *w)
{
	u32 pseudo = w->is_ipv6 ? fold(pseudo_sum(&w->tuple, PROTOCOL_ICMPV6, w->end - w->l4)) : 0;

	return !sum_packet(skb, w, w->l4, w->end, pseudo) && (u16)fold(w->csum) == 0xffff;
}

/* Puts `w->target` in place of what the error quotes from `at` on, whose TCP header is at `tcp`. */
static __noinline int translate_quoted(struct __sk_buff *skb, struct work *w, u32 at, u32 tcp)
{
	const struct tuple *target = &w->target;
	u8 *from = w->present, *to = w->wanted;

	/* Ports and sequence number, then the addresses, then an IPv4 header's checksum: in the order of the difference only. */
	__builtin_memset(from, 0, HEADER_BYTES);
	__builtin_memset(to, 0, HEADER_BYTES);
	*(u32 *)from = w->quoted.ports;
	*(u32 *)(from + 4) = w->quoted_seq;
	*(u32 *)to = target->ports;
	*(u32 *)(to + 4) = w->target_seq;
	__builtin_memcpy(from + 8, w->quoted.source, 32);
	__builtin_memcpy(to + 8, target->source, 32);
	if (bpf_skb_store_bytes(skb, tcp, to, QUOTED_TCP, 0))
		return -1;
	if (w->is_ipv6) {
		if (bpf_skb_store_bytes(skb, at + 8, to + 8, 32, 0))
			return -1;
	} else {
		u32 ip[3] = { 0, target->source[3], target->destination[3] };
		u16 check = ~fold((u64)(u16)~w->quoted_check + (u32)~w->quoted.source[3] + ip[1] +
				  (u32)~w->quoted.destination[3] + ip[2]);

		*(u16 *)(from + 40) = w->quoted_check;
		*(u16 *)(to + 40) = check;
		if (bpf_skb_store_bytes(skb, at + 10, &check, 2, 0) || bpf_skb_store_bytes(skb, at + 12, ip + 1, 8, 0))
			return -1;
	}
	s64 diff = bpf_csum_diff((u32 *)from, HEADER_BYTES, (u32 *)to, HEADER_BYTES, 0);

	return bpf_l4_csum_replace(skb, w->l4 + ICMP_CHECKSUM, 0, diff, 0);
}

/* The error's own header: from the router that it comes from, to the far end. */
static __always_inline int readdress(struct __sk_buff *skb, struct work *w, const struct tuple *t)
{
	if (w->is_ipv6) {
		u8 hop_limit = w->ttl - 1;
		s64 diff = bpf_csum_diff(w->tuple.destination, 16, (u32 *)t->destination, 16, 0);

		return bpf_l4_csum_replace(skb, w->l4 + ICMP_CHECKSUM, 0, diff, BPF_F_PSEUDO_HDR | ipv6_flag) ||
		       bpf_skb_store_bytes(skb, w->l3 + 7, &hop_limit, 1, 0) ||
		       bpf_skb_store_bytes(skb, w->l3 + 24, t->destination, 16, 0);
	}
	u32 h[3] = { bpf_htonl((w->ttl - 1) << 24 | PROTOCOL_ICMP << 16), t->source[3], t->destination[3] };

	change_ip_check(w, w->present_ttl, h[0]);
	change_ip_check(w, w->tuple.destination[3], h[2]);
	h[0] |= bpf_htonl(bpf_ntohs(w->ip_check));
	return bpf_skb_store_bytes(skb, w->l3 + 8, h, 12, 0);
}

/* Returns what tc is told; TC_ACT_UNSPEC for what is the host's. */
static __noinline int receive_icmp(struct __sk_buff *skb, struct work *w)
{
	u32 at = w->l4 + ICMP_HEADER;
	u8 *h = w->chunk;

	if (at > w->end || bpf_skb_load_bytes(skb, w->l4, h, 1) || !is_icmp_error(w, h[0]))
		return TC_ACT_UNSPEC;
	u32 tcp = w->is_ipv6 ? find_quoted_ipv6(skb, w, at) : find_quoted_ipv4(skb, w, at);

	if (!tcp || tcp + QUOTED_TCP > w->end || bpf_skb_load_bytes(skb, tcp, h, QUOTED_TCP))
		return TC_ACT_UNSPEC;
	w->quoted.ports = *(u32 *)h;
	w->quoted_seq = *(u32 *)(h + 4);
	if (!find_target(w)) {
		/* Without a copy, an error about a shell's packet is the leader's. */
		if (shared && bpf_map_lookup_elem(&leaders, &w->ifindex) && concerns_shell(w, &w->quoted))
			return steer(skb, w, 0);
		return TC_ACT_UNSPEC;
	}
	if (!is_icmp_checksum_right(skb, w) || w->ttl <= 1)
		return TC_ACT_UNSPEC;
	/* Behind this point the packet is the switch's. */
	if (translate_quoted(skb, w, at, tcp))
		return TC_ACT_SHOT;
	__builtin_memcpy(w->target.destination, w->target.source, 16);
	__builtin_memcpy(w->target.source, w->tuple.source, 16);
	if (readdress(skb, w, &w->target))
		return TC_ACT_SHOT;
	count(COUNT_ICMP_TRANSLATED);
	return send(skb, w, &w->target, 0);
}
