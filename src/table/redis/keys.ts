/**
 * The keys of a group. The braces keep them in one slot of a cluster, so that a script may use them all.
 *
 *   suture:{GROUP}:flow:ID   hash: one flow, field by field (`codec.ts`)
 *   suture:{GROUP}:flows     sorted set: the ids, by when they may be forgotten; `inf` while they are open
 *   suture:{GROUP}:events    stream, capped: id, state, reason, agent and at of every change of a state
 *   suture:{GROUP}:lease     hash: layout, and who is the active switch: name, token, number, until, serial, links
 */

/**
 * Version of this layout: field `v` of a flow, field `layout` of the lease. Fields may be added to a layout,
 * and who does not know one leaves it alone. What takes a field away or gives it another meaning is a new one.
 */
export const LAYOUT = 1;

export interface Keys {
  readonly lease: string;
  readonly flows: string;
  readonly events: string;
  flow(id: string): string;
}

export function keysOf(group: string): Keys {
  const prefix = `suture:{${group}}`;
  return {
    lease: `${prefix}:lease`,
    flows: `${prefix}:flows`,
    events: `${prefix}:events`,
    flow: (id) => `${prefix}:flow:${id}`,
  };
}
