/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * The answer to a packet that is too big for its way out: ICMP Fragmentation Needed (RFC 1191 section 4) or ICMPv6
 * Packet Too Big (RFC 4443 section 3.2), made of the packet itself. It quotes the packet as its sender knows it, and
 * comes from the address that the sender thinks it talks to, since the switch may have none that the sender can reach.
 */
#pragma once

#define ICMP_HEADER 8
#define ICMP_CHECKSUM 2
/* Headers in front of TCP that are quoted at the most. */
#define MAX_QUOTED 128

/*
 * A value for the checksum field of the quoted TCP header that an interface which completes a partial checksum would
 * write there too, so that the ICMP checksum is right whoever does it: f = ~(f + rest), so f = -rest / 2 (mod 65535). What
 * is quoted of a TCP checksum is looked at by nobody (RFC 5508 REQ-3c).
 */
static __always_inline u16 settled_checksum(u32 rest)
{
	return (u64)(65535 - rest) * 32768 % 65535;
}

/* Under `w->reversed`, the tuple of what the switch says to the sender. */
static __noinline int make_too_big(struct __sk_buff *skb, struct work *w, u32 mtu)
{
	u32 base = w->is_ipv6 ? IPV6_HEADER : IPV4_HEADER;
	u32 quoted = w->l4 - w->l3 + TCP_HEADER;
	u8 *h = w->wanted;

	if (quoted > MAX_QUOTED || store_addresses(skb, w, &w->tuple))
		return -1;
	__builtin_memcpy(h, w->received, TCP_HEADER);
	*(u16 *)(h + TCP_CHECKSUM) = 0;
	*(u16 *)(h + TCP_CHECKSUM) = settled_checksum(fold((u32)bpf_csum_diff(0, 0, (u32 *)h, TCP_HEADER, 0)));
	if (bpf_skb_store_bytes(skb, w->l4, h, TCP_HEADER, 0) ||
	    bpf_skb_change_tail(skb, w->l4 + TCP_HEADER, 0) ||
	    bpf_skb_adjust_room(skb, base + ICMP_HEADER, BPF_ADJ_ROOM_MAC, BPF_F_ADJ_ROOM_FIXED_GSO))
		return -1;
	w->l4 = w->l3 + base;
	w->end = w->l4 + ICMP_HEADER + quoted;
	tuple_reverse(&w->reversed, &w->tuple);

	u32 length = w->end - w->l4;
	/* On the stack there is no room. */
	u32 *ip = (u32 *)w->chunk;
	u32 icmp[2] = { bpf_htonl(w->is_ipv6 ? 2 << 24 : 3 << 24 | 4 << 16), bpf_htonl(mtu) };
	u32 pseudo = 0;

	if (w->is_ipv6) {
		ip[0] = bpf_htonl(0x60000000);
		ip[1] = bpf_htonl(length << 16 | PROTOCOL_ICMPV6 << 8 | HOP_LIMIT);
		__builtin_memcpy(ip + 2, w->reversed.source, 32);
		pseudo = fold(pseudo_sum(&w->reversed, PROTOCOL_ICMPV6, length));
		if (bpf_skb_store_bytes(skb, w->l3, ip, IPV6_HEADER, 0))
			return -1;
	} else {
		/* Precedence "internetwork control" (RFC 1812 section 4.3.2.5). */
		ip[0] = bpf_htonl(0x45c00000 | (w->end - w->l3));
		ip[1] = 0;
		ip[2] = bpf_htonl(HOP_LIMIT << 24 | PROTOCOL_ICMP << 16);
		ip[3] = w->reversed.source[3];
		ip[4] = w->reversed.destination[3];
		u32 sum = (u32)bpf_csum_diff(0, 0, ip, IPV4_HEADER, 0);

		ip[2] |= bpf_htonl((u16)bpf_ntohs((u16)~fold(sum)));
		if (bpf_skb_store_bytes(skb, w->l3, ip, IPV4_HEADER, 0))
			return -1;
	}
	barrier_var(length);
	if (length < ICMP_HEADER || length > ICMP_HEADER + MAX_QUOTED)
		return -1;
	__builtin_memset(w->chunk, 0, ICMP_HEADER + MAX_QUOTED);
	if (bpf_skb_store_bytes(skb, w->l4, icmp, ICMP_HEADER, 0) || bpf_skb_load_bytes(skb, w->l4, w->chunk, length))
		return -1;
	u16 check = ~fold((u32)bpf_csum_diff(0, 0, (u32 *)w->chunk, ICMP_HEADER + MAX_QUOTED, pseudo));

	return bpf_skb_store_bytes(skb, w->l4 + ICMP_CHECKSUM, &check, 2, 0);
}
