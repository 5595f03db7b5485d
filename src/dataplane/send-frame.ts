/**
 * Sends single Ethernet frames, by a packet socket (packet(7)). `cap` could, but only with a capture, whose tap every
 * packet of the interface passes while it is open.
 */
import { SutureError } from '../platform/errors.js';
import { bindLibrary, lastErrno } from '../platform/ffi.js';
import { interfaceFacts } from './interface-facts.js';

const AF_PACKET = 17;
const SOCK_RAW = 3;
const SOCK_CLOEXEC = 0o2000000;
/** Of a socket with this protocol nothing is received. */
const NOTHING = 0;
/** struct sockaddr_ll of linux/if_packet.h: family and interface; for a whole frame the rest does not matter. */
const SOCKADDR_LL = { bytes: 20, family: 0, interface: 4 } as const;

interface Libc {
  socket(domain: number, type: number, protocol: number): number;
  sendto(fd: number, bytes: Buffer, length: number, flags: number, to: Buffer, toLength: number): bigint;
  close(fd: number): number;
}

let libc: Libc | undefined;

/** `frame` is made for the interface's MAC address. Rejects with a `SutureError`. */
export async function sendFrame(device: string, frame: (mac: string) => Buffer): Promise<void> {
  const { index, mac } = await interfaceFacts(device);
  const bytes = frame(mac);
  const to = Buffer.alloc(SOCKADDR_LL.bytes);
  to.writeUInt16LE(AF_PACKET, SOCKADDR_LL.family);
  to.writeInt32LE(index, SOCKADDR_LL.interface);
  libc ??= bindLibrary<Libc>(
    'libc.so.6',
    {
      socket: 'int socket(int domain, int type, int protocol)',
      sendto:
        'long sendto(int fd, const void *bytes, size_t length, int flags, const void *to, int to_length)',
      close: 'int close(int fd)',
    },
    'install libc6',
  );
  const fd = libc.socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, NOTHING);
  if (fd < 0) throw failure(device, 'open a packet socket');
  try {
    if (Number(libc.sendto(fd, bytes, bytes.length, 0, to, to.length)) !== bytes.length)
      throw failure(device, `send ${bytes.length} bytes`);
  } finally {
    libc.close(fd);
  }
}

function failure(device: string, what: string): SutureError {
  return new SutureError(
    'SUT_CAPTURE_FAILED',
    `can't ${what} on ${device}: errno ${lastErrno()}; it needs CAP_NET_RAW and an interface that is up`,
  );
}
