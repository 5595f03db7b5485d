/** Covering selections: few of all combinations of two-valued factors, so that any few factors meet in every way. */

/**
 * As few of `rows` as will do for every `strength` factors to take all values together that they take in any row.
 * Greedy and without chance: the row that covers most of what is missing comes next.
 */
export function covering(rows: readonly (readonly boolean[])[], strength: number): (readonly boolean[])[] {
  const groups = subsets(rows[0]?.length ?? 0, strength);
  const keysOf = (row: readonly boolean[]): number[] =>
    groups.map((group) => group.reduce((key, factor) => 2 * key + (row[factor] ? 1 : 0), 0));
  const all = rows.map((row) => ({ row, keys: keysOf(row) }));
  const missing = new Set(all.flatMap(({ keys }) => keys.map((key, i) => `${i} ${key}`)));
  const chosen: (readonly boolean[])[] = [];
  while (missing.size > 0) {
    const news = ({ keys }: { keys: number[] }): number =>
      keys.filter((key, i) => missing.has(`${i} ${key}`)).length;
    const best = all.reduce((one, other) => (news(other) > news(one) ? other : one));
    chosen.push(best.row);
    for (const [i, key] of best.keys.entries()) missing.delete(`${i} ${key}`);
  }
  return chosen;
}

/** All combinations. */
export function product(factors: number): boolean[][] {
  return Array.from({ length: 2 ** factors }, (_, row) =>
    Array.from({ length: factors }, (_, factor) => (row >> factor) % 2 === 1),
  );
}

function subsets(factors: number, size: number, from = 0): number[][] {
  if (size === 0) return [[]];
  const all: number[][] = [];
  for (let first = from; first < factors; first++) {
    for (const rest of subsets(factors, size - 1, first + 1)) all.push([first, ...rest]);
  }
  return all;
}
