/**
 * The reading end of a BPF ring buffer.
 *
 * The event loop watches libbpf's epoll descriptor, so a record wakes the process at once and an idle buffer
 * costs nothing. Records are taken in batches, between which everything else gets its turn; so a program that
 * writes faster than they are read can not hold the loop up.
 */
import { SutureError } from '../../platform/errors.js';
import {
  type Callback,
  callback,
  copyFrom,
  lastErrno,
  type Pointer,
  type Watch,
  watchReadable,
} from '../../platform/ffi.js';
import { BpfError, Errno } from './bpf-error.js';
import { type BpfMap, MapType } from './bpf-map.js';
import { libbpf } from './native.js';

/** The record is the reader's only until it returns: its bytes are overwritten by the next one. */
export type OnRecord = (record: Buffer) => void;

/** Some milliseconds' worth. */
const BATCH_RECORDS = 1024;
const FIRST_RECORD_BYTES = 512;
/** What the callback returns to make libbpf stop; the record counts as read. */
const STOP = -Errno.ECANCELED;

export class RingBuffer {
  private ring: Pointer | undefined;
  private readonly callback: Callback;
  private watch: Watch | undefined;
  private onRecord: OnRecord;
  private record = Buffer.alloc(FIRST_RECORD_BYTES);
  private taken = 0;
  private limit = 0;
  private consuming = false;
  private failure: { readonly error: unknown } | undefined;

  /** `onRecord` may be given to `start` in place. The map has to stay open until `stop`. */
  constructor(map: BpfMap, onRecord: OnRecord = () => {}) {
    if (map.type !== MapType.Ringbuf) {
      throw new SutureError('SUT_INTERNAL', `map ${map.name} is no ring buffer`);
    }
    this.onRecord = onRecord;
    this.callback = callback('int', ['void *', 'void *', 'size_t'], this.onSample);
    const ring = libbpf().ring_buffer__new(map.fd, this.callback.pointer, null, null);
    if (ring === null) {
      const errno = lastErrno();
      this.callback.release();
      throw new BpfError({ subject: `map ${map.name}`, operation: 'map the ring buffer', errno });
    }
    this.ring = ring;
  }

  /** From now on each record is given to `onRecord`. What it throws is thrown from the event loop. */
  start(onRecord: OnRecord = this.onRecord): void {
    if (this.ring === undefined || this.watch) throw new SutureError('SUT_INTERNAL', 'ring buffer in use');
    this.onRecord = onRecord;
    this.watch = watchReadable(libbpf().ring_buffer__epoll_fd(this.ring), () => {
      this.take(BATCH_RECORDS);
    });
  }

  /** Reads what is there now, without waiting, and gives the number of records. */
  consume(limit = Number.MAX_SAFE_INTEGER): number {
    return this.take(limit);
  }

  /** Stops giving out records until the next `start`; they stay in the buffer. */
  pause(): void {
    this.watch?.close();
    this.watch = undefined;
  }

  /** Ends reading; may be called from `onRecord`. Records that nobody read are dropped with the buffer. */
  stop(): void {
    this.pause();
    if (!this.consuming) this.free();
    else this.limit = 0;
  }

  private take(limit: number): number {
    if (this.ring === undefined || this.consuming) return 0;
    this.taken = 0;
    this.limit = limit;
    this.consuming = true;
    const result = libbpf().ring_buffer__consume(this.ring);
    this.consuming = false;
    if (this.limit === 0) this.free();
    const { failure } = this;
    this.failure = undefined;
    if (failure) throw failure.error;
    if (result < 0 && result !== STOP) {
      throw new BpfError({ subject: 'ring buffer', operation: 'consume', errno: result });
    }
    return this.taken;
  }

  private readonly onSample = (_context: Pointer | null, data: Pointer, size: number): number => {
    try {
      const length = Number(size);
      if (length > this.record.length) this.record = Buffer.alloc(length);
      copyFrom(data, this.record, length);
      this.taken += 1;
      this.onRecord(this.record.subarray(0, length));
    } catch (error) {
      this.failure = { error };
      return STOP;
    }
    return this.taken < this.limit ? 0 : STOP;
  };

  private free(): void {
    if (this.ring === undefined) return;
    libbpf().ring_buffer__free(this.ring);
    this.ring = undefined;
    this.callback.release();
  }
}
