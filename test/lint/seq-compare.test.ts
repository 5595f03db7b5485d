/**
 * Sequence numbers lie on a circle, so `<` between two of them is wrong once one has wrapped. This forbids
 * the raw operators, and differences made to be compared, wherever an operand's type is `SeqNum`.
 */
import t from 'tap';
import ts from 'typescript';
import { createProgram, ownFiles, placeOf, walk } from './source.js';

/** It defines what is right, on plain numbers. */
const EXEMPT = new Set(['src/wire/seq.ts']);

const ORDER = new Set([
  ts.SyntaxKind.LessThanToken,
  ts.SyntaxKind.GreaterThanToken,
  ts.SyntaxKind.LessThanEqualsToken,
  ts.SyntaxKind.GreaterThanEqualsToken,
]);
/** Operators through which a sequence number is still one: what they give is compared just as wrongly. */
const ARITHMETIC = new Set([
  ts.SyntaxKind.PlusToken,
  ts.SyntaxKind.MinusToken,
  ts.SyntaxKind.BarToken,
  ts.SyntaxKind.AmpersandToken,
  ts.SyntaxKind.GreaterThanGreaterThanToken,
  ts.SyntaxKind.GreaterThanGreaterThanGreaterThanToken,
]);

function isSeqNum(type: ts.Type): boolean {
  if (type.isUnion()) return type.types.some(isSeqNum);
  return type.getProperties().some((property) => property.name.includes('seqBrand'));
}

/** True when a sequence number is an operand of `node`, through casts and arithmetic, but not through calls. */
function holdsSeqNum(node: ts.Expression, checker: ts.TypeChecker): boolean {
  if (isSeqNum(checker.getTypeAtLocation(node))) return true;
  if (
    ts.isParenthesizedExpression(node) ||
    ts.isAsExpression(node) ||
    ts.isNonNullExpression(node) ||
    ts.isSatisfiesExpression(node)
  ) {
    return holdsSeqNum(node.expression, checker);
  }
  if (ts.isPrefixUnaryExpression(node)) return holdsSeqNum(node.operand, checker);
  if (ts.isConditionalExpression(node)) {
    return holdsSeqNum(node.whenTrue, checker) || holdsSeqNum(node.whenFalse, checker);
  }
  if (ts.isBinaryExpression(node) && ARITHMETIC.has(node.operatorToken.kind)) {
    return holdsSeqNum(node.left, checker) || holdsSeqNum(node.right, checker);
  }
  return isExtremum(node) && node.arguments.some((argument) => holdsSeqNum(argument, checker));
}

/** `Math.max`, `Math.min` and `Math.abs` compare too. */
function isExtremum(node: ts.Node): node is ts.CallExpression {
  return ts.isCallExpression(node) && /^Math\.(max|min|abs)$/.test(node.expression.getText());
}

function violations(program: ts.Program): string[] {
  const checker = program.getTypeChecker();
  const found: string[] = [];
  for (const [path, file] of ownFiles(program)) {
    if (EXEMPT.has(path)) continue;
    walk(file, (node) => {
      const isOrder = ts.isBinaryExpression(node) && ORDER.has(node.operatorToken.kind);
      if (isOrder && (holdsSeqNum(node.left, checker) || holdsSeqNum(node.right, checker))) {
        found.push(placeOf(path, node));
      } else if (isExtremum(node) && holdsSeqNum(node, checker)) {
        found.push(placeOf(path, node));
      }
    });
  }
  return found;
}

t.test('no sequence number is compared with a raw operator', async (t) => {
  t.strictSame(violations(createProgram()), []);
});

t.test('the rule sees what it must, and only that', async (t) => {
  const sample = `
    import { type SeqNum, seqAfter, seqDiff } from './seq.js';
    import type { TcpSegment } from './segment.js';
    declare const a: SeqNum, b: SeqNum, segment: TcpSegment, n: number, list: number[], maybe: SeqNum | undefined;
    export const bad = [
      a < b,
      a >= n,
      n > segment.seq,
      segment.end <= n,
      a - b > 0,
      ((a - b) | 0) < 0,
      0 < -(a - n),
      (a as number) < n,
      a + 1 < n,
      Math.max(a, b),
      Math.abs(a - b) < 5,
      (n ? a : b) < n,
      maybe !== undefined && maybe < n,
    ];
    export const good = [
      seqDiff(a, b) > 0,
      seqAfter(a, b),
      a === b,
      a - b,
      segment.window < n,
      segment.payloadLength - n > 0,
      list.length > seqDiff(a, b),
      Math.max(n, seqDiff(a, b)),
    ];
  `;
  const program = createProgram({ 'src/wire/sample.ts': sample }, ['src/wire/seq.ts', 'src/wire/segment.ts']);
  const lines = sample.split('\n');
  const start = lines.findIndex((line) => line.includes('const bad')) + 1;
  const end = lines.findIndex((line) => line.includes('];'));
  const expected = Array.from({ length: end - start }, (_, i) => start + i + 1);
  const found = violations(program).map((place) => Number(place.split(':')[1]));
  t.strictSame([...new Set(found)], expected);
});
