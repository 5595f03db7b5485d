/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/* Requests of the process: `suture_control`, run on a frame whose payload is a `struct request`. */
#pragma once

static __always_inline void answer(u32 what, u32 slot, u32 generation, u32 state)
{
	u32 zero = 0;
	struct reply *reply = bpf_map_lookup_elem(&replies, &zero);

	if (!reply)
		return;
	reply->answer = what;
	reply->slot = slot;
	reply->generation = generation;
	reply->state = state;
	reply->due = 0;
}

static __always_inline void answer_due(u32 due)
{
	u32 zero = 0;
	struct reply *reply = bpf_map_lookup_elem(&replies, &zero);

	if (reply)
		reply->due = due;
}

static __always_inline int is_over(const struct flow *f)
{
	return f->state == STATE_CLOSED || f->state == STATE_BROKEN;
}

/* Frees the inner tuple from what had it before; 0 when that is a flow that is still open. */
static __always_inline int clear_inner(struct work *w, const struct tuple *t)
{
	struct place *place = find(w, t);

	if (!place)
		return 1;
	struct place at = *place;
	struct flow *f = flow_at(at.slot);

	if (f) {
		bpf_spin_lock(&f->lock);
		int same = is_same(f, at.generation);
		int paired = f->bits & FLOW_PAIRED;
		int over = is_over(f);

		f->generation += same && !paired;
		bpf_spin_unlock(&f->lock);
		if (same && paired && !over)
			return 0;
		if (same && !paired) {
			put_back(at.slot);
			change_unpaired(-1);
		}
	}
	bpf_map_delete_elem(&connections, &w->key);
	return 1;
}

/* Of an outer connection that got no flow after all. */
static __always_inline void let_be(struct flow *f, u32 generation)
{
	bpf_spin_lock(&f->lock);
	if (is_same(f, generation))
		f->bits &= ~FLOW_PAIRED;
	bpf_spin_unlock(&f->lock);
}

static __always_inline void pair(struct work *w)
{
	struct request *r = &w->request;
	struct place *found = find(w, &r->outer);
	struct place place = {};
	struct flow *f = 0;
	u32 slot = 0, known_as = 0;
	int seen = 0;

	if (found) {
		slot = found->slot;
		known_as = found->generation;
		f = flow_at(slot);
		if (f) {
			bpf_spin_lock(&f->lock);
			int same = is_same(f, known_as);
			int taken = same && f->bits & FLOW_PAIRED;
			int mine = same && !taken && tuple_equal(&f->conn[0].tuple, &r->outer);

			seen = mine && syn_seen(&f->conn[0].far);
			/* From here on nobody else frees the record. */
			if (mine)
				f->bits |= FLOW_PAIRED;
			bpf_spin_unlock(&f->lock);
			if (taken) {
				answer(ANSWER_OUTER_TAKEN, slot, 0, 0);
				return;
			}
			if (!mine)
				f = 0;
		}
	}
	if (!clear_inner(w, &r->inner)) {
		if (f)
			let_be(f, known_as);
		answer(ANSWER_INNER_TAKEN, 0, 0, 0);
		return;
	}
	if (f)
		change_unpaired(-1);
	else
		f = new_record(w, &r->outer, &slot);
	if (!f) {
		answer(ANSWER_FULL, 0, 0, 0);
		return;
	}
	w->slot = slot;
	bpf_spin_lock(&f->lock);
	__builtin_memcpy(f->id, r->id, sizeof(f->id));
	f->opened = w->now_long;
	f->bits |= FLOW_PAIRED;
	__builtin_memset(&f->conn[1], 0, sizeof(f->conn[1]));
	f->conn[1].tuple = r->inner;
	f->last_at = w->now;
	if (!seen)
		refuse(w, f, REASON_HANDSHAKE_NOT_SEEN);
	else if (tuple_is_ipv4(&r->outer) != tuple_is_ipv4(&r->inner))
		refuse(w, f, REASON_FAMILY_DIFFERS);
	if (w->move_count)
		note_event(w, f);
	u32 generation = f->generation, state = f->state;

	bpf_spin_unlock(&f->lock);
	place.slot = slot;
	place.generation = generation;
	place.inner = 1;
	key_of(&w->key, &r->inner);
	bpf_map_update_elem(&connections, &w->key, &place, BPF_NOEXIST);
	answer(ANSWER_DONE, slot, generation, state);
}

static __always_inline void forget(struct work *w, struct flow *f)
{
	struct request *r = &w->request;
	struct tuple outer, inner;
	int mine;

	bpf_spin_lock(&f->lock);
	mine = is_used(f) && f->generation == r->generation;
	f->generation += mine;
	u32 paired = f->bits & FLOW_PAIRED;

	outer = f->conn[0].tuple;
	inner = f->conn[1].tuple;
	bpf_spin_unlock(&f->lock);
	if (!mine) {
		answer(ANSWER_UNKNOWN, r->slot, 0, 0);
		return;
	}
	unlink_tuple(w, &outer, r->slot, r->generation);
	if (paired)
		unlink_tuple(w, &inner, r->slot, r->generation);
	else
		change_unpaired(-1);
	put_back(r->slot);
	answer(ANSWER_DONE, r->slot, 0, STATE_CLOSED);
}

/* Gives up a flow: a relayed one goes on unwatched, one that is cut or stitched is reset at both ends. */
static __always_inline void release(struct work *w, struct flow *f)
{
	int direct = f->mode == MODE_DRAIN || f->mode == MODE_DIRECT;

	if (direct) {
		reset_far(w, &f->conn[0], &f->conn[1]);
		reset_far(w, &f->conn[1], &f->conn[0]);
		f->mode = MODE_DEAD;
	}
	end_flow(w, f, ON_RELEASE, !direct && f->state == STATE_CLOSING ? ending_of(f) : REASON_RELEASED);
}

static __always_inline void change(struct work *w, struct flow *f)
{
	struct request *r = &w->request;
	u32 what = ANSWER_DONE;

	w->slot = r->slot;
	bpf_spin_lock(&f->lock);
	if (!is_used(f) || f->generation != r->generation) {
		what = ANSWER_UNKNOWN;
	} else if (r->ask == ASK_ENABLE) {
		if (f->state == STATE_CLOSING || is_over(f))
			what = ANSWER_STATE;
		else if (f->state == STATE_WATCHED || f->state == STATE_RELAYED)
			f->bits = (f->bits & ~FLOW_TEARDOWN) | (r->teardown << FLOW_TEARDOWN_SHIFT & FLOW_TEARDOWN);
		if (f->state == STATE_RELAYED)
			begin_clamp(w, f, r);
	} else if (r->ask == ASK_CLOSE) {
		if (!is_over(f))
			release(w, f);
	} else if (r->ask == ASK_TICK) {
		if (f->mode == MODE_CLAMP)
			after_clamp(w, f);
		else if (f->mode == MODE_DRAIN && (s32)(w->now - f->deadline) >= 0)
			break_flow(w, f, REASON_DRAIN_TIMEOUT);
		else if (f->mode == MODE_DIRECT && f->state != STATE_CLOSED)
			tick_held(w, f);
	} else if (r->ask == ASK_UNLEARN) {
		unlearn(f);
	} else if (r->ask == ASK_PROCEED) {
		let_go(w, f, r->from == FROM_CORE);
	} else if (r->ask == ASK_IDLE) {
		end_flow(w, f, ON_IDLE,
			 fin_seen(&f->conn[0].far) && fin_seen(&f->conn[1].far) ? REASON_FIN : REASON_IDLE);
	}
	if (w->move_count)
		note_event(w, f);
	u32 state = f->state;
	u32 due = due_in(w, f);

	bpf_spin_unlock(&f->lock);
	answer(what, r->slot, r->generation, state);
	answer_due(due);
}

SEC("tc")
int suture_control(struct __sk_buff *skb)
{
	struct work *w = work_of();
	struct request *r;

	if (!w)
		return -1;
	r = &w->request;
	if (bpf_skb_load_bytes(skb, ETHERNET_HEADER, r, sizeof(*r)))
		return -1;
	begin(w);
	w->ifindex = r->ifindex;
	w->partial = 0;
	w->l3 = ETHERNET_HEADER;
	w->is_ipv6 = skb->protocol == bpf_htons(0x86dd);
	w->l4 = ETHERNET_HEADER + (w->is_ipv6 ? IPV6_HEADER : IPV4_HEADER);
	w->header_length = TCP_HEADER;
	w->segment.payload_length = 0;
	w->segment.flags = 0;
	if (r->ask == ASK_PAIR) {
		pair(w);
	} else {
		struct flow *f = flow_at(r->slot);

		if (!f)
			answer(ANSWER_UNKNOWN, r->slot, 0, 0);
		else if (r->ask == ASK_FORGET)
			forget(w, f);
		else
			change(w, f);
	}
	send_all(skb, w, 1);
	send_events(w);
	return 0;
}
