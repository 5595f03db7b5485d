/** Elements of an SVG as text. Numbers are rounded: a plot in a repository should change only with its data. */

export type Attributes = Readonly<Record<string, string | number>>;

export function escapeXml(text: string): string {
  return text.replace(/[&<>"]/g, (c) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' })[c] ?? c);
}

function attribute([name, value]: [string, string | number]): string {
  const text = typeof value === 'number' ? String(Math.round(value * 100) / 100) : escapeXml(value);
  return ` ${name}="${text}"`;
}

export function element(name: string, attributes: Attributes, content = ''): string {
  const opening = `<${name}${Object.entries(attributes).map(attribute).join('')}`;
  return content === '' ? `${opening}/>` : `${opening}>${content}</${name}>`;
}

export function label(x: number, y: number, text: string, attributes: Attributes = {}): string {
  return element('text', { x, y, ...attributes }, escapeXml(text));
}

export function line(x1: number, y1: number, x2: number, y2: number, attributes: Attributes): string {
  return element('line', { x1, y1, x2, y2, ...attributes });
}
