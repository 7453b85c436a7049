// Lesson 1. Python computes densities, areas and histograms once for a choice of base and map;
// moving the strip only looks them up.

import { Axes, Chart, faint, ticks } from '../charts.js';
import { on } from '../dom.js';
import { LatestWins } from '../requests.js';
import { fixed, openLesson, thousands } from './lesson.js';

export default function density(host) {
  const { lesson, find, parts, ask, tellFacts, whenSeen } = openLesson(host);
  const { base, map, where, width } = parts;
  let view = null;

  /** The first and the last number of the strip. */
  function ends() {
    const from = where.valueAsNumber;
    return [from, Math.min(view.z.length - 1, from + width.valueAsNumber)];
  }

  const chart = new Chart(find('canvas'), (paper, w, h, colour) => {
    if (!view) return;
    const { z, x } = view;
    const last = z.length - 1;
    const [i, j] = ends();
    const strip = Array.from({ length: j - i + 1 }, (_, k) => i + k);
    const small = w < 420;
    const [left, bottom, gap] = [small ? 30 : 40, 26, small ? 10 : 16];
    const column = left + (w - left) * 0.64;
    const row = (h - bottom) * 0.6;
    const rangeZ = [z[0], z[last]];
    const rangeX = [x[0], x[last]];
    const top = (p) => {
      // of the axis: a density that is infinite at an end is cut
      const rising = [...p].sort((a, b) => a - b);
      return (
        1.12 *
        Math.min(rising[last], Math.max(6 * rising[last >> 1], rising[Math.floor(0.88 * last)]))
      );
    };
    const [topZ, topX] = [top(view.p_z), top(view.p_x)];
    const main = new Axes(paper, [left, 8, column, row], rangeZ, rangeX);
    const below = new Axes(paper, [left, row + gap, column, h - bottom], rangeZ, [0, topZ]);
    const beside = new Axes(paper, [column + gap, 8, w - 2, row], [0, topX], rangeX);

    for (const frame of [main, below, beside]) frame.ground(colour.sunken);

    // The strip from dz up to the curve and across to dx.
    main.inside(() => {
      const curve = strip.map((k) => [main.x(z[k]), main.y(x[k])]);
      const [[left0], [left1]] = [curve[0], curve.at(-1)];
      main.area([[left0, main.bottom], ...curve, [left1, main.bottom]], faint(colour.z, 0.2));
      const [top0, top1] = [main.y(x[i]), main.y(x[j])];
      main.area([[main.right, top0], ...curve, [main.right, top1]], faint(colour.x, 0.2));
      main.line(z, x, colour.ink, 2.2);
      main.line(z.slice(i, j + 1), x.slice(i, j + 1), colour.surface, 5);
      main.line(z.slice(i, j + 1), x.slice(i, j + 1), colour.ink, 3.4);
    });
    below.inside(() => {
      bars(view.histogram_z, rangeZ, colour.z, (...bar) => below.bar(...bar));
      const curve = strip.map((k) => [below.x(z[k]), below.y(Math.min(view.p_z[k], 9 * topZ))]);
      const [from, to] = [z[i], z[j]].map((v) => [below.x(v), below.bottom]);
      below.area([from, ...curve, to], faint(colour.z, 0.62));
      below.line(z, view.p_z, colour.z, 2.4);
    });
    beside.inside(() => {
      const heights = view.p_x.map((p) => Math.min(p, 9 * topX));
      bars(view.histogram_x, rangeX, colour.x, (place, height, tint) =>
        beside.bar(height, place, tint),
      );
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
    [`${thousands(view.samples)} draws`, 'as bars, the', 'formula as', 'a line'].forEach(
      (line, k) =>
        below.text(line, column + gap, below.top + 6 + 16 * k, colour.muted, 'left', 'top'),
    );

    function bars(heights, [low, high], tint, draw) {
      const step = (high - low) / heights.length;
      heights.forEach((height, k) =>
        draw([low + k * step, low + (k + 1) * step], [0, height], faint(tint, 0.22)),
      );
    }
  });

  function tell() {
    if (!view) return;
    const [i, j] = ends();
    const [dz, dx] = [view.z[j] - view.z[i], view.x[j] - view.x[i]];
    tellFacts({
      'area-z': fixed(view.mass_z[j] - view.mass_z[i], 4),
      'area-x': fixed(view.mass_x[j] - view.mass_x[i], 4),
      slope: fixed(dx / dz, 3),
      integral: fixed(view.integral, 5),
    });
    const range = (from, to) => `${fixed(from, 2)} to ${fixed(to, 2)}`;
    where.setAttribute(
      'aria-valuetext',
      `z from ${range(view.z[i], view.z[j])}, x from ${range(view.x[i], view.x[j])}`,
    );
    width.setAttribute('aria-valuetext', fixed(dz, 2));
    chart.ask();
  }

  const choosing = new LatestWins(async () => {
    const found = await ask('density', { base: base.value, map: map.value });
    lesson.toggleAttribute('data-refused', !found);
    if (!found) return; // the last good picture stays, faded
    view = found;
    lesson.dataset.shows = `${base.value} ${map.value}`;
    tell();
  });
  on([base, map], 'change', () => choosing.want());
  on([where, width], 'input', tell);
  whenSeen(() => choosing.want());
}
