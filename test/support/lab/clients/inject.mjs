/** Sends whole IP packets as they are. Arguments: packets, as hex. It reports when they have left. */
import { Sender, SendResult } from '#suture/dataplane/userspace/sender.js';
import { args, report } from './common.mjs';

const sender = new Sender();
sender.start();
for (const hex of args.packets) {
  const packet = Buffer.from(hex, 'hex');
  const isIpv6 = packet[0] >> 4 === 6;
  const words = Uint32Array.from([0, 1, 2, 3], (i) => (isIpv6 ? packet.readUInt32BE(24 + 4 * i) : 0));
  const result = isIpv6
    ? sender.sendIpv6(packet, 0, packet.length, words, 0)
    : sender.sendIpv4(packet, 0, packet.length, packet.readUInt32BE(16));
  if (result !== SendResult.Sent) throw new Error(`not sent: ${sender.lastError}`);
}
sender.stop();
report({ sent: args.packets.length });
