/**
 * What TCP allows and few applications do, through a stitched flow between two real kernels, IPv4 and IPv6: urgent
 * data, keepalives, zero windows, simultaneous close, stray SYNs and resets, fragments, IP options and extension
 * headers, a port that is used again at once. Packets that no socket sends are made by hand; what either end saw is
 * read from a capture.
 *
 * Tagged frames are made by hand too, since not every kernel has VLAN devices; so nothing here runs on one.
 */
import t from 'tap';
import type { Family } from '../../src/lab/stage.js';
import type { Check } from '../support/lab/unusual/check.js';
import { portReuse, simultaneousClose, synOnClosing } from '../support/lab/unusual/endings.js';
import { FAMILIES, Ground } from '../support/lab/unusual/ground.js';
import { flowLabel, fragments, ipOptions, vlanTags } from '../support/lab/unusual/headers.js';
import { duplicateSack, strayOnLive, urgent } from '../support/lab/unusual/segments.js';
import { keepalives, zeroWindow } from '../support/lab/unusual/windows.js';

const CASES: readonly { name: string; check: Check; families?: readonly Family[] }[] = [
  { name: 'urgent data', check: urgent },
  { name: 'keepalives through an idle flow', check: keepalives },
  { name: 'a core that does not read', check: zeroWindow('b') },
  { name: 'a peer that does not read', check: zeroWindow('e') },
  { name: 'simultaneous close', check: simultaneousClose },
  ...(['SYN', 'RST'] as const).flatMap((kind) =>
    (['e', 'b'] as const).map((host) => ({
      name: `a stray ${kind} of the ${host === 'e' ? 'peer' : 'core'}’s`,
      check: strayOnLive(host, kind),
    })),
  ),
  { name: 'a SYN on a closing tuple', check: synOnClosing },
  { name: 'a port used again at once', check: portReuse },
  { name: 'fragments', check: fragments },
  { name: 'D-SACK to the peer', check: duplicateSack('e') },
  { name: 'D-SACK to the core', check: duplicateSack('b') },
  { name: 'IPv4 options: NOPs', check: ipOptions({ ipOptions: '01010101' }), families: [4] },
  { name: 'IPv4 options: router alert', check: ipOptions({ ipOptions: '94040000' }), families: [4] },
  {
    name: 'IPv6 hop-by-hop options',
    check: ipOptions({ hopOptions: '0000050200000100' }),
    families: [6],
  },
  {
    name: 'IPv6 destination options',
    check: ipOptions({ destinationOptions: '0000010400000000' }),
    families: [6],
  },
  {
    name: 'both',
    check: ipOptions({ hopOptions: '0000010400000000', destinationOptions: '0000010400000000' }),
    families: [6],
  },
  { name: 'VLAN tags', check: vlanTags },
  { name: 'flow labels', check: flowLabel, families: [6] },
];

t.test('unusual packets through a stitched flow', async (t) => {
  const ground = await Ground.make(t);
  for (const family of FAMILIES) {
    for (const { name, check, families = FAMILIES } of CASES) {
      if (!families.includes(family)) continue;
      ground.clear();
      await t.test(`IPv${family}: ${name}`, (t) => check(t, ground, family));
    }
  }
});
