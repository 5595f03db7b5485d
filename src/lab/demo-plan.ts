/** What the demo does: its connections, and for each the route that decides when it is stitched. */
import type { TaskResult } from './demo-client.js';
import { addressOf, type Family, HTTP_PORT, type RouteConfig, route, type StitchConfig } from './stage.js';

const MB = 1_000_000;

export type TaskKind = 'requests' | 'download' | 'upload' | 'both' | 'stream';

/** One connection of the client's. Each has a route of its own, by whose port its flow is known. */
export interface DemoTask {
  readonly name: string;
  readonly kind: TaskKind;
  readonly host: string;
  readonly port: number;
  /** Length of a transfer, or of each answer. */
  readonly bytes: number;
  /** Requests, or seconds of a stream. */
  readonly count: number;
}

interface Plan {
  readonly tasks: readonly DemoTask[];
  readonly routes: readonly RouteConfig[];
}

export type { TaskResult };

export function demoPlan(): Plan {
  const tasks: DemoTask[] = [];
  const routes: RouteConfig[] = [];
  const add = (
    name: string,
    kind: TaskKind,
    stitch: StitchConfig,
    { bytes = 0, count = 1, family = 4 }: { bytes?: number; count?: number; family?: Family },
  ): void => {
    const port = HTTP_PORT + tasks.length;
    tasks.push({ name, kind, host: addressOf('a', family), port, bytes, count });
    routes.push(route(port, HTTP_PORT, stitch, family));
  };
  // Cut in the middle of a transfer, after some time, or as soon as it can be.
  const midway: StitchConfig = { after: { bytes: 8 * MB } };
  add('keep-alive', 'requests', { after: { age: '1s' } }, { bytes: 20_000, count: 30 });
  add('download', 'download', midway, { bytes: 64 * MB });
  add('upload', 'upload', midway, { bytes: 48 * MB });
  add('both ways', 'both', midway, { bytes: 24 * MB });
  add('stream', 'stream', { after: { age: '2s' } }, { count: 5 });
  add('download, IPv6', 'download', 'now', { bytes: 16 * MB, family: 6 });
  return { tasks, routes };
}
