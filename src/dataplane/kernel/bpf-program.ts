/** A loaded BPF program: what it is, runs on made-up packets, pins. Owns a descriptor of its own. */
import { readlinkSync } from 'node:fs';
import { SutureError } from '../../platform/errors.js';
import { address } from '../../platform/ffi.js';
import { BpfError } from './bpf-error.js';
import { closeDescriptor, openPinned, type ProgramInfo, pin, programInfo } from './bpf-info.js';
import { TEST_RUN_OPTIONS as OPTIONS, optionsBuffer } from './layouts.js';
import { libbpf } from './native.js';

export interface TestRun {
  /** The packet, from its Ethernet header on. */
  readonly data: Buffer;
  /** Gets the packet as the program leaves it; has to be large enough for it. */
  readonly dataOut?: Buffer;
  /** struct __sk_buff before and after, for programs at tc. */
  readonly ctx?: Buffer;
  readonly ctxOut?: Buffer;
  /** The number of runs, 1 by default. */
  readonly repeat?: number;
}

export interface TestResult {
  /** Signed: TC_ACT_UNSPEC is -1. */
  readonly retval: number;
  readonly dataOutLength: number;
  readonly ctxOutLength: number;
  /** On average, of one run. */
  readonly durationNs: number;
}

export class BpfProgram {
  readonly id: number;
  /** Of the instructions: two loads of one program have the same, a changed program has another. */
  readonly tag: string;
  private descriptor: number;

  /** Takes over `fd`. */
  constructor(
    fd: number,
    readonly name: string,
  ) {
    this.descriptor = fd;
    const { id, tag } = programInfo(fd, `program ${name}`);
    this.id = id;
    this.tag = tag;
  }

  /** The program that is pinned at `path`; undefined when nothing is. */
  static fromPin(path: string): BpfProgram | undefined {
    const fd = openPinned(path);
    if (fd === undefined) return undefined;
    try {
      if (!readlinkSync(`/proc/self/fd/${fd}`).includes('bpf-prog')) {
        throw new SutureError('SUT_DATAPLANE_FAILED', `${path}: what is pinned there is no program`);
      }
      return new BpfProgram(fd, path.slice(path.lastIndexOf('/') + 1));
    } catch (error) {
      closeDescriptor(fd);
      throw error;
    }
  }

  get fd(): number {
    if (this.descriptor < 0) throw new SutureError('SUT_INTERNAL', `program ${this.name} is closed`);
    return this.descriptor;
  }

  get info(): ProgramInfo {
    return programInfo(this.fd, `program ${this.name}`);
  }

  testRun({ data, dataOut, ctx, ctxOut, repeat = 1 }: TestRun): TestResult {
    const options = optionsBuffer(OPTIONS);
    const put = (buffer: Buffer | undefined, at: number, sizeAt: number): void => {
      if (!buffer?.length) return;
      options.writeBigUInt64LE(address(buffer), at);
      options.writeUInt32LE(buffer.length, sizeAt);
    };
    put(data, OPTIONS.data_in, OPTIONS.data_size_in);
    put(dataOut, OPTIONS.data_out, OPTIONS.data_size_out);
    put(ctx, OPTIONS.ctx_in, OPTIONS.ctx_size_in);
    put(ctxOut, OPTIONS.ctx_out, OPTIONS.ctx_size_out);
    options.writeInt32LE(repeat, OPTIONS.repeat);
    const result = libbpf().bpf_prog_test_run_opts(this.fd, options);
    if (result < 0) {
      throw new BpfError({ subject: `program ${this.name}`, operation: 'test run', errno: result });
    }
    return {
      retval: options.readInt32LE(OPTIONS.retval),
      dataOutLength: options.readUInt32LE(OPTIONS.data_size_out),
      ctxOutLength: options.readUInt32LE(OPTIONS.ctx_size_out),
      durationNs: options.readUInt32LE(OPTIONS.duration),
    };
  }

  pin(path: string): void {
    pin(this.fd, path, `program ${this.name}`);
  }

  close(): void {
    if (this.descriptor < 0) return;
    closeDescriptor(this.descriptor);
    this.descriptor = -1;
  }
}
