// SPDX-License-Identifier: MIT OR GPL-2.0
/*
 * The kernel data path. `suture_ingress` sits at tc ingress of each of the switch's interfaces and does with packets of
 * watched connections what the flow engine (src/flow/) says; `suture_control` is run by the process for requests, so
 * that a flow's state changes only here, under one lock.
 *
 * A packet's way: parse.h (what it is) → find.h (whose it is) → step.h (what its flow's mode says: track.h, handover.h,
 * translate.h fill an outbox) → emit.h (sends each output, as edit.h makes it of the packet). What is not ours goes on to the host untouched.
 */
#include <linux/bpf.h>
#include <linux/if_packet.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>

#ifndef barrier_var
#define barrier_var(var) asm volatile("" : "+r"(var))
#endif

#include "abi.h"
#include "maps.h"
#include "segment.h"
#include "bytes.h"
#include "parse.h"
#include "checksum.h"
#include "machine.h"
#include "track.h"
#include "mapping.h"
#include "restore.h"
#include "handover.h"
#include "translate.h"
#include "align.h"
#include "progress.h"
#include "step.h"
#include "find.h"
#include "edit.h"
#include "too-big.h"
#include "emit.h"
#include "carry.h"
#include "icmp.h"
#include "discovery.h"

char LICENSE[] SEC("license") = "Dual MIT/GPL";

static __always_inline void begin(struct work *w)
{
	w->now_long = testing ? test_clock : bpf_ktime_get_ns() / 1000000;
	w->now = w->now_long;
	w->out_count = 0;
	w->move_count = 0;
	w->swallowed = 0;
	w->unpaired_over = 0;
	w->trimmed = 0;
}

/* What the process is told, as the record stands; under the lock. */
static __always_inline void note_event(struct work *w, const struct flow *f)
{
	struct event *e = &w->event;

	e->slot = w->slot;
	e->generation = f->generation;
	e->reason = f->reason;
	e->to_shell_packets = f->to_shell_packets;
	e->to_shell_bytes = f->to_shell_bytes;
	e->opened = f->opened;
	e->packets[0] = f->conn[0].packets;
	e->packets[1] = f->conn[1].packets;
	e->bytes[0] = f->conn[0].far.bytes;
	e->bytes[1] = f->conn[1].far.bytes;
	__builtin_memcpy(e->id, f->id, sizeof(e->id));
	__builtin_memcpy(e->at, f->at, sizeof(e->at));
	e->seq = read32(w->received + 4);
	e->ack = read32(w->received + 8);
	e->flags = w->received[13];
	e->window = w->segment.window;
	e->payload_length = w->segment.payload_length;
}

static __always_inline void send_events(struct work *w)
{
	for (u32 i = 0; i < MAX_MOVES; i++) {
		if (i >= w->move_count)
			break;
		w->event.kind = w->move[i].kind;
		w->event.state = w->move[i].state;
		w->event.from = w->move[i].from;
		w->event.held = w->move[i].held;
		if (bpf_ringbuf_output(&events, &w->event, sizeof(w->event), 0))
			count(COUNT_EVENTS_LOST);
	}
}

/* RFC 6191 section 2: a SYN on the tuple of a flow that is over. */
static __always_inline int starts_anew(const struct flow *f, struct conn *x, const struct segment *s, u32 inner)
{
	if (!(s->flags & FLAG_SYN) || s->flags & FLAG_ACK)
		return 0;
	if (!(f->bits & FLOW_PAIRED))
		return established(x) && s->seq != x->far.isn;
	/* A relayed flow that ended counts as forgotten. */
	if (f->state == STATE_CLOSED && f->mode <= MODE_CLAMP)
		return 1;
	if (inner)
		return 0;
	if (f->state == STATE_BROKEN)
		return 1;
	if (f->state != STATE_CLOSED)
		return 0;
	if (f->reason != REASON_FIN)
		return 1;
	if (x->far.conn_bits & CONN_TIMESTAMPS && s->tsval != 0)
		return (s32)(s->tsval - x->far.tsval) > 0;
	return seq_diff(s->seq, x->far.max) > 0;
}

enum { STEP_DONE, STEP_UNKNOWN, STEP_ANEW };

/* The packet's step under the lock. STEP_UNKNOWN: the record is not this packet's after all. */
static __always_inline int step(struct work *w, struct flow *f, const struct place *place, u32 from_shell)
{
	u32 inner = place->inner & 1;
	u32 generation = place->generation;
	int result = STEP_DONE;

	barrier_var(inner);
	inner &= 1;
	w->slot = place->slot;
	bpf_spin_lock(&f->lock);
	struct conn *x = &f->conn[inner];
	struct conn *y = &f->conn[inner ^ 1];

	if (!is_used(f) || (u16)f->generation != (u16)generation) {
		result = STEP_UNKNOWN;
	} else if (from_shell) {
		w->wanted_hash_top = hash_to_far(x);
		if (!tuple_equal(&x->tuple, &w->reversed) || (f->state == STATE_CLOSED && f->mode <= MODE_CLAMP))
			result = STEP_UNKNOWN;
		else
			step_from_shell(w, f, x, y, inner);
	} else if (!tuple_equal(&x->tuple, &w->tuple)) {
		result = STEP_UNKNOWN;
	} else if (starts_anew(f, x, &w->segment, inner)) {
		w->unpaired_over = !(f->bits & FLOW_PAIRED);
		f->bits |= FLOW_SUPERSEDED;
		result = STEP_ANEW;
	} else if (f->state == STATE_CLOSED && f->mode <= MODE_CLAMP) {
		result = STEP_UNKNOWN;
	} else {
		note_hash(w, y);
		step_from_far(w, f, x, y, inner);
	}
	if (w->move_count)
		note_event(w, f);
	bpf_spin_unlock(&f->lock);
	return result;
}

/* A packet of no connection that is known. */
static __always_inline int receive_unknown(struct __sk_buff *skb, struct work *w)
{
	int to_shell = owns(w, w->tuple.destination, destination_port(&w->tuple));
	u32 slot;

	if (!to_shell && !owns(w, w->tuple.source, source_port(&w->tuple))) {
		count(COUNT_HOST);
		return TC_ACT_UNSPEC;
	}
	if (to_shell && (w->segment.flags & (FLAG_SYN | FLAG_ACK)) == FLAG_SYN) {
		struct flow *f = unpaired_count() < max_unpaired ? new_record(w, &w->tuple, &slot) : 0;

		if (f) {
			change_unpaired(1);
			w->slot = slot;
			bpf_spin_lock(&f->lock);
			relay_syn(w, f, &f->conn[0], 0, 0);
			bpf_spin_unlock(&f->lock);
			if (w->verdict == VERDICT_EMIT)
				return send_all(skb, w, 0);
			count(COUNT_PASSED);
			return TC_ACT_UNSPEC;
		}
		count(COUNT_LIMIT_REACHED);
	}
	count(COUNT_UNTRACKED);
	count(COUNT_PASSED);
	return TC_ACT_UNSPEC;
}

static __always_inline int receive(struct __sk_buff *skb, struct work *w)
{
	u32 from_shell = 0;
	struct place *place = find_either(w, &from_shell);

	if (!place)
		return receive_unknown(skb, w);
	struct flow *f = flow_at(place->slot);

	if (!f)
		return receive_unknown(skb, w);
	struct place at = *place;
	int result = step(w, f, &at, from_shell);

	if (result == STEP_ANEW) {
		if (w->unpaired_over)
			free_unpaired(w, f, &w->tuple, at.slot, at.generation);
		else
			unlink_tuple(w, &w->tuple, at.slot, at.generation);
		return receive_unknown(skb, w);
	}
	if (result == STEP_UNKNOWN)
		return receive_unknown(skb, w);
	int action = TC_ACT_UNSPEC;

	if (w->verdict == VERDICT_EMIT) {
		action = send_all(skb, w, 0);
		if (w->swallowed)
			count(COUNT_SWALLOWED);
	} else {
		take_hash(skb, w->wanted_hash_top);
		count(COUNT_PASSED);
	}
	if (w->unpaired_over)
		free_unpaired(w, f, from_shell ? &w->reversed : &w->tuple, at.slot, at.generation);
	/* After the packets, so that who is told finds them sent. */
	send_events(w);
	return action;
}

SEC("tc")
int suture_ingress(struct __sk_buff *skb)
{
	struct work *w = work_of();

	if (!w)
		return TC_ACT_UNSPEC;
	/* What a bridge floods is for another host, perhaps for the active switch of this one's group. */
	if (!testing && skb->pkt_type != PACKET_HOST && skb->pkt_type != PACKET_MULTICAST)
		return TC_ACT_UNSPEC;
	int kind = parse_frame(skb, w);

	if (kind == FRAME_UDP)
		hand_over_discovery(skb, w);
	if (kind == FRAME_UDP || kind == FRAME_OTHER || skb->pkt_type == PACKET_MULTICAST)
		return TC_ACT_UNSPEC;
	count(COUNT_RECEIVED);
	begin(w);
	w->ifindex = skb->ingress_ifindex;
	w->hash_top = skb->hash >> 16;
	w->wanted_hash_top = 0;
	if (kind == FRAME_ICMP)
		return receive_icmp(skb, w);
	if (kind != FRAME_TCP) {
		count(kind == FRAME_FRAGMENT ? COUNT_FRAGMENTS : COUNT_MALFORMED);
		return TC_ACT_UNSPEC;
	}
	if (w->walk_bad) {
		count(COUNT_MALFORMED);
		return TC_ACT_UNSPEC;
	}
	if (w->ttl <= 1) {
		count(COUNT_HOST);
		return TC_ACT_UNSPEC;
	}
	if (shared) {
		struct leader *leader = bpf_map_lookup_elem(&leaders, &w->ifindex);

		if (leader)
			return carry(skb, w, leader->known);
	}
	return receive(skb, w);
}

#include "control.h"
