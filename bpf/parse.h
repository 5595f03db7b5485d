/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * From a frame to `work.tuple` and, by tcp.h, `work.segment`: Ethernet, IPv4 with options, IPv6 with extension headers. As
 * src/wire/frame.ts does it; what that leaves to the host is left here too.
 */
#pragma once

enum { FRAME_TCP, FRAME_FRAGMENT, FRAME_OTHER, FRAME_MALFORMED, FRAME_ICMP, FRAME_UDP };

#define ETHERNET_HEADER 14
#define IPV4_HEADER 20
#define IPV6_HEADER 40
#define MAX_EXTENSIONS 8
#define VLAN_ID_MASK 0x0fff

#include "tcp.h"

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
