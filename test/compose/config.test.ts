/** What compose/ says without an engine: its configs are valid, and the gateway asks for no more than it needs. */
import { readFileSync } from 'node:fs';
import t from 'tap';
import { parse } from 'yaml';
import { parseConfig } from '../../src/platform/config/index.js';

const FOLDER = new URL('../../compose/', import.meta.url);
const read = (path: string): string => readFileSync(new URL(path, FOLDER), 'utf8');

interface Service {
  readonly cap_add?: readonly string[];
  readonly privileged?: boolean;
  readonly read_only?: boolean;
  readonly healthcheck?: object;
}

t.test('the configs of the roles are valid, and speak of each other', async (t) => {
  const gateway = parseConfig('switch', 'switch.yaml', read('config/switch.yaml'));
  const shell = parseConfig('shell', 'shell.yaml', read('config/shell.yaml'));
  const core = parseConfig('core', 'core.yaml', read('config/core.yaml'));
  t.same(
    gateway.agents.map(({ name }) => name),
    [shell.name, core.name],
  );
  t.same(
    shell.routes.map((route) => route.core),
    core.offers,
    'what the shell leads to is offered',
  );
});

t.test('the standby’s config is the gateway’s but for its name', async (t) => {
  const gateway = parse(read('config/switch.yaml'));
  t.strictSame({ ...parse(read('config/standby.yaml')), name: gateway.name }, gateway);
});

t.test('only the gateway has added capabilities, and these three', async (t) => {
  const { services } = parse(read('compose.yaml'), { merge: true }) as { services: Record<string, Service> };
  for (const [name, service] of Object.entries(services)) {
    const { cap_add: added = [], privileged, read_only: readOnly } = service;
    t.same(added, name === 'gateway' ? ['NET_ADMIN', 'BPF', 'PERFMON'] : [], name);
    t.notOk(privileged);
    t.ok(readOnly, `${name} can't write to its image`);
    t.equal(service.healthcheck !== undefined, name !== 'gateway-host', `${name} has a health check`);
  }
});
