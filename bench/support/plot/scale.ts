/** From values to places on paper, and the round numbers that an axis is labelled with. */

export interface Scale {
  readonly place: (value: number) => number;
  readonly ticks: readonly number[];
}

/** 1, 2 or 5 times a power of ten, so that about `count` of them make the span. */
export function roundStep(span: number, count: number): number {
  const rough = span / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const factor = [1, 2, 5].find((one) => one * power >= rough) ?? 10;
  return factor * power;
}

/** From zero to a round number at or above the largest value. */
export function linearScale(largest: number, from: number, to: number, count = 6): Scale {
  const top = largest > 0 && Number.isFinite(largest) ? largest : 1;
  const step = roundStep(top, count);
  const steps = Math.ceil(top / step - 1e-9);
  const end = steps * step;
  return {
    place: (value) => from + ((to - from) * value) / end,
    ticks: Array.from({ length: steps + 1 }, (_, i) => Number((i * step).toPrecision(12))),
  };
}

/** Decades around the values; what is not above zero is put at the lower end. */
export function logScale(values: readonly number[], from: number, to: number): Scale {
  const positive = values.filter((value) => value > 0 && Number.isFinite(value));
  const low = Math.floor(Math.log10(Math.min(...positive, Number.MAX_VALUE)) + 1e-9);
  const high = Math.ceil(Math.log10(Math.max(...positive, Number.MIN_VALUE)) - 1e-9);
  const [first, last] = positive.length === 0 ? [0, 1] : [low, Math.max(high, low + 1)];
  const decades = last - first;
  const ticks: number[] = [];
  for (let power = first; power <= last; power++) {
    ticks.push(10 ** power);
    if (decades <= 3 && power < last) ticks.push(2 * 10 ** power, 5 * 10 ** power);
  }
  return {
    place: (value) =>
      value > 0 ? from + ((to - from) * Math.max(Math.log10(value) - first, 0)) / decades : from,
    ticks: ticks.map((tick) => Number(tick.toPrecision(12))),
  };
}
