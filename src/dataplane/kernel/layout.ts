/**
 * The records that `bpf/abi.h` defines, as offsets in bytes, and its numbers by name. A test compares both with the C
 * header. All words are in the machine's order (little endian); addresses and ports as they stand in packets.
 */
import { FLOW_STATES } from '../../flow/state.js';

export const LAYOUT = {
  flow: {
    size: 456,
    mode: 4,
    state: 5,
    reason: 6,
    bits: 7,
    generation: 8,
    last_at: 12,
    id: 16,
    opened: 32,
    at: 40,
    deadline: 72,
    to_shell_packets: 76,
    to_shell_bytes: 80,
    resend_at: 84,
    conn: 88,
  },
  conn: {
    size: 184,
    far: 0,
    shell: 48,
    packets: 96,
    tuple: 104,
    told_ack: 140,
    told_edge: 144,
    told_max: 148,
    told_tsval: 152,
    told_shell_ack: 156,
    told_shell_edge: 160,
    delta: 164,
    ts_delta: 168,
    transparent_from: 172,
    cut: 176,
    cut_max: 180,
  },
  sender: {
    size: 48,
    isn: 0,
    max: 4,
    data_max: 8,
    ack: 12,
    edge: 16,
    tsval: 20,
    tsval_at: 24,
    fin_end: 28,
    bytes: 32,
    mss: 40,
    options: 42,
    scale: 44,
    bits: 45,
    conn_bits: 46,
  },
  tuple: { size: 36, source: 0, destination: 16, ports: 32 },
  place: { size: 8, slot: 0, generation: 4, inner: 6 },
  owned: { size: 8192, ports: 0 },
  event: {
    size: 128,
    slot: 0,
    generation: 4,
    kind: 8,
    state: 9,
    reason: 10,
    from: 11,
    to_shell_packets: 12,
    to_shell_bytes: 16,
    payload_length: 20,
    opened: 24,
    packets: 32,
    bytes: 48,
    id: 64,
    at: 80,
    seq: 112,
    ack: 116,
    window: 120,
    flags: 122,
    held: 123,
  },
  datagram: { size: 520, ifindex: 0, length: 4, bytes: 8 },
  request: {
    size: 144,
    ask: 0,
    slot: 4,
    generation: 8,
    ifindex: 12,
    consumed: 16,
    injected: 32,
    outer: 48,
    inner: 84,
    id: 120,
    teardown: 136,
    from: 140,
  },
  leader: { size: 16, known: 0, macs: 1 },
  reply: { size: 20, answer: 0, slot: 4, generation: 8, state: 12, due: 16 },
} as const;

export const ID_BYTES = 16;
/** `at` has one entry for each state but the first. */
export const TIMED_STATES = FLOW_STATES.length - 1;

export const FlowBit = { Paired: 1, Superseded: 2 } as const;
export const FLOW_TEARDOWN = 0x0c;
export const FLOW_TEARDOWN_SHIFT = 2;
export const SenderBit = { SynSeen: 1, SynEcn: 2, AckSeen: 4, FinSeen: 8, Heard: 16 } as const;
export const ConnBit = {
  Timestamps: 1,
  Sack: 2,
  Ecn: 4,
  Established: 16,
  FinReported: 32,
  FinHeld: 256,
  ResetHeld: 512,
  FinSent: 1024,
  Restored: 2048,
  Steered: 4096,
  Yielded: 8192,
  Asked: 16384,
} as const;
/** As in events, and in a request to let go on. */
export const From = { Peer: 1, Core: 2 } as const;
export const EventKind = { State: 0, Fin: 1, Rst: 2, Forgotten: 3, Miss: 4 } as const;
export const Ask = {
  Pair: 0,
  Enable: 1,
  Close: 2,
  Tick: 3,
  Forget: 4,
  Idle: 5,
  Proceed: 6,
  Unlearn: 7,
} as const;
export type Ask = (typeof Ask)[keyof typeof Ask];
export const Answer = { Done: 0, Unknown: 1, OuterTaken: 2, InnerTaken: 3, Full: 4, State: 5 } as const;

/** The program's counters in their order, by the names that `suture stats` shows. */
export const COUNTERS = [
  'received',
  'host',
  'passed',
  'translated',
  'made',
  'fragments',
  'malformed',
  'untracked',
  'swallowed',
  'limitReached',
  'sendTooBig',
  'noRoute',
  'noNeighbour',
  'sendFailed',
  'eventsLost',
  'icmpTranslated',
  'carried',
  'steered',
  'unsteered',
  'missed',
] as const;
