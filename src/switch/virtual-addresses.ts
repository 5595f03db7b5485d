/**
 * The addresses that hosts route to: the active switch of a group has them on its interfaces, and says so on the links.
 *
 * What always holds: what was asked for last is what is so in the end. Changes are made one after the other, and hooks
 * too: two programs at once may end in any order, and an address that stays with a switch that lost its place is one
 * that two hosts answer for.
 *
 * Where no `virtualAddresses` are configured somebody else moves them: a hook's script, or a program like keepalived.
 */
import type { Clock } from '../platform/clock.js';
import type { SwitchConfig } from '../platform/config/index.js';
import { asSutureError } from '../platform/errors.js';
import type { Logger } from '../platform/log.js';
import { run } from '../platform/process.js';
import { announcement } from '../wire/announce.js';

/** Waits before each announcement: some may get lost, and some hosts may have asked the former switch meanwhile. */
const ANNOUNCE_AFTER_MS = [0, 100, 400, 1_000, 3_000];
const HOOK_TIMEOUT_MS = 10_000;

export interface VirtualAddressParts {
  readonly config: Pick<SwitchConfig, 'virtualAddresses' | 'hooks' | 'name' | 'group'>;
  readonly send: (device: string, frame: (mac: string) => Buffer) => Promise<void>;
  readonly clock: Clock;
  readonly log: Logger;
}

export class VirtualAddresses {
  private stopped = new AbortController();
  private changing: Promise<void> = Promise.resolve();
  private calling: Promise<void> = Promise.resolve();

  constructor(private readonly parts: VirtualAddressParts) {}

  async take(): Promise<void> {
    this.stopped.abort();
    this.stopped = new AbortController();
    await this.change('replace');
    void this.announce(this.stopped.signal);
    await this.hook('active');
  }

  async release(): Promise<void> {
    this.stopped.abort();
    await this.change('del');
    await this.hook('standby');
  }

  /** Says no more; the addresses stay. */
  stop(): void {
    this.stopped.abort();
  }

  private change(how: 'replace' | 'del'): Promise<void> {
    this.changing = this.changing.then(() => this.runIp(how));
    return this.changing;
  }

  private hook(role: 'active' | 'standby'): Promise<void> {
    this.calling = this.calling.then(() => this.runHook(role));
    return this.calling;
  }

  private async runIp(how: 'replace' | 'del'): Promise<void> {
    const { config, log } = this.parts;
    await Promise.all(
      config.virtualAddresses.map(async ({ interface: device, address }) => {
        const isIpv6 = address.includes(':');
        // The former switch may still have it, so nobody is asked whether somebody has.
        const flags = isIpv6 && how === 'replace' ? ['nodad'] : [];
        // One that is not there need not be removed.
        const okCodes = how === 'del' ? [0, 1, 2] : [0];
        try {
          await run('ip', ['addr', how, address, 'dev', device, ...flags], { okCodes });
        } catch (error) {
          log.error({ err: asSutureError(error), address, interface: device }, 'virtual address');
        }
      }),
    );
  }

  private async announce(signal: AbortSignal): Promise<void> {
    const { clock, config, log, send } = this.parts;
    for (const wait of ANNOUNCE_AFTER_MS) {
      if (wait > 0) await clock.sleep(wait, signal).catch(() => {});
      for (const { interface: device, address } of config.virtualAddresses) {
        if (signal.aborted) return;
        const [text = ''] = address.split('/');
        await send(device, (mac) => announcement(text, mac)).catch((error: unknown) =>
          log.warn({ err: asSutureError(error), address, interface: device }, 'not announced'),
        );
      }
    }
  }

  private async runHook(role: 'active' | 'standby'): Promise<void> {
    const { config, log } = this.parts;
    const program = config.hooks[role];
    if (program === undefined) return;
    const env = { ...process.env, SUTURE_ROLE: role, SUTURE_NAME: config.name, SUTURE_GROUP: config.group };
    try {
      await run(program, [role], { timeoutMs: HOOK_TIMEOUT_MS, env });
    } catch (error) {
      log.error({ err: asSutureError(error), hook: program }, `the hook for ${role} failed`);
    }
  }
}
