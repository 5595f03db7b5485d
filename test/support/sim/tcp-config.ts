/** How one simulated TCP end behaves, and what it tells its surroundings. */
import type { Packet, Path } from './packet.js';

export interface TcpConfig {
  readonly name: string;
  /** MSS that it announces. */
  readonly mss: number;
  /** Window scale that it offers; −1: the option is off. */
  readonly windowScale: number;
  readonly sack: boolean;
  readonly dsack: boolean;
  readonly timestamps: boolean;
  readonly timestampOffset: number;
  /** Milliseconds a tick of its timestamp clock. */
  readonly timestampTick: number;
  readonly initialSequence: number;
  readonly receiveBuffer: number;
  readonly sendBuffer: number;
  /** Acks every segment at once. */
  readonly quickAck: boolean;
  /** Largest super-segment, in MSS. */
  readonly supers: number;
  /** How often a retransmission has other boundaries than the first transmission had. */
  readonly reshape: number;
  /** RFC 9293 section 3.10.7.4 to the letter; else Linux's wider left edge (RCV.WUP). */
  readonly strictLeft: boolean;
  /** Linux ≥ 6.17: drops data that reaches beyond the window while the application has bytes to read. */
  readonly strictRight: boolean;
  /** Linux: a bare ack takes SND.NXT when the window ends less than one scale unit before it. */
  readonly ackSlack: boolean;
  readonly tailProbes: boolean;
  /** Idle milliseconds before a keepalive probe; these carry one garbage byte if `keepaliveByte`. */
  readonly keepalive: number;
  readonly keepaliveByte: boolean;
  readonly minRto: number;
}

/** The application above an end. */
export interface TcpOwner {
  onEstablished(): void;
  /** Something can be read or written, or the stream ended. */
  onProgress(): void;
  /** Reset by the other end. */
  onReset(): void;
}

/** What is around an end: where its packets go, and who is told of what must never happen. */
export interface TcpSurroundings {
  transmit(packet: Packet): void;
  fault(rule: string, text: string): void;
}

export interface StreamMap {
  readonly out: Path;
  /** Content number minus stream offset, for what this end sends and for what it is to receive. */
  readonly sendShift: number;
  readonly receiveShift: number;
}
