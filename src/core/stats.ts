/** What a core agent counts of the connections that it hands to its local server. */
export class DeliveryCounters {
  /** Streams of links that reached the server, and those that did not. */
  delivered = 0;
  serverFailed = 0;
  /** Streams that were not for an offered endpoint, or over the limit. */
  refused = 0;
  /** Asked of shells by this core's policy; and connections that left their link. */
  moveAsked = 0;
  moved = 0;
  /** Connections to an offered endpoint that did not begin with a token that is waited for. */
  strangers = 0;
}

export interface DeliveryStats extends Readonly<DeliveryCounters> {
  /** Now. */
  readonly links: number;
  readonly streams: number;
  readonly connections: number;
}
