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

/** The next 1, 2 or 5 times a power of ten at or beyond a value above zero. */
function roundBeyond(value: number, upwards: boolean): number {
  const power = 10 ** Math.floor(Math.log10(value));
  const candidates = [0.5, 1, 2, 5, 10].map((factor) => factor * power);
  return upwards
    ? (candidates.find((one) => one >= value * (1 - 1e-9)) ?? value)
    : (candidates.findLast((one) => one <= value * (1 + 1e-9)) ?? value);
}

/** Round numbers around the values; what is not above zero is put at the lower end. */
export function logScale(values: readonly number[], from: number, to: number): Scale {
  const positive = values.filter((value) => value > 0 && Number.isFinite(value));
  const low = positive.length > 0 ? roundBeyond(Math.min(...positive), false) : 1;
  const high = Math.max(positive.length > 0 ? roundBeyond(Math.max(...positive), true) : 10, 2 * low);
  const decades = Math.log10(high / low);
  const factors = decades <= 3.5 ? [1, 2, 5] : [1];
  const ticks: number[] = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high) + 1e-9; power++) {
    for (const factor of factors) ticks.push(Number((factor * 10 ** power).toPrecision(12)));
  }
  return {
    place: (value) => (value > low ? from + ((to - from) * Math.log10(value / low)) / decades : from),
    ticks: ticks.filter((tick) => tick >= low * (1 - 1e-9) && tick <= high * (1 + 1e-9)),
  };
}
