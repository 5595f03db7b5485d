/** What a plot shows: panels below each other, each of one kind. Values only, nothing of how they are drawn. */

/** One bar a name: the median, with all values as dots. */
export interface BarsPanel {
  readonly kind: 'bars';
  readonly title: string;
  readonly unit: string;
  readonly bars: readonly { readonly name: string; readonly values: readonly number[] }[];
  /** A line across, with its label. */
  readonly mark?: Mark;
}

export interface Series {
  readonly name: string;
  readonly points: readonly (readonly [x: number, y: number])[];
}

export interface LinesPanel {
  readonly kind: 'lines';
  readonly title: string;
  readonly xLabel: string;
  readonly yLabel: string;
  readonly xLog?: boolean;
  /** Stays level until the next point, as a distribution does. */
  readonly steps?: boolean;
  readonly series: readonly Series[];
  /** A vertical line. */
  readonly mark?: Mark;
}

export interface Mark {
  readonly at: number;
  readonly label: string;
}

export type Panel = BarsPanel | LinesPanel;
