/** What the kernel says of a network interface, asked of `ip`: in whatever network namespace this process is. */
import { SutureError } from '../platform/errors.js';
import { run } from '../platform/process.js';

export interface InterfaceFacts {
  readonly device: string;
  readonly index: number;
  readonly mac: string;
  /** Bytes of an IP packet. */
  readonly mtu: number;
}

interface Link {
  readonly ifindex: number;
  readonly address: string;
  readonly mtu: number;
  readonly flags: readonly string[];
}

/** Rejects with SUT_INTERFACE_UNKNOWN where it is not there, or down. */
export async function interfaceFacts(device: string): Promise<InterfaceFacts> {
  const { code, stdout } = await run('ip', ['-j', 'link', 'show', 'dev', device], { okCodes: [0, 1] });
  const [link] = code === 0 ? (JSON.parse(stdout) as Link[]) : [];
  if (link?.flags.includes('UP')) {
    return { device, index: link.ifindex, mac: link.address, mtu: link.mtu };
  }
  throw new SutureError(
    'SUT_INTERFACE_UNKNOWN',
    `interface ${device} is ${link ? 'down' : 'not'} in this network namespace; name under \`interfaces\` one that \`ip link\` shows up`,
  );
}
