// Lesson 1. Python computes densities, areas and histograms once for a choice of base and map;
// moving the strip only looks them up.

import { Axes, chart, faint, ticks } from '../charts.js';
import { on } from '../dom.js';
import { LatestWins } from '../requests.js';
import { fixed, openLesson, thousands } from './lesson.js';

/** The top of the axis for a density: one that is infinite at an end is cut. */
function topOf(p) {
  const rising = p.toSorted();
  const share = (part) => rising[Math.floor(part * (p.length - 1))];
  return 1.12 * Math.min(share(1), Math.max(6 * share(0.5), share(0.88)));
}

/** Bars of a histogram over a range; `draw(place, height, colour)` draws one. */
function bars(heights, [low, high], colour, draw) {
  const step = (high - low) / heights.length;
  heights.forEach((height, k) =>
    draw([low + k * step, low + (k + 1) * step], [0, height], faint(colour, 0.22)),
  );
}

export default function density(host) {
  const { lesson, find, parts, ask, setFacts, whenSeen } = openLesson(host);
  const { base, map, where, width } = parts;
  let view = null;

  /** The first and the last number of the strip. */
  function ends() {
    const from = where.valueAsNumber;
    return [from, Math.min(view.z.length - 1, from + width.valueAsNumber)];
  }

  const repaint = chart(find('canvas'), (paper, w, h, colour) => {
    if (!view) return;
    const { z, x, p_z: pz, p_x: px } = view;
    const [i, j] = ends();
    const strip = Array.from({ length: j - i + 1 }, (_, k) => i + k);
    const small = w < 420;
    const [left, bottom, gap] = [small ? 30 : 40, 26, small ? 10 : 16];
    const column = left + (w - left) * 0.64;
    const row = (h - bottom) * 0.6;
    const [rangeZ, rangeX] = [z, x].map((values) => [values[0], values.at(-1)]);
    const [topZ, topX] = [pz, px].map(topOf);
    const main = new Axes(paper, [left, 8, column, row], rangeZ, rangeX);
    const below = new Axes(paper, [left, row + gap, column, h - bottom], rangeZ, [0, topZ]);
    const beside = new Axes(paper, [column + gap, 8, w - 2, row], [0, topX], rangeX);

    for (const frame of [main, below, beside]) frame.ground(colour.sunken);

    // The strip from dz up to the curve and across to dx.
    main.inside(() => {
      const curve = strip.map((k) => [main.x(z[k]), main.y(x[k])]);
      const [[left0, top0], [left1, top1]] = [curve[0], curve.at(-1)];
      main.area([[left0, main.bottom], ...curve, [left1, main.bottom]], faint(colour.z, 0.2));
      main.area([[main.right, top0], ...curve, [main.right, top1]], faint(colour.x, 0.2));
      main.line(z, x, colour.ink, 2.2);
      const part = [z, x].map((values) => values.slice(i, j + 1));
      main.line(...part, colour.surface, 5);
      main.line(...part, colour.ink, 3.4);
    });
    below.inside(() => {
      bars(view.histogram_z, rangeZ, colour.z, (...bar) => below.bar(...bar));
      const curve = strip.map((k) => [below.x(z[k]), below.y(Math.min(pz[k], 9 * topZ))]);
      const [from, to] = [z[i], z[j]].map((v) => [below.x(v), below.bottom]);
      below.area([from, ...curve, to], faint(colour.z, 0.62));
      below.line(z, pz, colour.z, 2.4);
    });
    beside.inside(() => {
      bars(view.histogram_x, rangeX, colour.x, (place, height, tint) =>
        beside.bar(height, place, tint),
      );
      const heights = px.map((p) => Math.min(p, 9 * topX));
      const curve = strip.map((k) => [beside.x(heights[k]), beside.y(x[k])]);
      const [from, to] = [x[i], x[j]].map((v) => [beside.left, beside.y(v)]);
      beside.area([from, ...curve, to], faint(colour.x, 0.62));
      beside.line(heights, x, colour.x, 2.4);
    });

    below.ticksX(ticks(...rangeZ, small ? 3 : 5), colour.z);
    main.ticksY(ticks(...rangeX, small ? 4 : 6), colour.x);
    main.corner('top left', 'x = g(z)', colour.ink, 10, 10);
    below.corner('top left', 'p(z)', colour.z);
    beside.corner('top right', 'p(x)', colour.x, 8, 10);
    const legend = [`${thousands(view.samples)} draws`, 'as bars, the', 'formula as', 'a line'];
    legend.forEach((line, k) =>
      below.text(line, column + gap, below.top + 6 + 16 * k, colour.muted, 'left', 'top'),
    );
  });

  function update() {
    if (!view) return;
    const [i, j] = ends();
    const step = (values) => values[j] - values[i];
    setFacts({
      'area-z': fixed(step(view.mass_z), 4),
      'area-x': fixed(step(view.mass_x), 4),
      slope: fixed(step(view.x) / step(view.z), 3),
      integral: fixed(view.integral, 5),
    });
    const range = (values) => `${fixed(values[i], 2)} to ${fixed(values[j], 2)}`;
    where.ariaValueText = `z from ${range(view.z)}, x from ${range(view.x)}`;
    width.ariaValueText = fixed(step(view.z), 2);
    repaint();
  }

  const choosing = new LatestWins(async () => {
    const found = await ask('density', { base: base.value, map: map.value });
    lesson.toggleAttribute('data-refused', !found);
    if (!found) return; // the last good picture stays, faded
    view = found;
    lesson.dataset.shows = `${base.value} ${map.value}`;
    update();
  });
  on([base, map], 'change', () => choosing.want());
  on([where, width], 'input', update);
  whenSeen(() => choosing.want());
}
