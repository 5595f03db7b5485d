import { readFileSync } from 'node:fs';
import t from 'tap';
import { parse } from 'yaml';
import { parseConfig, printConfig, type Role } from '../../src/platform/config/index.js';

const text = readFileSync(new URL('../../docs/OPERATIONS.md', import.meta.url), 'utf8');

/** The first two cells of each row of the table under a heading. */
function documented(heading: string): Map<string, string> {
  const [, rest = ''] = text.split(`\n### ${heading}\n`);
  const [section = ''] = rest.split('\n#');
  const rows = [...section.matchAll(/^\| `([^`]+)` \| ([^|]*) \|/gm)];
  return new Map(rows.map(([, key = '', value = '']) => [key, value.trim().replaceAll('`', '')]));
}

/** Every leaf of an effective config, under the name that the page gives it. */
function leaves(value: unknown, path = ''): [string, unknown][] {
  if (Array.isArray(value))
    return path === 'routes' ? value.flatMap((one) => leaves(one, 'routes[]')) : [[path, value]];
  if (typeof value !== 'object' || value === null) return [[path, value]];
  return Object.entries(value).flatMap(([key, inner]) => leaves(inner, path === '' ? key : `${path}.${key}`));
}

const after =
  '{ after: { bytes: 1, age: 1, packets: 1, shellLoad: 1, timeOfDay: "22:00-06:00", type: [tls] } }';
const route = (port: number, stitch: string): string =>
  `{ listen: 10.0.0.1:${port}, core: 10.0.0.2:80${stitch} }`;
const ROUTES = [
  route(80, ''),
  route(81, `, stitch: ${after}, from: [10.0.0.0/8], prepend: proxy-v2, match: { sni: [a.b], host: [a.b] }`),
  route(85, ', via: link, link: 10.0.0.2:57628, move: now'),
  route(86, ', via: link, move: { after: { bytes: 1, age: 1 } }'),
  '{ listen: 10.0.0.1:82, peer: 10.0.0.2:80 }',
  '{ listen: 10.0.0.1:83, socks5: true, allow: ["10.0.0.2:80"] }',
  '{ listen: 10.0.0.1:84, socks5: { users: [{ user: u, password: p }] }, allow: ["*:*"] }',
];
const coreLink = '{ listen: 10.0.0.1:57628, auth: { mode: psk, key: 0123456789abcdef } }';
const SMALLEST: Readonly<Record<Role, string>> = {
  // The keys without a default are given, so that they are looked for.
  switch: 'name: NAME\ninterfaces: [i]\nauth: { mode: none }\nredis: { user: u, password: p, ca: /f }\n',
  shell: `name: NAME\nlink: { auth: { mode: psk, key: 0123456789abcdef } }\nauth: { mode: none }\nports: 2000-2999\nroutes: [${ROUTES.join(', ')}]\n`,
  core: `name: NAME\nauth: { mode: none }\noffers: [10.0.0.1:80]\ndeliver: 127.0.0.1:80\nlink: ${coreLink}\n`,
};

for (const [role, heading] of [
  ['switch', 'Switch'],
  ['shell', 'Shell'],
  ['core', 'Core'],
] as const) {
  t.test(`docs/OPERATIONS.md has every key of the ${role}, and its default`, async (t) => {
    const table = documented(heading);
    const config = parseConfig(role, 'smallest', SMALLEST[role], { hostPorts: undefined });
    const found = leaves(parse(printConfig(role, config)));
    const keys = new Set(found.map(([key]) => key));
    t.strictSame(
      [...table.keys()].filter((key) => !keys.has(key) && key !== 'routes'),
      [],
    );
    t.strictSame(
      [...keys].filter((key) => !table.has(key)),
      [],
    );
    const given = leaves(parse(SMALLEST[role])).map(([key]) => key);
    for (const [key, value] of found) {
      if (given.includes(key)) continue;
      const expected = Array.isArray(value) ? 'empty' : String(value);
      t.equal(table.get(key), expected, key);
    }
  });
}
