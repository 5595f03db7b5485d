/** How often hosts of a lab had to send a segment again, by which a lost packet shows: for benchmarks and tests. */
import { inNamespace, runTool } from './command.js';
import { type LabHost, namespaceOf } from './layout.js';

/** TCP segments that the hosts' kernels have sent again so far, all together (RFC 4022: tcpRetransSegs). */
export async function segmentsSentAgain(prefix: string, hosts: readonly LabHost[]): Promise<number> {
  const texts = await Promise.all(
    hosts.map((host) =>
      runTool('TCP counters', inNamespace(namespaceOf(prefix, host), ['cat', '/proc/net/snmp'])),
    ),
  );
  return texts.map(countOf).reduce((sum, count) => sum + count, 0);
}

/** The file has a line of names, and behind it one of values. */
function countOf(snmp: string): number {
  const [names = [], values = []] = snmp
    .split('\n')
    .filter((line) => line.startsWith('Tcp:'))
    .map((line) => line.split(' '));
  return Number(values[names.indexOf('RetransSegs')]);
}
