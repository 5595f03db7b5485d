/** JSON as it is kept in the repository: lists of plain values on one line, numbers without noise digits. */

const SIGNIFICANT = 7;

function isPlain(value: unknown): boolean {
  return value === null || typeof value !== 'object';
}

function plain(value: unknown): string {
  if (typeof value === 'number' && Number.isFinite(value))
    return String(Number(value.toPrecision(SIGNIFICANT)));
  return JSON.stringify(value) ?? 'null';
}

/** Only what JSON knows goes in; `undefined` properties are left out as `JSON.stringify` does. */
export function compactJson(value: unknown, indent = ''): string {
  if (isPlain(value)) return plain(value);
  const inner = `${indent}  `;
  if (Array.isArray(value)) {
    if (value.every(isPlain)) return `[${value.map(plain).join(', ')}]`;
    return `[\n${value.map((one) => inner + compactJson(one, inner)).join(',\n')}\n${indent}]`;
  }
  const entries = Object.entries(value as object).filter(([, one]) => one !== undefined);
  if (entries.length === 0) return '{}';
  if (entries.every(([, one]) => isPlain(one)) && entries.length <= 8) {
    return `{ ${entries.map(([key, one]) => `${JSON.stringify(key)}: ${plain(one)}`).join(', ')} }`;
  }
  const lines = entries.map(([key, one]) => `${inner}${JSON.stringify(key)}: ${compactJson(one, inner)}`);
  return `{\n${lines.join(',\n')}\n${indent}}`;
}
