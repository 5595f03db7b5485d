/** What the client programs report; see clients/. */

export interface StreamResult {
  readonly sent: string;
  readonly received: string;
  readonly bytes: number;
}

export interface ConnectionResult {
  /** The client's end of the connection. */
  readonly local: string;
  /** Bytes that its application wrote and read. */
  readonly written: number;
  readonly read: number;
  readonly error?: string;
}

export interface TransferResult extends ConnectionResult {
  readonly mode: 'down' | 'up' | 'both';
  readonly status: number;
  readonly ms: number;
  /** Longest time between two reads, at the client and at the server. */
  readonly pauseMs: number;
  readonly farPauseMs: number;
  readonly up?: StreamResult;
  readonly down?: StreamResult;
}

export interface KeepAliveResult extends ConnectionResult {
  readonly requests: number;
  readonly answer?: string;
}

export interface PingPongResult extends ConnectionResult {
  readonly rounds: number;
  readonly worstMs: number;
}

export interface EndingResult extends ConnectionResult {
  readonly up?: StreamResult;
  readonly down?: StreamResult;
  readonly answeredForMs?: number;
}

export interface ConnectResult {
  readonly connected: boolean;
  readonly outcome: string;
  readonly data: string;
  readonly ms: number;
  readonly local?: string;
}
