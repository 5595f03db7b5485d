/**
 * Records of stitched flows that nobody has, as a switch writes them to its table: between addresses that are for
 * benchmarks (RFC 2544), of an agent that never comes. A switch that finds them goes on with them like with any other.
 */
import type { ConfigObject } from '#suture/lab/stage.js';
import type { FlowRecord } from '#suture/table/port.js';

const SHELL = { name: 'a2', address: '198.18.0.1' };
const CORE = { name: 'b2', address: '198.19.0.1' };
const SHELL_PORTS = { first: 10_000, count: 50_000 };
const PEERS_IN_A_NET = 250;
const PEER_PORT = 20_000;
const CORE_PORT = 8_000;
const STITCHED_FOR_MS = 60_000;

/** What a switch needs in its config to have them, beside its own agents. */
export const TABLE_AGENTS: readonly ConfigObject[] = [
  { name: SHELL.name, role: 'shell', addresses: [SHELL.address] },
  { name: CORE.name, role: 'core', addresses: [CORE.address] },
];

export function tableFlowId(i: number): string {
  return `b77cafcb-${i.toString(36)}`;
}

export function tableFlow(i: number, now: number, turn = 0): FlowRecord {
  const openedAt = now - STITCHED_FOR_MS;
  const net = Math.floor(i / PEERS_IN_A_NET);
  const [third, port] = [1 + (net % PEERS_IN_A_NET), PEER_PORT + Math.floor(net / PEERS_IN_A_NET)];
  return {
    id: tableFlowId(i),
    state: 'stitched',
    agent: SHELL.name,
    outer: {
      local: { address: SHELL.address, port: 443 },
      remote: { address: `198.18.${third}.${1 + (i % PEERS_IN_A_NET)}`, port },
    },
    inner: {
      local: { address: SHELL.address, port: SHELL_PORTS.first + (i % SHELL_PORTS.count) },
      remote: { address: CORE.address, port: CORE_PORT + Math.floor(i / SHELL_PORTS.count) },
    },
    up: { packets: 1_000 + i + turn, bytes: 1_500_000 + i },
    down: { packets: 2_000 + i + turn, bytes: 3_000_000 + i },
    toShellStitched: { packets: 0, bytes: 0 },
    saved: { outer: savedConnection(i, 1), inner: savedConnection(i, 2) },
    openedAt,
    enabledAt: openedAt + 12,
    stitchedAt: openedAt + 20,
    history: (['watched', 'relayed', 'clamping', 'cutting', 'stitched'] as const).map((state, n) => ({
      state,
      at: openedAt + 5 * n,
    })),
    teardown: 'core',
    stitchCause: ['now'],
  };
}

/** Numbers of full length, so that a record takes as much as a real one. */
function savedConnection(i: number, salt: number) {
  const word = (n: number): number => Math.imul(i + 1, 0x9e3779b1 * (n + salt)) >>> 0;
  return {
    delta: word(1),
    tsDelta: word(2),
    farScale: 7,
    shellScale: 7,
    farMss: 1460,
    shellMss: 1460,
    timestamps: true,
    sack: true,
    ecn: false,
    farMax: word(3),
    farAck: word(4),
    toldAck: word(5),
  };
}
