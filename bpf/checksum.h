/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/* Internet checksums (RFC 1071), as sums of 16-bit words in network byte order. */
#pragma once

static __always_inline u32 fold(u64 sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

#define PROTOCOL_ICMP 1
#define PROTOCOL_TCP 6
#define PROTOCOL_ICMPV6 58

/* The pseudo-header's sum for `length` bytes of a protocol, as network-order halves. */
static __always_inline u64 pseudo_sum(const struct tuple *t, u32 protocol, u32 length)
{
	u64 sum = bpf_htons(protocol);

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

/* Adds the packet's bytes from `at` to `end` to `sum`, into `w->csum`. */
static __always_inline int sum_packet(struct __sk_buff *skb, struct work *w, u32 at, u32 end, u32 sum)
{
	struct walk walk = { .skb = skb, .w = w, .next = end };

	w->csum = sum;
	w->csum_at = at;
	bpf_loop(160, add_chunk, &walk, 0);
	return walk.result;
}
