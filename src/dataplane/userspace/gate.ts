/**
 * The gate keeps the host from forwarding what the data path carries, so that no packet goes out twice: an
 * nftables table drops the owned ports' TCP packets ahead of the host's own forwarding, behind the point
 * where libpcap has read them.
 *
 * The table belongs to an `nft` process that is fed through a pipe (`flags owner`): the kernel removes it
 * when that process ends, and that process ends when the pipe closes. So no way in which the switch can die
 * leaves a rule behind.
 *
 * Where another process will go on with the flows (`guarded`), a second table stays behind a switch that was killed. It
 * drops only the resets by which the shell's kernel answers packets of connections that it has no socket for: a
 * RST without ACK (RFC 9293 section 3.5.2). The ends of a stitched flow then send again until a switch is there. A
 * stop in order removes it.
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
    private readonly guarded = false,
  ) {
    this.table = `suture_${name.replace(/[^A-Za-z0-9_]/g, '_')}`;
  }

  /** `ports`: owned from the start. */
  async start(ports: readonly OwnedPorts[] = []): Promise<void> {
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
    if (this.guarded) await this.replaceGuard(ports);
    else await this.removeGuard();
    try {
      const owned = ports.map((p) => `add element inet ${this.table} ${element(p)}`);
      await this.command([...this.rules(), ...owned]);
    } catch (error) {
      await this.stop();
      throw error;
    }
  }

  /** `keep`: the guard stays. */
  async stop(keep = false): Promise<void> {
    this.stopping = true;
    const { child } = this;
    if (!child) return;
    if (!keep) await this.removeGuard();
    const gone = new Promise((resolve) => child.once('exit', resolve));
    child.stdin?.end();
    await gone;
  }

  async add(ports: readonly OwnedPorts[]): Promise<void> {
    await this.command(this.tables().flatMap((t) => ports.map((p) => `add element inet ${t} ${element(p)}`)));
  }

  async remove(ports: readonly OwnedPorts[]): Promise<void> {
    await this.command(
      this.tables().flatMap((t) => ports.map((p) => `delete element inet ${t} ${element(p)}`)),
    );
  }

  private tables(): string[] {
    return this.guarded ? [this.table, this.guard] : [this.table];
  }

  private get guard(): string {
    return `${this.table}_guard`;
  }

  private async removeGuard(): Promise<void> {
    await run('nft', ['delete', 'table', 'inet', this.guard], { okCodes: [0, 1] });
  }

  /** In one transaction: what a killed switch left must not be gone in between. */
  private async replaceGuard(ports: readonly OwnedPorts[]): Promise<void> {
    const t = `inet ${this.guard}`;
    const reset = 'tcp flags & (rst | ack) == rst';
    const rules = [
      `add table ${t}`,
      `delete table ${t}`,
      `add table ${t}`,
      `add set ${t} owned4 { type ipv4_addr . inet_service; flags interval; auto-merge; }`,
      `add set ${t} owned6 { type ipv6_addr . inet_service; flags interval; auto-merge; }`,
      ...ports.map((p) => `add element ${t} ${element(p)}`),
      `add chain ${t} guard { type filter hook forward priority -350; policy accept; }`,
      `add rule ${t} guard ip saddr . tcp sport @owned4 ${reset} drop`,
      `add rule ${t} guard ip6 saddr . tcp sport @owned6 ${reset} drop`,
    ];
    await run('nft', ['-f', '-'], { input: `${rules.join('\n')}\n` });
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
