/** Configs that tests start from, and what is complained of when something in them is replaced. */
import { parseConfig, type Role } from '../../../src/platform/config/index.js';
import { SutureError } from '../../../src/platform/errors.js';

export const hostPorts = { ephemeral: { from: 32768, to: 60999 }, reserved: [] };

export const SWITCH = `name: s1
interfaces: [to-e, to-a, to-b]
auth: { mode: none }
table: memory            # or redis
dataplane: auto
agents:
  - { name: a1, role: shell, addresses: [10.201.2.2, "fd00:201:2:0::2"] }
  - { name: b1, role: core,  addresses: [10.201.3.2, "fd00:201:3::2"] }
`;
export const SHELL = `name: a1
switch: discover
auth: { mode: none }
ports: 20000-29999
routes:
  - listen: 10.201.2.2:8080
    core: 10.201.3.2:8080
    via: tcp
    stitch: now
    teardown: core
`;
export const CORE = `name: b1
switch: 10.201.2.1:57626
auth: { mode: none }
offers: [10.201.3.2:8080, "[fd00:201:3::2]:8080"]
`;

export const OUTBOUND = `name: a1
auth: { mode: none }
ports: 20000-29999
routes:
  - { listen: 10.201.2.2:5432, peer: 10.201.1.2:5432, from: [10.201.3.2, fd00::/8] }
  - { listen: 10.201.2.2:1080, socks5: true, allow: ["10.0.0.0/8:443", "10.0.0.1:*"] }
  - listen: 10.201.2.2:1081
    socks5: { users: [{ user: app, password: "s3cret, and more" }] }
    allow: ["[fd00:201:1:0::/64]:8000-8009", "[fd00::1]:1", "API.Example.org:443", "*.example.net:*", "*:80"]
`;

export function complaint(role: Role, text: string): string {
  try {
    parseConfig(role, 'f.yaml', text, { hostPorts });
  } catch (error) {
    if (error instanceof SutureError && error.code === 'SUT_CONFIG_INVALID') return error.message;
    throw error;
  }
  return 'accepted';
}

const TEXTS: Readonly<Record<Role, string>> = { switch: SWITCH, shell: SHELL, core: CORE };

/** What stands in the place of something right, and what is said of it. */
export type Case = readonly [wrong: string, expected: string];

export function complains(t: Tap, role: Role, right: string, cases: readonly Case[]): void {
  for (const [wrong, expected] of cases) {
    const text = TEXTS[role].replace(right, () => wrong);
    t.not(text, TEXTS[role], `the case changes the config: ${right}`);
    t.match(complaint(role, text), expected);
  }
}

interface Tap {
  not(found: unknown, unwanted: unknown, message: string): unknown;
  match(found: unknown, wanted: unknown): unknown;
}
