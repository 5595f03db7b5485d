/** What bpf/abi.h and bpf/machine.h say twice is compared with the TypeScript that says it first. */
import t from 'tap';
import * as layout from '../../src/dataplane/kernel/layout.js';
import { Mode } from '../../src/flow/flow.js';
import { FLOW_EVENTS, nextState } from '../../src/flow/machine.js';
import { BROKEN_REASONS, CLOSE_REASONS, FLOW_STATES, REFUSAL_REASONS } from '../../src/flow/state.js';
import { OptionBit, TcpFlag } from '../../src/wire/segment.js';
import { C_PROLOGUE, printedByC, readAbi } from './support/abi.js';

/** `closing-before-cut` → `CLOSING_BEFORE_CUT`. */
function inC(name: string): string {
  return name.toUpperCase().replaceAll('-', '_');
}

t.test('states, events, reasons and modes have the numbers of their order', async (t) => {
  const { numbers } = await readAbi();
  for (const [i, state] of FLOW_STATES.entries()) t.equal(numbers[`STATE_${inC(state)}`], i, state);
  t.equal(numbers.STATE_COUNT, FLOW_STATES.length);
  for (const [i, event] of FLOW_EVENTS.entries()) t.equal(numbers[`ON_${inC(event)}`], i, event);
  t.equal(numbers.ON_COUNT, FLOW_EVENTS.length);
  const reasons = [...REFUSAL_REASONS, ...BROKEN_REASONS, ...CLOSE_REASONS];
  for (const [i, reason] of reasons.entries()) t.equal(numbers[`REASON_${inC(reason)}`], i + 1, reason);
  const named = Object.keys(numbers).filter((name) => name.startsWith('REASON_'));
  t.equal(named.length, reasons.length + 1, 'and none beside them');
  for (const [mode, number] of Object.entries(Mode)) t.equal(numbers[`MODE_${inC(mode)}`], number, mode);
});

t.test('the state machine is the same', async (t) => {
  const source = `${C_PROLOGUE}
#define MAX_MOVES 1
struct work { unsigned move_count; u64 now_long; struct { u8 kind, state, from, held; } move[MAX_MOVES]; };
#undef __always_inline
#define __always_inline inline __attribute__((always_inline, unused))
#include "machine.h"
int main(void)
{
	for (u32 state = 0; state < STATE_COUNT; state++)
		for (u32 event = 0; event < ON_COUNT; event++)
			printf("%u ", next_state(state, event));
	return 0;
}
`;
  const next = (await printedByC(source)).trim().split(' ').map(Number);
  t.equal(next.length, FLOW_STATES.length * FLOW_EVENTS.length);
  for (const [i, state] of FLOW_STATES.entries()) {
    for (const [j, event] of FLOW_EVENTS.entries()) {
      const to = FLOW_STATES[next[i * FLOW_EVENTS.length + j] as number];
      t.equal(to, nextState(state, event), `${state} on ${event}`);
    }
  }
});

t.test('flags and options have the bits of a segment', async (t) => {
  const names: Record<string, string> = {
    Mss: 'MSS',
    WindowScale: 'SCALE',
    SackPermitted: 'SACK_PERMITTED',
    Sack: 'SACK',
    Timestamps: 'TIMESTAMPS',
    FastOpen: 'FAST_OPEN',
    Mptcp: 'MPTCP',
    Md5: 'MD5',
    Ao: 'AO',
    Unknown: 'UNKNOWN',
  };
  const flags = Object.entries(TcpFlag).map(([name, bit]) => [`FLAG_${name.toUpperCase()}`, bit] as const);
  const options = Object.entries(OptionBit).map(([name, bit]) => [`OPT_${names[name]}`, bit] as const);
  const all = [...flags, ...options];
  // Of segment.h only these lines can be compiled for this host.
  const print = all.map(([name]) => `printf("%d ", ${name});`).join('');
  const source = `${C_PROLOGUE}
#undef __always_inline
#define __always_inline inline __attribute__((always_inline, unused))
#define bpf_htonl(x) __builtin_bswap32(x)
struct segment { u32 seq, payload_length; u16 flags; };
#include "segment.h"
int main(void) { ${print} return 0; }
`;
  const found = (await printedByC(source)).trim().split(' ').map(Number);
  for (const [i, [name, bit]] of all.entries()) t.equal(found[i], bit, name);
});

t.test('the offsets of the TypeScript layout are those of the compiler', async (t) => {
  const { structs, sizes } = await readAbi();
  for (const [struct, fields] of Object.entries(layout.LAYOUT)) {
    for (const [field, at] of Object.entries(fields)) {
      const expected = field === 'size' ? sizes[struct] : structs[struct]?.[field]?.offset;
      t.equal(at, expected, `${struct}.${field}`);
    }
  }
});

t.test('the numbers of the TypeScript layout are those of the header', async (t) => {
  const { numbers, structs, sizes } = await readAbi();
  const tables = {
    FLOW: layout.FlowBit,
    SENDER: layout.SenderBit,
    CONN: layout.ConnBit,
    EVENT: layout.EventKind,
    ASK: layout.Ask,
    ANSWER: layout.Answer,
  };
  for (const [prefix, table] of Object.entries(tables)) {
    for (const [name, number] of Object.entries(table)) {
      t.equal(
        number,
        numbers[`${prefix}_${snake(name.charAt(0).toLowerCase() + name.slice(1)).toUpperCase()}`],
        name,
      );
    }
  }
  const shown: Record<string, string> = { sendTooBig: 'tooBig' };
  for (const [i, counter] of layout.COUNTERS.entries()) {
    t.equal(numbers[`COUNT_${snake(shown[counter] ?? counter).toUpperCase()}`], i, counter);
  }
  t.equal(layout.COUNTERS.length, numbers.COUNT_COUNT);
  t.equal(layout.ID_BYTES, structs.flow?.id?.size);
  t.equal(layout.TIMED_STATES, (structs.flow?.at?.size ?? 0) / 4);
  t.ok((sizes.flow ?? 0) > 0);
});

function snake(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}
