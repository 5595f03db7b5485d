/** What the client programs report; see clients/. */

export interface StreamResult {
  readonly sent: string;
  readonly received: string;
  readonly bytes: number;
}

/** Both ends of a client's connection, as the client sees them. */
export interface Ends {
  readonly local: string;
  readonly remote: string;
}

export interface ConnectionResult extends Ends {
  /** Bytes that its application wrote and read. */
  readonly written: number;
  readonly read: number;
  readonly error?: string;
}

export interface TransferResult extends ConnectionResult {
  readonly mode: 'down' | 'up' | 'both';
  readonly status: number;
  readonly ms: number;
  /** How many there were on the connection. */
  readonly transfers: number;
  /** Longest time between two reads, at the client and at the server. */
  readonly pauseMs: number;
  readonly farPauseMs: number;
  readonly up?: StreamResult;
  readonly down?: StreamResult;
}

export interface KeepAliveResult extends ConnectionResult {
  readonly requests: number;
  /** The longest that it waited for an answer. */
  readonly worstMs: number;
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
