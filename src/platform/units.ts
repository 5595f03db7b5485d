/**
 * Durations and sizes as people write them in configs and read them in tables.
 *
 * `parseX(formatX(n)) === n` for every value that `parseX` can give.
 */

const MS_PER: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 };
const BYTES_PER: Readonly<Record<string, number>> = { '': 1, k: 1024, m: 1024 ** 2, g: 1024 ** 3 };

export const DURATION_FORM = 'a duration such as 500ms, 10s, 2m or 2h4m, or a number of seconds';
export const SIZE_FORM = 'a number of bytes, or a size such as 64k, 1M or 2G (powers of 1024)';

/** Milliseconds of `200ms`, `10s`, `2h 4m`, or of a number of seconds; undefined when it is neither. */
export function parseDuration(value: unknown): number | undefined {
  if (typeof value === 'number') return Number.isFinite(value) && value >= 0 ? value * 1000 : undefined;
  if (typeof value !== 'string') return undefined;
  if (!/^(?:\d+(?:\.\d+)?\s*(?:ms|s|m|h)\s*)+$/.test(value)) return undefined;
  let total = 0;
  for (const [, number, unit] of value.matchAll(/(\d+(?:\.\d+)?)\s*(ms|s|m|h)/g)) {
    total += Number(number) * (MS_PER[unit ?? ''] ?? Number.NaN);
  }
  return Number.isFinite(total) ? total : undefined;
}

/** `7440000` → `2h4m`. */
export function formatDuration(ms: number): string {
  const parts: string[] = [];
  let rest = ms;
  for (const unit of ['h', 'm', 's'] as const) {
    const size = MS_PER[unit] ?? 1;
    const count = Math.floor(rest / size);
    if (count > 0) parts.push(`${count}${unit}`);
    rest -= count * size;
  }
  if (rest > 0) parts.push(`${rest}ms`);
  return parts.join('') || '0s';
}

/** Minutes since midnight, `to` excluded; 1440 is the midnight that ends the day. */
export interface TimeWindow {
  readonly from: number;
  readonly to: number;
}

export const TIME_WINDOW_FORM = 'HH:MM-HH:MM, such as 08:00-18:30 or, over midnight, 22:00-06:00';

/** `22:00-06:00`; undefined when it is none, or no time at all. */
export function parseTimeWindow(value: unknown): TimeWindow | undefined {
  const match = typeof value === 'string' ? /^(\d\d):(\d\d)\s*-\s*(\d\d):(\d\d)$/.exec(value.trim()) : null;
  if (!match) return undefined;
  const [fromHour = 0, fromMinute = 0, toHour = 0, toMinute = 0] = match.slice(1).map(Number);
  const [from, to] = [fromHour * 60 + fromMinute, toHour * 60 + toMinute];
  if (fromMinute > 59 || toMinute > 59 || from >= 1440 || to > 1440 || from === to) return undefined;
  return { from, to };
}

export function formatTimeWindow({ from, to }: TimeWindow): string {
  const time = (minutes: number): string =>
    [Math.floor(minutes / 60), minutes % 60].map((part) => String(part).padStart(2, '0')).join(':');
  return `${time(from)}-${time(to)}`;
}

/** Bytes of `64k`, `1M`, `1 MB`, `1MiB` (all powers of 1024) or of a plain number; undefined otherwise. */
export function parseSize(value: unknown): number | undefined {
  if (typeof value === 'number') return Number.isSafeInteger(value) && value >= 0 ? value : undefined;
  if (typeof value !== 'string') return undefined;
  const match = /^(\d+(?:\.\d+)?)\s*(?:([kmg])(?:i?b)?|b)?$/i.exec(value.trim());
  if (!match) return undefined;
  const bytes = Number(match[1]) * (BYTES_PER[(match[2] ?? '').toLowerCase()] ?? Number.NaN);
  return Number.isSafeInteger(bytes) ? bytes : undefined;
}

/** The exact size in the largest unit that divides it: `1048576` → `1M`, `1000` → `1000`. */
export function formatSize(bytes: number): string | number {
  for (const unit of ['g', 'm', 'k'] as const) {
    const size = BYTES_PER[unit] ?? 1;
    if (bytes > 0 && bytes % size === 0) return `${bytes / size}${unit === 'k' ? 'k' : unit.toUpperCase()}`;
  }
  return bytes;
}

/** A size for people, rounded: `1.5 MiB`. */
export function humanSize(bytes: number): string {
  let value = bytes;
  for (const unit of ['B', 'KiB', 'MiB', 'GiB']) {
    if (value < 1024) return unit === 'B' ? `${value} B` : `${value.toFixed(1)} ${unit}`;
    value /= 1024;
  }
  return `${value.toFixed(1)} TiB`;
}

/** A duration for people, rounded to two units at most: `1.2 s`, `3 m 20 s`. */
export function humanDuration(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 59_950) return `${(ms / 1000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1000);
  if (seconds < 3600) return `${Math.floor(seconds / 60)} m ${seconds % 60} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 1440) return `${Math.floor(minutes / 60)} h ${minutes % 60} m`;
  const hours = Math.round(minutes / 60);
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}
