/**
 * The gate keeps the host from forwarding what the data path carries, so that no packet goes out twice: an
 * nftables table drops the owned ports' TCP packets ahead of the host's own forwarding, behind the point
 * where libpcap has read them.
 *
 * The table belongs to an `nft` process that is fed through a pipe (`flags owner`): the kernel removes it
 * when that process ends, and that process ends when the pipe closes. So no way in which the switch can die
 * leaves a rule behind.
 *
 * What is left to the host on purpose: fragments (they have no ports), packets whose TTL ends here (the host
 * answers with ICMP), and packets for the host itself.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import type { OwnedPorts } from '../../flow/endpoints.js';
import type { Clock } from '../../platform/clock.js';
import { SutureError } from '../../platform/errors.js';
import { run } from '../../platform/process.js';

const CONFIRM_TRIES = 100;
const CONFIRM_WAIT = 20;

export class Gate {
  private readonly table: string;
  private child: ChildProcess | undefined;
  private complaints = '';
  /** Begins anywhere, so that another switch's marks are not taken for one's own. */
  private generation = randomInt(1, 2 ** 30);
  private stopping = false;

  constructor(
    name: string,
    private readonly interfaces: readonly string[],
    private readonly clock: Clock,
    /** Called when the table is gone although nobody stopped the gate: packets would be forwarded twice. */
    private readonly onLost: (error: SutureError) => void,
  ) {
    this.table = `suture_${name.replace(/[^A-Za-z0-9_]/g, '_')}`;
  }

  async start(): Promise<void> {
    // A process group of its own: a Ctrl-C for the switch must not end the gate before the data path.
    const child = spawn('nft', ['-i'], { stdio: ['pipe', 'ignore', 'pipe'], detached: true });
    this.child = child;
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.complaints += text;
    });
    child.stdin?.on('error', () => {});
    child.on('error', (error) => {
      this.complaints += error.message;
    });
    child.on('exit', (code) => {
      this.child = undefined;
      if (this.stopping) return;
      const why = this.complaints.trim() || `exit code ${code}`;
      this.onLost(
        new SutureError('SUT_TOOL_FAILED', `nft, which holds the table ${this.table}, ended: ${why}`),
      );
    });
    try {
      await this.command(this.rules());
    } catch (error) {
      await this.stop();
      throw error;
    }
  }

  async stop(): Promise<void> {
    this.stopping = true;
    const { child } = this;
    if (!child) return;
    const gone = new Promise((resolve) => child.once('exit', resolve));
    child.stdin?.end();
    await gone;
  }

  async add(ports: readonly OwnedPorts[]): Promise<void> {
    await this.command(ports.map((p) => `add element inet ${this.table} ${element(p)}`));
  }

  async remove(ports: readonly OwnedPorts[]): Promise<void> {
    await this.command(ports.map((p) => `delete element inet ${this.table} ${element(p)}`));
  }

  private rules(): string[] {
    const t = `inet ${this.table}`;
    const names = this.interfaces.map((name) => `"${name}"`).join(', ');
    const common = `meta iifname { ${names} } meta pkttype host fib daddr type != local`;
    const v4 = 'ip ttl > 1 ip frag-off & 0x3fff == 0';
    const v6 = 'ip6 hoplimit > 1 exthdr frag missing';
    return [
      `add table ${t} { flags owner; }`,
      `add set ${t} owned4 { type ipv4_addr . inet_service; flags interval; auto-merge; }`,
      `add set ${t} owned6 { type ipv6_addr . inet_service; flags interval; auto-merge; }`,
      `add set ${t} generation { type mark; }`,
      `add chain ${t} gate { type filter hook prerouting priority -350; policy accept; }`,
      `add rule ${t} gate ${common} ${v4} ip daddr . tcp dport @owned4 drop`,
      `add rule ${t} gate ${common} ${v4} ip saddr . tcp sport @owned4 drop`,
      `add rule ${t} gate ${common} ${v6} ip6 daddr . tcp dport @owned6 drop`,
      `add rule ${t} gate ${common} ${v6} ip6 saddr . tcp sport @owned6 drop`,
    ];
  }

  /**
   * Gives commands to nft and waits until a mark that follows them can be read back from the kernel: its own
   * answers come through a buffer that is not emptied before it ends.
   */
  private async command(lines: readonly string[]): Promise<void> {
    const { child } = this;
    if (!child?.stdin)
      throw new SutureError('SUT_TOOL_FAILED', `nft is not running: ${this.complaints.trim()}`);
    this.complaints = '';
    const mark = ++this.generation;
    const last = `add element inet ${this.table} generation { ${mark} }`;
    child.stdin.write(`${[...lines, last].join('\n')}\n`);
    for (let tries = 0; tries < CONFIRM_TRIES; tries++) {
      const marks = await run('nft', ['list', 'set', 'inet', this.table, 'generation'], { okCodes: [0, 1] });
      if (marks.stdout.includes(`0x${mark.toString(16).padStart(8, '0')}`)) break;
      if (this.complaints !== '' || this.child === undefined) break;
      await this.clock.sleep(CONFIRM_WAIT);
    }
    if (this.complaints !== '') throw this.refused();
  }

  private refused(): SutureError {
    const said = this.complaints.trim();
    if (/Operation not permitted|File exists/i.test(said)) {
      return new SutureError(
        'SUT_ALREADY_RUNNING',
        `nft refused the table ${this.table} (${said}): another switch of this name holds it, or CAP_NET_ADMIN is missing`,
      );
    }
    return new SutureError(
      'SUT_TOOL_FAILED',
      `nft refused the rules of table ${this.table}: ${said}. It needs Linux 5.12 with nf_tables and nft 1.0`,
    );
  }
}

function element({ address, from, to }: OwnedPorts): string {
  const set = address.includes(':') ? 'owned6' : 'owned4';
  return `${set} { ${address} . ${from === to ? from : `${from}-${to}`} }`;
}
