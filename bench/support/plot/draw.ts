/** Panels to one SVG document, light on white, without scripts or fonts of its own. */

import { median } from '../stats.js';
import { numberText, tickText } from '../text.js';
import type { BarsPanel, LinesPanel, Panel } from './panel.js';
import { linearScale, logScale, type Scale } from './scale.js';
import { element, label, line } from './svg.js';

const WIDTH = 820;
const LEFT = 160;
const RIGHT = 110;
const TITLE_HEIGHT = 34;
const AXIS_HEIGHT = 40;
const BAR_HEIGHT = 16;
const BAR_ROOM = 24;
const LINES_HEIGHT = 240;
const HEADER_HEIGHT = 44;
const SUBTITLE_ROOM = 15;
const FONT = 'font-family="sans-serif" font-size="12" fill="#24292f"';
const GRID = { stroke: '#d8dee4', 'stroke-width': 1 };
const MARK = { stroke: '#cf222e', 'stroke-width': 1.5, 'stroke-dasharray': '4 3' };
const COLOURS = ['#bf8700', '#1a7f37', '#8250df', '#57606a', '#cf222e', '#0a7a80', '#953800'];
/** What is measured stands out from what it is compared with. */
const OWN = /^(stitched|handover)$/;
const OWN_COLOUR = '#0969da';
const OTHER_BAR = '#8c959f';

function lineColour(name: string, index: number): string {
  return OWN.test(name) ? OWN_COLOUR : (COLOURS[index % COLOURS.length] ?? OTHER_BAR);
}

interface Drawn {
  readonly body: string;
  readonly height: number;
}

/** Subtitles stand below the title, a line each. */
export function drawPlot(title: string, subtitles: readonly string[], panels: readonly Panel[]): string {
  let body = label(16, 24, title, { 'font-size': 16, 'font-weight': 'bold' });
  let y = HEADER_HEIGHT;
  for (const subtitle of subtitles) {
    body += label(16, y, subtitle, { fill: '#57606a', 'font-size': 11 });
    y += SUBTITLE_ROOM;
  }
  for (const panel of panels) {
    const drawn = panel.kind === 'bars' ? drawBars(panel) : drawLines(panel);
    body += element('g', { transform: `translate(0 ${y})` }, drawn.body);
    y += drawn.height;
  }
  const background = element('rect', { width: WIDTH, height: y, fill: '#ffffff' });
  const head = `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${y}" viewBox="0 0 ${WIDTH} ${y}" ${FONT}>`;
  return `${head}${background}${body}</svg>\n`.replaceAll('><', '>\n<');
}

function panelTitle(title: string): string {
  return label(16, 22, title, { 'font-size': 13, 'font-weight': 'bold' });
}

function xAxis(scale: Scale, top: number, bottom: number, text: string): string {
  let body = '';
  for (const tick of scale.ticks) {
    const x = scale.place(tick);
    body += line(x, top, x, bottom, GRID);
    body += label(x, bottom + 14, tickText(tick), { 'text-anchor': 'middle', 'font-size': 10 });
  }
  const middle = (LEFT + WIDTH - RIGHT) / 2;
  return body + label(middle, bottom + 30, text, { 'text-anchor': 'middle', 'font-size': 11 });
}

function verticalMark(scale: Scale, mark: LinesPanel['mark'], top: number, bottom: number): string {
  if (!mark) return '';
  const x = scale.place(mark.at);
  return (
    line(x, top - 4, x, bottom, MARK) +
    label(x + 4, top + 6, mark.label, { fill: '#cf222e', 'font-size': 10 })
  );
}

function drawBars({ title, unit, bars, mark }: BarsPanel): Drawn {
  const top = TITLE_HEIGHT;
  const bottom = top + bars.length * BAR_ROOM;
  const all = bars.flatMap(({ values }) => values).filter(Number.isFinite);
  const scale = linearScale(Math.max(...all, mark?.at ?? 0), LEFT, WIDTH - RIGHT);
  let body = panelTitle(title) + xAxis(scale, top, bottom, unit);
  for (const [i, { name, values }] of bars.entries()) {
    const y = top + i * BAR_ROOM + (BAR_ROOM - BAR_HEIGHT) / 2;
    const middle = y + BAR_HEIGHT / 2;
    const value = median(values);
    body += label(LEFT - 8, middle + 4, name, { 'text-anchor': 'end' });
    if (!Number.isFinite(value)) continue;
    const fill = OWN.test(name) ? OWN_COLOUR : OTHER_BAR;
    const width = scale.place(value) - LEFT;
    body += element('rect', { x: LEFT, y, width, height: BAR_HEIGHT, fill, 'fill-opacity': 0.55 });
    for (const one of values) {
      body += element('circle', {
        cx: scale.place(one),
        cy: middle,
        r: 2.2,
        fill: '#24292f',
        'fill-opacity': 0.6,
      });
    }
    const end = scale.place(Math.max(...values)) + 8;
    body += label(end, middle + 4, numberText(value), { 'font-size': 11 });
  }
  body += verticalMark(scale, mark, top, bottom);
  return { body, height: bottom + AXIS_HEIGHT };
}

function drawLines({ title, xLabel, yLabel, xLog, steps, series, mark }: LinesPanel): Drawn {
  const top = TITLE_HEIGHT;
  const bottom = top + LINES_HEIGHT;
  const points = series.flatMap((one) => one.points);
  const xs = points.map(([x]) => x);
  const right = WIDTH - RIGHT;
  const largestX = Math.max(...xs, mark?.at ?? 0);
  const x = xLog
    ? logScale([...xs, ...(mark ? [mark.at] : [])], LEFT, right)
    : linearScale(largestX, LEFT, right);
  const y = linearScale(Math.max(...points.map(([, value]) => value)), bottom, top);
  let body = panelTitle(title) + xAxis(x, top, bottom, xLabel);
  for (const tick of y.ticks) {
    body += line(LEFT, y.place(tick), right, y.place(tick), GRID);
    body += label(LEFT - 6, y.place(tick) + 4, tickText(tick), { 'text-anchor': 'end', 'font-size': 10 });
  }
  body += label(16, top + 12, yLabel, { 'font-size': 11 });
  for (const [i, one] of series.entries()) {
    const stroke = lineColour(one.name, i);
    body += element('path', {
      d: path(one.points, x, y, steps ?? false),
      fill: 'none',
      stroke,
      'stroke-width': 1.8,
    });
    body += element('rect', { x: right + 10, y: top + i * 18, width: 10, height: 10, fill: stroke });
    body += label(right + 24, top + i * 18 + 9, one.name, { 'font-size': 11 });
  }
  body += verticalMark(x, mark, top, bottom);
  return { body, height: bottom + AXIS_HEIGHT };
}

function path(points: LinesPanel['series'][number]['points'], x: Scale, y: Scale, steps: boolean): string {
  const at = (value: number): string => value.toFixed(1);
  let text = '';
  for (const [px, py] of points) {
    const [left, height] = [at(x.place(px)), at(y.place(py))];
    if (text === '') text = `M${left} ${height}`;
    else text += steps ? `H${left}V${height}` : `L${left} ${height}`;
  }
  return text;
}
