import { EventEmitter } from 'node:events';
import { join } from 'node:path';
import t from 'tap';
import { packageVersion } from '../../src/cli/version.js';
import { parseConfig } from '../../src/platform/config/index.js';
import { SutureError } from '../../src/platform/errors.js';
import { suture } from './context.js';

const CORE = 'name: b1\nauth: { mode: none }\noffers: [10.201.3.2:8080]\n';

t.test('help and version', async (t) => {
  const help = await suture(['--help']);
  t.equal(help.code, 0);
  for (const name of [
    'switch',
    'shell',
    'core',
    'discover',
    'flows',
    'agents',
    'stats',
    'doctor',
    'lab',
    'demo',
    'bench',
  ]) {
    t.match(help.out, new RegExp(`^  ${name} `, 'm'));
  }
  t.equal((await suture(['flows', 'show', '--help'])).code, 0);
  t.equal((await suture(['--version'])).out, `${packageVersion()}\n`);
});

t.test('wrong usage is 2, and a JSON document when that was asked for', async (t) => {
  for (const argv of [
    [],
    ['nonsense'],
    ['flows', '--nonsense'],
    ['flows', 'show'],
    ['flows', 'list', '--state', 'sewn'],
    ['flows', 'list', 'extra'],
    ['switch'],
    ['switch', '-c'],
    ['lab'],
    ['lab', 'exec', 'a'],
    ['doctor', '--role', 'nobody'],
    ['bench'],
    ['bench', 'nothing'],
    ['bench', 'rate', '--runs', '0'],
    ['bench', 'rate', '--seconds', '0.1'],
    ['bench', 'rate', '--dataplane', 'magic'],
    ['stats', '--admin', 'tcp:1'],
  ]) {
    const { code, out, err } = await suture(argv);
    t.equal(code, 2, argv.join(' ') || 'nothing');
    t.equal(out, '');
    t.match(err, /^suture: .+ \(SUT_USAGE\)$/m, argv.join(' ') || 'nothing');
    t.notMatch(err, /^error:/m);
  }
  t.match((await suture(['flow'])).err, "suture: unknown command 'flow' (Did you mean flows?) (SUT_USAGE)\n");
  t.match((await suture(['flows', 'x-1'])).err, /--help lists what there is \(SUT_USAGE\)/);
  const { code, json } = await suture(['flows', '--state', 'sewn', '--json']);
  t.equal(code, 2);
  t.match(json, { error: { code: 'SUT_USAGE', message: /'sewn' is invalid/ } });
});

t.test('a config that is wrong or not there is 2', async (t) => {
  const directory = t.testdir({ 'bad.yaml': `${CORE}colour: red\n` });
  const bad = await suture(['core', '-c', join(directory, 'bad.yaml')]);
  t.equal(bad.code, 2);
  t.match(bad.err, /bad\.yaml:4: colour: found an unknown key.*\(SUT_CONFIG_INVALID\)/);
  const none = await suture(['core', '-c', join(directory, 'none.yaml')]);
  t.equal(none.code, 2);
  t.match(none.err, 'SUT_CONFIG_UNREADABLE');
});

t.test('--print-config prints the effective config and starts nothing', async (t) => {
  const file = join(t.testdir({ 'core.yaml': CORE }), 'core.yaml');
  const { code, out } = await suture(['core', '-c', file, '--print-config']);
  t.equal(code, 0);
  t.strictSame(parseConfig('core', 'printed', out), parseConfig('core', 'given', CORE));
  t.match(out, 'level: info');
});

t.test('a role runs until a signal, and drains', async (t) => {
  const file = join(t.testdir({ 'core.yaml': CORE }), 'core.yaml');
  const signals = new EventEmitter();
  let stopped = 0;
  const core = async () => async (given: { config: { name: string } }) => {
    t.equal(given.config.name, 'b1');
    setImmediate(() => signals.emit('SIGTERM', 'SIGTERM'));
    return {
      stop: async () => {
        stopped += 1;
      },
    };
  };
  t.equal((await suture(['core', '-c', file], { signals, programs: { core } })).code, 0);
  t.equal(stopped, 1);
  t.equal(signals.listenerCount('SIGTERM'), 0);
});

t.test('a role that can not start', async (t) => {
  const file = join(t.testdir({ 'core.yaml': CORE }), 'core.yaml');
  const failing = (error: Error) => ({ programs: { core: async () => () => Promise.reject(error) } });
  const known = await suture(
    ['core', '-c', file],
    failing(new SutureError('SUT_NOT_AVAILABLE', 'no switch')),
  );
  t.equal(known.code, 3);
  t.equal(known.err, 'suture: no switch (SUT_NOT_AVAILABLE)\n');
  const unknown = await suture(['core', '-c', file], failing(new Error('boom')));
  t.equal(unknown.code, 1);
  t.match(unknown.err, 'SUT_INTERNAL');
});

t.test('discover', async (t) => {
  const ignored = { wrongNonce: 0, malformed: 0, offLink: 0 };
  const found = {
    available: true,
    interface: 'eth0',
    switch: 's1',
    control: { address: 'fd00::1', port: 57626 },
    capabilities: [],
    epoch: { instance: 'x', seconds: 1 },
    ignored,
  } as const;
  const ports: number[] = [];
  const discover = async () => async (options: { port: number }) => {
    ports.push(options.port);
    return found;
  };
  const yes = await suture(['discover'], { programs: { discover } });
  t.equal(yes.code, 0);
  t.match(yes.out, /^available\n.*control +\[fd00::1\]:57626\n/s);
  const json = await suture(['discover', '--json'], { programs: { discover } });
  t.match(json.json, { available: true, control: '[fd00::1]:57626', switch: 's1' });

  await suture(['discover', '--port', '4000'], { programs: { discover } });
  t.same(ports, [57_627, 57_627, 4000]);
  for (const wrong of ['0', '65536', 'x', '1.5']) {
    t.equal((await suture(['discover', '--port', wrong], { programs: { discover } })).code, 2, wrong);
  }

  const absent = {
    available: false,
    reason: 'no-answer',
    message: 'nobody',
    interfaces: ['eth0'],
    ignored,
  } as const;
  const none = async () => async () => absent;
  const no = await suture(['discover'], { programs: { discover: none } });
  t.equal(no.code, 3);
  t.equal(no.out, 'not available: nobody\n');
  const noJson = await suture(['discover', '--json'], { programs: { discover: none } });
  t.equal(noJson.code, 3);
  t.strictSame(noJson.json, absent);
});

t.test('lab', async (t) => {
  const calls: unknown[] = [];
  const status = {
    prefix: 'suture',
    up: true,
    hosts: [{ host: 'e', namespace: 'suture-e', up: true, addresses: ['10.201.1.2'], processes: [12] }],
  } as const;
  const lab = async () => ({
    labUp: async (options: object = {}) => void calls.push(['up', options]),
    labDown: async () => calls.push(['down']) > 0,
    labStatus: async () => status,
    labExec: async (host: string, argv: readonly string[]) => {
      calls.push(['exec', host, argv]);
      return 7;
    },
  });
  const setting = { programs: { lab } };
  t.equal((await suture(['lab', 'up'], setting)).out, 'the lab is up\n');
  await suture(['lab', 'up', '--standby'], setting);
  t.strictSame((await suture(['lab', 'down', '--json'], setting)).json, { removed: true });
  t.strictSame((await suture(['lab', 'status', '--json'], setting)).json, status);
  t.match((await suture(['lab', 'status'], setting)).out, /^e +suture-e +up +10\.201\.1\.2 +12$/m);
  const run = await suture(['lab', 'exec', 'a', '--', 'ls', '-l', '--json', '--', 'x'], setting);
  t.equal(run.code, 7, 'its exit code is the one of the program');
  t.equal((await suture(['lab', 'exec', 'a', 'ls', '-c'], setting)).code, 7);
  t.strictSame(calls, [
    ['up', {}],
    ['up', { standby: true }],
    ['down'],
    ['exec', 'a', ['ls', '-l', '--json', '--', 'x']],
    ['exec', 'a', ['ls', '-c']],
  ]);
});

t.test('demo', async (t) => {
  const signals = new EventEmitter();
  const demo = async () => async (given: { print: (line: string) => void; signal: AbortSignal }) => {
    given.print('step');
    signals.emit('SIGINT', 'SIGINT');
    return { ok: !given.signal.aborted, document: { connections: [] } };
  };
  const setting = { programs: { demo }, signals };
  const text = await suture(['demo'], setting);
  t.strictSame([text.code, text.out], [1, 'step\n']);
  const json = await suture(['demo', '--json'], setting);
  t.strictSame(json.json, { connections: [] });
  t.equal(json.err, 'step\n');
});
