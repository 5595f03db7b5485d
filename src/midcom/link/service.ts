/** What both ends of a link agree on besides frames: the request that opens a stream, and sizes. */
import { constants, type Http2Stream } from 'node:http2';
import { FrameStream } from './frame-stream.js';

export const LINK_PATH = '/suture.link.v1/stream';
/** The endpoint that the shell wants to reach, as the core offers it; and the peer, for logs. */
export const TO_HEADER = 'suture-to';
export const PEER_HEADER = 'suture-peer';

/** HTTP status of the answer: what became of the stream. */
export const Status = { Open: 200, NotOffered: 404, Full: 429, NoServer: 502, Stopping: 503 } as const;

/** Bytes of one stream that may be on their way without having been read: its share of the receiver's memory. */
export const STREAM_WINDOW = 256 * 1024;
const MEGABYTE = 1024 * 1024;
/** Of both directions of one stream in node:http2: the window, and what is written and not yet sent. */
const STREAM_MEMORY = 4 * STREAM_WINDOW;

/** Options of a session, in the units of node:http2 (`maxSessionMemory` is in megabytes). */
export function sessionOptions(streams: number) {
  return {
    maxSessionMemory: Math.ceil((streams * STREAM_MEMORY) / MEGABYTE) + 10,
    settings: { initialWindowSize: STREAM_WINDOW, enablePush: false },
  };
}

export function framesOn(stream: Http2Stream): FrameStream {
  return new FrameStream(stream, () => {
    if (!stream.closed) stream.close(constants.NGHTTP2_CANCEL);
  });
}
