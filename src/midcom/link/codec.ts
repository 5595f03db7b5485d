/**
 * What a stream of a link is made of: frames of a type, a length and a payload, big-endian.
 *
 *   0  type, one byte    1  length of the payload, four bytes    5  payload
 *
 * The payload of Data may come in any number of pieces and is handed on as it comes; every other frame is short
 * and handed on whole. What no end of this version would send is an error, never skipped: a byte that is not
 * understood could be a byte that is lost.
 */
import { SutureError } from '../../platform/errors.js';

export const FrameType = {
  /** Bytes of the connection. */
  Data: 1,
  /** The sender's side has ended, after this many bytes. */
  End: 2,
  /** Core to shell: please move this connection. */
  Ask: 3,
  /** Shell to core: an inner connection will come with this token. The next four have the token as well. */
  Prepare: 4,
  /** Core to shell: let it come; or it can't. */
  Prepared: 5,
  Refused: 6,
  /** Core to shell: it has come. */
  Attached: 7,
  /** Shell to core: it will not be used. */
  Abandon: 8,
  /** The sender's next byte, whose position this is, comes on the inner connection. */
  Switch: 9,
} as const;
export type FrameType = (typeof FrameType)[keyof typeof FrameType];
export type ControlType = Exclude<FrameType, typeof FrameType.Data>;

const LENGTH_AT = 1;
const HEADER_BYTES = 5;
/** One read of a socket; more is never written as one frame. */
export const MAX_DATA_BYTES = 1024 * 1024;
export const POSITION_BYTES = 8;
export const TOKEN_BYTES = 24;

/** Payload of each frame that is no data. */
const CONTROL_BYTES: Readonly<Record<ControlType, number>> = {
  [FrameType.End]: POSITION_BYTES,
  [FrameType.Ask]: 0,
  [FrameType.Prepare]: TOKEN_BYTES,
  [FrameType.Prepared]: TOKEN_BYTES,
  [FrameType.Refused]: TOKEN_BYTES,
  [FrameType.Attached]: TOKEN_BYTES,
  [FrameType.Abandon]: TOKEN_BYTES,
  [FrameType.Switch]: POSITION_BYTES,
};

const NO_PAYLOAD = Buffer.alloc(0);

export interface FrameSink {
  /** A piece of the connection's bytes. Never empty. */
  data(piece: Buffer): void;
  control(type: ControlType, payload: Buffer): void;
}

export function frameHeader(type: FrameType, length: number): Buffer {
  const header = Buffer.allocUnsafe(HEADER_BYTES);
  header.writeUInt8(type);
  header.writeUInt32BE(length, LENGTH_AT);
  return header;
}

export function controlFrame(type: ControlType, payload: Buffer = NO_PAYLOAD): Buffer {
  return Buffer.concat([frameHeader(type, payload.length), payload]);
}

export function positionPayload(position: number): Buffer {
  const payload = Buffer.allocUnsafe(POSITION_BYTES);
  payload.writeBigUInt64BE(BigInt(position));
  return payload;
}

export function positionOf(payload: Buffer): number {
  const position = Number(payload.readBigUInt64BE());
  if (!Number.isSafeInteger(position)) throw linkFault(`a position of ${position} bytes`);
  return position;
}

export class FrameDecoder {
  /** What has come of a header, or of a short frame with its header. */
  #kept: Buffer = NO_PAYLOAD;
  /** Bytes of a Data frame that are still to come. */
  #dataLeft = 0;

  /** Throws on what can't be; nothing may be pushed after that. */
  push(chunk: Buffer, sink: FrameSink): void {
    let rest = this.#kept.length > 0 ? Buffer.concat([this.#kept, chunk]) : chunk;
    this.#kept = NO_PAYLOAD;
    while (rest.length > 0) {
      const used = this.#dataLeft > 0 ? this.#passData(rest, sink) : this.#takeFrame(rest, sink);
      if (used === 0) break;
      rest = rest.subarray(used);
    }
    // A header or a short frame at most: 32 bytes.
    if (rest.length > 0) this.#kept = Buffer.from(rest);
  }

  #passData(rest: Buffer, sink: FrameSink): number {
    const piece = rest.subarray(0, this.#dataLeft);
    this.#dataLeft -= piece.length;
    sink.data(piece);
    return piece.length;
  }

  /** The bytes that it has used; 0: more have to come. */
  #takeFrame(rest: Buffer, sink: FrameSink): number {
    if (rest.length < HEADER_BYTES) return 0;
    const type = rest.readUInt8();
    const length = rest.readUInt32BE(LENGTH_AT);
    if (type === FrameType.Data) {
      if (length === 0 || length > MAX_DATA_BYTES) throw linkFault(`a data frame of ${length} bytes`);
      this.#dataLeft = length;
      return HEADER_BYTES;
    }
    if (!isControl(type)) throw linkFault(`a frame of type ${type}`);
    if (length !== CONTROL_BYTES[type]) throw linkFault(`a frame of type ${type} with ${length} bytes`);
    const end = HEADER_BYTES + length;
    if (rest.length < end) return 0;
    // A copy: the payload may be kept, the chunk belongs to the stream.
    sink.control(type, Buffer.from(rest.subarray(HEADER_BYTES, end)));
    return end;
  }
}

function isControl(type: number): type is ControlType {
  return type in CONTROL_BYTES;
}

export function linkFault(what: string): SutureError {
  return new SutureError('SUT_LINK', `the other end of the link sent ${what}; update the older of the two`);
}
