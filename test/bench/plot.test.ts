import t from 'tap';
import { drawPlot } from '../../bench/support/plot/draw.js';
import type { Panel } from '../../bench/support/plot/panel.js';
import { linearScale, logScale, roundStep } from '../../bench/support/plot/scale.js';
import { element, escapeXml } from '../../bench/support/plot/svg.js';

/** Names of the elements in order, or what is wrong with the nesting. */
function elements(svg: string): string[] {
  const open: string[] = [];
  const found: string[] = [];
  for (const [, closing, name = '', empty] of svg.matchAll(/<(\/?)([a-z]+)[^<>]*?(\/?)>/g)) {
    if (closing) {
      const expected = open.pop();
      if (expected !== name) throw new Error(`</${name}> closes <${expected}>`);
      continue;
    }
    found.push(name);
    if (!empty) open.push(name);
  }
  if (open.length > 0) throw new Error(`left open: ${open.join(', ')}`);
  return found;
}

t.test('steps of an axis are round', async (t) => {
  t.equal(roundStep(10, 5), 2);
  t.equal(roundStep(81, 6), 20);
  t.equal(roundStep(0.7, 6), 0.2);
  const scale = linearScale(81, 100, 600);
  t.strictSame(scale.ticks, [0, 20, 40, 60, 80, 100]);
  t.equal(scale.place(0), 100);
  t.equal(scale.place(100), 600);
  t.strictSame(linearScale(0.3, 0, 1, 3).ticks, [0, 0.1, 0.2, 0.3], 'without the noise of floating point');
  t.strictSame(linearScale(Number.NEGATIVE_INFINITY, 0, 1).ticks.at(-1), 1, 'an axis without values');
});

t.test('a logarithmic axis', async (t) => {
  const scale = logScale([7, 95], 0, 100);
  t.strictSame(scale.ticks, [5, 10, 20, 50, 100]);
  t.equal(scale.place(5), 0);
  t.equal(Math.round(scale.place(100)), 100);
  t.equal(scale.place(0), 0, 'what has no place is put at the lower end');
  t.strictSame(logScale([1, 1_000_000], 0, 100).ticks, [1, 10, 100, 1000, 10_000, 100_000, 1_000_000]);
  t.ok(logScale([], 0, 100).ticks.length > 1);
  t.ok(logScale([3, 3], 0, 100).ticks.length > 1);
});

t.test('text is escaped', async (t) => {
  t.equal(escapeXml('a<b & "c"'), 'a&lt;b &amp; &quot;c&quot;');
  t.equal(element('text', { x: 1 / 3, class: '<' }), '<text x="0.33" class="&lt;"/>');
});

t.test('a plot is well-formed, and has what is to be seen', async (t) => {
  const panels: Panel[] = [
    {
      kind: 'bars',
      title: 'Bars & <more>',
      unit: 'Gbit/s',
      bars: [
        { name: 'routed', values: [1, 2, 3] },
        { name: 'stitched', values: [2, 3, 4] },
        { name: 'nothing', values: [] },
      ],
      mark: { at: 5, label: 'target' },
    },
    {
      kind: 'lines',
      title: 'Lines',
      xLabel: 'ms',
      yLabel: 'share',
      xLog: true,
      steps: true,
      series: [
        {
          name: 'stitched',
          points: [
            [1, 0],
            [2, 1],
          ],
        },
        { name: 'empty', points: [] },
      ],
    },
  ];
  const svg = drawPlot('Title', ['one', 'two'], panels);
  const names = elements(svg);
  t.equal(names[0], 'svg');
  t.equal(names.filter((name) => name === 'circle').length, 6, 'each value is a dot');
  t.equal(names.filter((name) => name === 'path').length, 2, 'each series is a path');
  t.match(svg, 'Bars &amp; &lt;more&gt;');
  t.notMatch(svg, /NaN|Infinity|undefined/);
  t.match(svg, /d="M[\d.]+ [\d.]+H[\d.]+V[\d.]+"/, 'steps go along, then up');
});
