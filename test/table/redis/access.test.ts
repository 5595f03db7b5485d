/** Getting in: TLS, and an ACL user that may do what docs/OPERATIONS.md says and no more. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import type { RedisTarget } from '../../../src/platform/config/index.js';
import { flowRecord } from '../../contract/table.js';
import { documentedAcl } from '../../support/redis/acl.js';
import { quickClock } from '../../support/redis/clock.js';
import { freePort, RedisServer } from '../../support/redis/server.js';
import { LIMITS, reader, redisTable, saved, startedTable } from '../../support/redis/table.js';

t.test('a user with the documented ACL can do all that a switch and `suture flows` do', async (t) => {
  const server = await RedisServer.start(t);
  const rules = documentedAcl().rules;
  t.ok(rules.length > 10, 'the page has the rules');
  await server.cli('acl', 'setuser', 'suture', 'on', '>pass word', ...rules);
  await server.cli('acl', 'setuser', 'default', 'off');
  const target = { ...server.target, user: 'suture', password: 'pass word', db: 1 };
  const table = redisTable(target);
  await table.start();
  await table.put(flowRecord('1'));
  await table.put(flowRecord('2'));
  await table.secure('1');
  await table.delete('2');
  await table.stop();
  const again = await startedTable(t, target);
  t.strictSame(await again.list(), [flowRecord('1')]);
  t.strictSame(await (await reader(t, target)).list(), [flowRecord('1')]);
});

t.test('who may not get in, or may not write, is told', async (t) => {
  const server = await RedisServer.start(t);
  await server.cli('acl', 'setuser', 'reader', 'on', '>r', '~suture:*', '+@read', '+@connection', '+info');
  const code = 'SUT_TABLE_UNAVAILABLE';
  const as = (user: string, password: string) => redisTable({ ...server.target, user, password });
  await t.rejects(as('reader', 'wrong').start(), { code, message: /WRONGPASS/ });
  await t.rejects(as('nobody', 'r').start(), { code, message: /WRONGPASS/ });
  await t.rejects(as('reader', 'r').start(), { code, message: /NOPERM/ });

  const table = await startedTable(t, server.target, { leaseMs: 300 });
  await server.cli('acl', 'setuser', 'default', '-evalsha');
  await table.put(flowRecord('1'));
  await t.rejects(table.secure('1'), { code, message: /NOPERM/ });
  t.match(table.status(), { state: 'degraded', reason: 'not-allowed' });
  await server.cli('acl', 'setuser', 'default', '+evalsha');
  await saved(table);
});

/** A certificate authority, and a certificate for the address of the test's servers. */
function certificates(t: Test): { readonly folder: string; readonly ca: string } {
  const folder = mkdtempSync(join(tmpdir(), 'suture-tls-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const openssl = (...args: string[]): void =>
    void execFileSync('openssl', args, { cwd: folder, stdio: 'pipe' });
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  openssl('req', '-x509', ...key, '-keyout', 'ca.key', '-out', 'ca.crt', '-subj', '/CN=test', '-days', '2');
  openssl('req', ...key, '-keyout', 'redis.key', '-out', 'redis.csr', '-subj', '/CN=redis');
  writeFileSync(join(folder, 'names'), 'subjectAltName=IP:127.0.0.1,DNS:localhost\n');
  const signing = ['-CA', 'ca.crt', '-CAkey', 'ca.key', '-CAcreateserial', '-extfile', 'names', '-days', '2'];
  openssl('x509', '-req', '-in', 'redis.csr', '-out', 'redis.crt', ...signing);
  return { folder, ca: join(folder, 'ca.crt') };
}

t.test('TLS', async (t) => {
  const { folder, ca } = certificates(t);
  const port = await freePort();
  const server = await RedisServer.start(t, {
    config: {
      'tls-port': String(port),
      'tls-cert-file': join(folder, 'redis.crt'),
      'tls-key-file': join(folder, 'redis.key'),
      'tls-ca-cert-file': ca,
      'tls-auth-clients': 'no',
    },
  });
  const at = (address: string): RedisTarget => ({ ...server.target, nodes: [{ address, port }], tls: true });
  for (const address of ['127.0.0.1', 'localhost']) {
    const table = redisTable(at(address), { ca });
    await table.start();
    await table.put(flowRecord(address));
    await table.secure(address);
    await table.stop();
  }
  t.equal(await server.cli('zcard', 'suture:{g}:flows'), '2');

  const code = 'SUT_TABLE_UNAVAILABLE';
  // One that is not trusted may be a server that is just being set up anew: it is tried for a while.
  const quick = { clock: quickClock(LIMITS) };
  await t.rejects(redisTable(at('127.0.0.1'), quick).start(), {
    code,
    message: /self-signed|unable to verify/i,
  });
  const absent = { ca: join(folder, 'none.crt') };
  await t.rejects(redisTable(at('127.0.0.1'), absent).start(), { code, message: /ENOENT.*none\.crt/ });
  const plain = { ...at('127.0.0.1'), tls: false };
  await t.rejects(redisTable(plain, quick).start(), { code });
});
