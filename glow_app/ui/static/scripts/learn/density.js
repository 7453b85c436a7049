// Lesson 1. Python computes densities, areas and histograms once for a choice of base and map;
// moving the strip only looks them up.

import { Axes, Chart, faint, ticks } from '../charts.js';
import { LatestWins } from '../requests.js';
import { fixed, openLesson } from './lesson.js';

export default function density(host) {
  const { lesson, find, ask, fact, whenSeen } = openLesson(host);
  const [base, map, where, width] = ['.base', '.map', '.where', '.width'].map(find);
  let view = null;

  const chart = new Chart(find('canvas'), (paper, w, h, colour) => {
    if (!view) return;
    const { z, x } = view;
    const last = z.length - 1;
    const i = where.valueAsNumber;
    const j = Math.min(last, i + width.valueAsNumber);
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
      paper.fillStyle = faint(colour.z, 0.2);
      paper.beginPath();
      paper.moveTo(main.x(z[i]), main.bottom);
      for (let k = i; k <= j; k += 1) paper.lineTo(main.x(z[k]), main.y(x[k]));
      paper.lineTo(main.x(z[j]), main.bottom);
      paper.fill();
      paper.fillStyle = faint(colour.x, 0.2);
      paper.beginPath();
      paper.moveTo(main.right, main.y(x[i]));
      for (let k = i; k <= j; k += 1) paper.lineTo(main.x(z[k]), main.y(x[k]));
      paper.lineTo(main.right, main.y(x[j]));
      paper.fill();
      main.line(z, x, colour.ink, 2.2);
      main.line(z.slice(i, j + 1), x.slice(i, j + 1), colour.surface, 5);
      main.line(z.slice(i, j + 1), x.slice(i, j + 1), colour.ink, 3.4);
    });

    below.inside(() => {
      bars(
        view.histogram_z,
        rangeZ,
        (a, b, height) => [
          below.x(a),
          below.y(height),
          below.x(b) - below.x(a),
          below.bottom - below.y(height),
        ],
        colour.z,
      );
      shade(
        below,
        (k) => [below.x(z[k]), below.y(Math.min(view.p_z[k], 9 * topZ))],
        [below.x(z[i]), below.bottom],
        [below.x(z[j]), below.bottom],
        i,
        j,
        colour.z,
      );
      below.line(z, view.p_z, colour.z, 2.4);
    });
    beside.inside(() => {
      bars(
        view.histogram_x,
        rangeX,
        (a, b, height) => [
          beside.left,
          beside.y(b),
          beside.x(height) - beside.left,
          beside.y(a) - beside.y(b),
        ],
        colour.x,
      );
      shade(
        beside,
        (k) => [beside.x(Math.min(view.p_x[k], 9 * topX)), beside.y(x[k])],
        [beside.left, beside.y(x[i])],
        [beside.left, beside.y(x[j])],
        i,
        j,
        colour.x,
      );
      const height = view.p_x.map((p) => Math.min(p, 9 * topX));
      beside.line(height, x, colour.x, 2.4);
    });

    below.ticksX(ticks(...rangeZ, small ? 3 : 5), colour.z);
    main.ticksY(ticks(...rangeX, small ? 4 : 6), colour.x);
    main.text('x = g(z)', main.left + 10, main.top + 10, colour.ink, 'left', 'top');
    below.text('p(z)', below.left + 10, below.top + 8, colour.z, 'left', 'top');
    beside.text('p(x)', beside.right - 8, beside.top + 10, colour.x, 'right', 'top');
    const words = [
      `${view.samples.toLocaleString('en')} draws`,
      'as bars, the',
      'formula as',
      'a line',
    ];
    words.forEach((line, k) =>
      below.text(line, column + gap, below.top + 6 + 16 * k, colour.muted, 'left', 'top'),
    );

    function bars(heights, [low, high], box, tint) {
      paper.fillStyle = faint(tint, 0.22);
      const step = (high - low) / heights.length;
      heights.forEach((height, k) =>
        paper.fillRect(...box(low + k * step, low + (k + 1) * step, height)),
      );
    }
    function shade(frame, point, start, end, from, to, tint) {
      paper.fillStyle = faint(tint, 0.62);
      paper.beginPath();
      paper.moveTo(...start);
      for (let k = from; k <= to; k += 1) paper.lineTo(...point(k));
      paper.lineTo(...end);
      paper.fill();
    }
  });

  function tell() {
    if (!view) return;
    const i = where.valueAsNumber;
    const j = Math.min(view.z.length - 1, i + width.valueAsNumber);
    const [dz, dx] = [view.z[j] - view.z[i], view.x[j] - view.x[i]];
    fact('area-z', fixed(view.mass_z[j] - view.mass_z[i], 4));
    fact('area-x', fixed(view.mass_x[j] - view.mass_x[i], 4));
    fact('slope', fixed(dx / dz, 3));
    fact('integral', fixed(view.integral, 5));
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
  for (const menu of [base, map]) menu.addEventListener('change', () => choosing.want());
  for (const slider of [where, width]) slider.addEventListener('input', tell);
  whenSeen(() => choosing.want());
}
