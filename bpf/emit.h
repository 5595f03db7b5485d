/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * Sends what the outbox holds. The packet at hand is edited (edit.h) into each output in turn, least destructive first: whole
 * segments, then those with less payload, then segments that the switch makes. All but the last leave as clones.
 */
#pragma once

#define AF_INET 2
#define AF_INET6 10

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

/* Where a packet of `size` bytes goes: BPF_FIB_LKUP_RET_*, and `w->fib`. */
static __noinline long route(struct __sk_buff *skb, struct work *w, const struct tuple *t, u32 size, u32 flags)
{
	struct bpf_fib_lookup *fib = &w->fib;

	__builtin_memset(fib, 0, sizeof(*fib));
	fib->l4_protocol = PROTOCOL_TCP;
	fib->ifindex = w->ifindex;
	fib->tot_len = size;
	if (w->is_ipv6) {
		fib->family = AF_INET6;
		__builtin_memcpy(fib->ipv6_src, t->source, 16);
		__builtin_memcpy(fib->ipv6_dst, t->destination, 16);
	} else {
		fib->family = AF_INET;
		fib->ipv4_src = t->source[3];
		fib->ipv4_dst = t->destination[3];
	}
	return bpf_fib_lookup(skb, fib, sizeof(*fib), flags);
}

#define ROUTE_MS 10

static __always_inline struct route *cached_route(struct work *w, const struct tuple *t)
{
	u32 i = t->destination[3] ^ t->source[3];

	i ^= i >> 16;
	i ^= i >> 8;
	barrier_var(i);
	return &w->routes[i & (ROUTES - 1)];
}

/* As `route`, of a packet that needs no address of a neighbour. What it finds is in the route. */
static __noinline long route_out(struct __sk_buff *skb, struct work *w, const struct tuple *t, u32 size)
{
	struct route *r = cached_route(w, t);

	if (r->from_ifindex == w->ifindex && size <= r->size && w->now - r->at < ROUTE_MS && addresses_equal(&r->tuple, t))
		return BPF_FIB_LKUP_RET_SUCCESS;
	long rc = route(skb, w, t, size, BPF_FIB_LOOKUP_SKIP_NEIGH);

	if (rc != BPF_FIB_LKUP_RET_SUCCESS)
		return rc;
	r->tuple = *t;
	r->from_ifindex = w->ifindex;
	r->size = size;
	r->at = w->now;
	r->ifindex = w->fib.ifindex;
	r->next.nh_family = w->fib.family;
	__builtin_memcpy(r->next.ipv6_nh, w->fib.ipv6_dst, 16);
	return rc;
}

static __always_inline void leave_as_clone(struct __sk_buff *skb, const struct bpf_fib_lookup *fib)
{
	u8 macs[12];

	__builtin_memcpy(macs, fib->dmac, 6);
	__builtin_memcpy(macs + 6, fib->smac, 6);
	if (bpf_skb_store_bytes(skb, 0, macs, 12, 0) || bpf_clone_redirect(skb, fib->ifindex, 0))
		count(COUNT_SEND_FAILED);
}

/* Sends the packet as it stands: a clone of it, or as the last one itself. Returns what tc is told. */
static __noinline int send(struct __sk_buff *skb, struct work *w, const struct tuple *t, int as_clone)
{
	u32 size = w->end - w->l3;

	if (testing) {
		keep_for_test(skb, w);
		return TC_ACT_SHOT;
	}
	if (skb->gso_size && !w->trimmed)
		size = w->l4 + w->header_length - w->l3 + skb->gso_size;
	long rc = as_clone ? route(skb, w, t, size, 0) : route_out(skb, w, t, size);

	if (rc == BPF_FIB_LKUP_RET_FRAG_NEEDED) {
		count(COUNT_TOO_BIG);
		if (as_clone)
			return TC_ACT_SHOT;
		if (w->may_fragment)
			return TC_ACT_OK;
		if (make_too_big(skb, w, w->fib.mtu_result))
			return TC_ACT_SHOT;
		t = &w->reversed;
		rc = route_out(skb, w, t, w->end - w->l3);
	}
	if (rc == BPF_FIB_LKUP_RET_SUCCESS) {
		if (!as_clone) {
			struct route *r = cached_route(w, t);

			return bpf_redirect_neigh(r->ifindex, &r->next, sizeof(r->next), 0);
		}
		leave_as_clone(skb, &w->fib);
	} else {
		count(rc == BPF_FIB_LKUP_RET_NO_NEIGH ? COUNT_NO_NEIGHBOUR : COUNT_NO_ROUTE);
	}
	return TC_ACT_SHOT;
}

/* Which of three rounds an emission belongs to. */
static __always_inline u32 round_of(const struct work *w, const struct emission *e)
{
	if (e->made)
		return 2;
	return e->segment.payload_length == w->segment.payload_length ? 0 : 1;
}

/* Not static: the verifier then goes through it once, and not again for each of its callers' states. */
__noinline int take_hash(struct __sk_buff *skb, u32 top)
{
	if (top && skb->hash >> 16 != top)
		bpf_set_hash(skb, top << 16);
	return 0;
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
	take_hash(skb, e->hash_top);
	failed = e->made ? make_bare(skb, w, e) : make_edited(skb, w, e, sending->left > 1);
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
	if (!all_as_clones)
		begin_edits(w);
	if (w->out_count == 1)
		send_one((u64)round_of(w, &w->out[0]) * MAX_OUT, &sending);
	else
		bpf_loop(3 * MAX_OUT, send_one, &sending, 0);
	return sending.action;
}
