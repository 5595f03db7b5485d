/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/* src/flow/machine.ts: which event leads where. A test compares the two. */
#pragma once

static __always_inline u32 next_state(u32 state, u32 event)
{
	if (state == STATE_CLOSED || state == STATE_BROKEN)
		return STATE_NONE;
	switch (event) {
	case ON_RESET:
	case ON_RELEASE:
	case ON_IDLE:
		return STATE_CLOSED;
	case ON_ESTABLISH:
		return state == STATE_WATCHED ? STATE_RELAYED : STATE_NONE;
	case ON_ENABLE:
		return state == STATE_RELAYED ? STATE_CLAMPING : STATE_NONE;
	case ON_CUT:
		return state == STATE_CLAMPING ? STATE_CUTTING : STATE_NONE;
	case ON_EMPTY:
		return state == STATE_CLAMPING ? STATE_STITCHED : STATE_NONE;
	case ON_DRAINED:
		return state == STATE_CUTTING ? STATE_STITCHED : STATE_NONE;
	case ON_BREAK:
		return state == STATE_CUTTING || state == STATE_CLOSING ? STATE_BROKEN : STATE_NONE;
	case ON_FIN:
		return state == STATE_WATCHED || state == STATE_RELAYED || state == STATE_STITCHED ||
				       state == STATE_REFUSED ?
			       STATE_CLOSING :
			       STATE_NONE;
	case ON_FINISHED:
		return state == STATE_RELAYED || state == STATE_STITCHED || state == STATE_CLOSING ||
				       state == STATE_REFUSED ?
			       STATE_CLOSED :
			       STATE_NONE;
	case ON_REFUSE:
		return state == STATE_WATCHED || state == STATE_RELAYED || state == STATE_CLAMPING ?
			       STATE_REFUSED :
			       STATE_NONE;
	}
	return STATE_NONE;
}

/* Notes something to tell the process once the lock is let go. */
static __always_inline void tell(struct work *w, u32 kind, u32 state, u32 from)
{
	u32 i = w->move_count;

	if (i >= MAX_MOVES)
		return;
	w->move[i].kind = kind;
	w->move[i].state = state;
	w->move[i].from = from;
	w->move[i].held = 0;
	w->move_count = i + 1;
}

static __always_inline void tell_held(struct work *w, u32 kind, u32 state, u32 from)
{
	u32 i = w->move_count;

	tell(w, kind, state, from);
	if (i < MAX_MOVES)
		w->move[i].held = 1;
}

static __always_inline void move(struct work *w, struct flow *f, u32 event, u32 reason)
{
	u32 state = next_state(f->state, event);

	if (state == STATE_NONE)
		return;
	f->state = state;
	if (reason)
		f->reason = reason;
	u32 i = (state - 1) & 7;

	f->at[i] = (u32)(w->now_long - f->opened) + 1;
	tell(w, EVENT_STATE, state, FROM_NOBODY);
}
