/** The parts of the two packages without types of their own that the userspace path uses. */
declare module 'cap' {
  import { EventEmitter } from 'node:events';
  export class Cap extends EventEmitter {
    /** Returns the link type. The buffer must live as long as the capture: the addon does not hold it. */
    open(device: string, filter: string, bufferSize: number, buffer: Buffer): string;
    close(): boolean;
    /** Sends a frame out of the device, at once. */
    send(frame: Buffer, length: number): void;
    on(event: 'packet', listener: (length: number, truncated: boolean) => void): this;
  }
  const addon: { Cap: typeof Cap };
  export default addon;
}

declare module 'raw-socket' {
  import { EventEmitter } from 'node:events';
  export interface Wrap {
    /** `sendto(2)`, at once; throws with the text of errno. */
    send(
      buffer: Uint8Array,
      offset: number,
      length: number,
      address: string,
      sent: (bytes: number) => void,
    ): void;
  }
  export interface Socket extends EventEmitter {
    readonly wrap: Wrap;
    setOption(level: number, option: number, value: number): void;
    pauseRecv(): this;
    close(): this;
  }
  const raw: {
    AddressFamily: { IPv4: number; IPv6: number };
    createSocket(options: { protocol: number; addressFamily: number; bufferSize?: number }): Socket;
  };
  export default raw;
}
