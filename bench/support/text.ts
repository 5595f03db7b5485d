/** Numbers and spreads as text, the same on the terminal and in the README. */
import type { Figure, Target } from './document.js';
import type { Spread } from './stats.js';

/** Three significant digits, whole numbers from 100 on, with commas. */
export function numberText(value: number): string {
  if (!Number.isFinite(value)) return '-';
  if (value === 0) return '0';
  const size = Math.abs(value);
  const digits = size >= 100 ? 0 : Math.min(Math.max(2 - Math.floor(Math.log10(size)), 0), 6);
  const [whole = '', fraction] = value.toFixed(digits).split('.');
  const grouped = whole.replace(/\B(?=(\d{3})+$)/g, ',');
  return fraction === undefined ? grouped : `${grouped}.${fraction}`;
}

/** The whole number as it is, with commas: for what is round by itself. */
export function tickText(value: number): string {
  const [whole = '', fraction] = String(value).split('.');
  const grouped = whole.replace(/\B(?=(\d{3})+$)/g, ',');
  return fraction === undefined ? grouped : `${grouped}.${fraction}`;
}

export function withUnit(text: string, unit: string): string {
  return unit === '' ? text : `${text} ${unit}`;
}

export function spreadText({ n, median, min, max }: Spread): string {
  return n > 1 ? `${numberText(median)} (${numberText(min)} … ${numberText(max)})` : numberText(median);
}

export function targetText({ bound, value }: Target): string {
  return `${bound === 'at least' ? '≥' : '≤'} ${numberText(value)}`;
}

export function metText({ met }: Pick<Figure, 'met'>): string {
  if (met === undefined) return '';
  return met ? 'met' : 'missed';
}
