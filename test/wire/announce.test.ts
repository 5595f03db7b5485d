/** Announcements of addresses, byte for byte. */
import t from 'tap';
import { announcement } from '../../src/wire/announce.js';
import { finishChecksum, sumBytes } from '../../src/wire/checksum.js';

const MAC = '02:00:00:00:00:01';

t.test('a gratuitous ARP request (RFC 5227 section 3)', async (t) => {
  const frame = announcement('10.201.1.1', MAC).toString('hex');
  const ethernet = 'ffffffffffff 020000000001 0806';
  const arp = '0001 0800 06 04 0001 020000000001 0ac90101 000000000000 0ac90101';
  t.equal(frame, `${ethernet} ${arp}`.replaceAll(' ', ''));
});

t.test('an unsolicited neighbour advertisement (RFC 4861 section 7.2.6)', async (t) => {
  const frame = announcement('fd00:201:1::1', MAC);
  const address = 'fd000201000100000000000000000001';
  const allNodes = 'ff020000000000000000000000000001';
  const ip = `60000000 0020 3a ff ${address} ${allNodes}`;
  const icmp = `88 00 .... a0000000 ${address} 02 01 020000000001`;
  t.match(
    frame.toString('hex'),
    new RegExp(`^333300000001 020000000001 86dd ${ip} ${icmp}$`.replaceAll(' ', '')),
  );
  t.equal(finishChecksum(sumBytes(frame, 22, frame.length, 32 + 58)), 0, 'its checksum');
});
