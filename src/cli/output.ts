/** What commands print: one JSON document, or columns for people. */
import type { SutureError } from '../platform/errors.js';
import type { TextSink } from './context.js';

export function printJson(out: TextSink, value: unknown): void {
  out.write(`${JSON.stringify(value, undefined, 2)}\n`);
}

export function printLines(out: TextSink, lines: readonly string[]): void {
  for (const line of lines) out.write(`${line}\n`);
}

/** A heading; one that starts with `>` has its column right-aligned, as numbers are. */
export type Heading = string;

/** Aligned columns, two spaces apart, without trailing blanks. */
export function columns(headings: readonly Heading[], rows: readonly (readonly string[])[]): string[] {
  const right = headings.map((heading) => heading.startsWith('>'));
  const all = [headings.map((heading) => heading.replace(/^>/, '')), ...rows];
  const widths = headings.map((_, i) => Math.max(...all.map((row) => (row[i] ?? '').length)));
  return all.map((row) =>
    widths
      .map((width, i) => (right[i] ? (row[i] ?? '').padStart(width) : (row[i] ?? '').padEnd(width)))
      .join('  ')
      .trimEnd(),
  );
}

/** `name  value` lines with the values aligned. */
export function pairs(entries: readonly (readonly [string, string])[]): string[] {
  const width = Math.max(0, ...entries.map(([name]) => name.length));
  return entries.map(([name, value]) => `${name.padEnd(width)}  ${value}`.trimEnd());
}

/** 1234567 → `1,234,567`, whatever the locale. */
export function grouped(count: number): string {
  return String(count).replace(/\B(?=(\d{3})+$)/g, ',');
}

export function errorText({ code, message }: SutureError): string {
  return message.includes('\n') ? `suture: ${code}: ${message}\n` : `suture: ${message} (${code})\n`;
}
