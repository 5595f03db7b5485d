/** Headers as few stacks write them, around packets of a flow. */
import { TcpFlag } from '../../../src/wire/segment.js';
import { type Case, NOPS, raw } from '../support/cases.js';
import type { TwinDriver } from '../support/driver.js';

const { Syn } = TcpFlag;

export const HEADERS_CASES: readonly Case[] = [
  ...([4, 8, 40] as const).map((bytes) => ({
    name: `${bytes} bytes of IPv4 options, on edited, cut and made packets`,
    families: [4] as const,
    run: (d: TwinDriver): void => {
      const ipOptions = NOPS(bytes);
      d.reach('cutting');
      d.twin.receiveFrame(raw(d, 'E', { seq: 100, ack: 0, len: 151 }, { ipOptions }), d.now);
      d.twin.receiveFrame(raw(d, 'E', { seq: -1, flags: Syn }, { ipOptions }), d.now);
      d.twin.receiveFrame(raw(d, 'B', { seq: 0, ack: 150 }, { ipOptions }), d.now);
      d.twin.receiveFrame(raw(d, 'E', { seq: 150, ack: 0, len: 3 }, { ipOptions, options: NOPS(40) }), d.now);
    },
    state: 'stitched' as const,
    sent: 5,
  })),
  ...[[60], [0], [0, 60, 43], [0, 60, 43, 60, 60, 60, 60, 60]].map((types) => ({
    name: `IPv6 extension headers ${types.join()}, on edited, cut and made packets`,
    families: [6] as const,
    run: (d: TwinDriver): void => {
      const extensions = types.map((type) => {
        const body = Buffer.alloc(8 + 8 * (type === 60 ? 1 : 0));
        body[1] = body.length / 8 - 1;
        return { type, body };
      });
      d.reach('cutting');
      d.twin.receiveFrame(raw(d, 'E', { seq: 100, ack: 0, len: 151 }, { extensions }), d.now);
      d.twin.receiveFrame(raw(d, 'E', { seq: -1, flags: Syn }, { extensions }), d.now);
      d.twin.receiveFrame(raw(d, 'B', { seq: 0, ack: 150 }, { extensions }), d.now);
      d.twin.receiveFrame(raw(d, 'E', { seq: 150, ack: 0, len: 3 }, { extensions }), d.now);
    },
    state: 'stitched' as const,
    sent: 5,
  })),
  {
    name: 'two options of a kind that there may be one of',
    run: (d) => {
      const twice = (kind: number, bytes: number): Buffer =>
        Buffer.from([1, 1, kind, bytes, ...Array.from({ length: bytes - 2 }, (_, i) => i + 1)]);
      d.reach('stitched');
      for (const [kind, bytes] of [
        [5, 10],
        [8, 10],
        [2, 6],
        [3, 6],
      ] as const) {
        const options = Buffer.concat([twice(kind, bytes), twice(kind, bytes)]);
        d.twin.receiveFrame(raw(d, 'E', { seq: 150, ack: 0, len: 5 }, { options }), d.now);
        d.twin.receiveFrame(raw(d, 'B', { seq: 0, ack: 150 }, { options }), d.now);
      }
    },
    state: 'stitched',
    sent: 8,
  },
  ...(
    [
      [8, 9],
      [5, 0],
      [2, 200],
      [77, 1],
    ] as const
  ).map((bad) => ({
    name: `a malformed option (${bad.join()}) passes untouched`,
    run: (d: TwinDriver): void => {
      const frame = raw(
        d.reach('stitched'),
        'E',
        { seq: 150, ack: 0, len: 5 },
        { options: Buffer.from([1, 1, ...bad]) },
      );
      d.twin.receiveFrame(frame, d.now);
    },
    // [8, 9] and [2, 200] end behind the header, [5, 0] and [77, 1] have no length that is possible.
    state: 'stitched' as const,
  })),
  {
    name: 'a TTL that ends here is the host’s',
    run: (d) => {
      d.reach('stitched');
      for (const ttl of [0, 1, 2]) d.twin.receiveFrame(raw(d, 'E', { seq: 150, ack: 0 }, { ttl }), d.now);
    },
    state: 'stitched',
    sent: 1,
  },
  {
    name: 'padding behind the packet is not payload',
    run: (d) => {
      d.reach('stitched');
      for (const padding of [1, 6, 300]) {
        d.twin.receiveFrame(raw(d, 'E', { seq: 150, ack: 0, len: 2 }, { padding }), d.now);
        d.twin.receiveFrame(raw(d, 'E', { seq: -1, flags: Syn }, { padding }), d.now);
      }
    },
    state: 'stitched',
    sent: 6,
  },
];
