// Lesson 5. Python measures couplings of growing size, then one of the face model, once; the
// slider leafs through what was measured.

import { Axes, Chart, faint, squareAxes } from '../charts.js';
import { on } from '../dom.js';
import { duration, fixed, openLesson, thousands } from './lesson.js';

export default function jacobian(host) {
  const { lesson, find, parts, ask, tellFacts, whenSeen } = openLesson(host);
  const WHOLE = Number(lesson.dataset.dims); // numbers in a face of this model
  const SIZES = [4, 8, 16, 32, 64, 128, 256, 512, 1024, 'face'];
  const { dims, measure: measureButton, state } = parts;
  let costs = []; // one for each of SIZES, as they come

  const map = new Chart(find('.map'), (paper, w, h, colour) => {
    const cost = costs[dims.valueAsNumber];
    const frame = squareAxes(paper, w, h, 1);
    frame.ground(colour.sunken);
    if (!cost) return frame.middle('measuring…', colour.muted);
    frame.inside(() => {
      frame.cells(cost.heat_map, colour.z, Math.sqrt(cost.heat_map.length) > w);
      frame.line([-1, 1], [0, 0], faint(colour.ink, 0.25), 1);
      frame.line([0, 0], [-1, 1], faint(colour.ink, 0.25), 1);
    });
    frame.text('0', frame.x(0.5), frame.y(0.5), colour.muted, 'center', 'middle');
  });

  const brute = (cost) => cost.jacobian_seconds + cost.elimination_seconds;
  const times = new Chart(find('.times'), (paper, w, h, colour) => {
    const known = costs.filter(Boolean);
    const row = known.filter((_, k) => SIZES[k] !== 'face');
    const box = new Axes(
      paper,
      [50, 6, w - 8, h - 24],
      [3, 1.6 * Math.max(WHOLE, 1024)],
      [1e-5, 1e3],
      { logX: true, logY: true },
    );
    box.ground(colour.sunken);
    box.ticksX([4, 64, 1024, WHOLE], colour.muted, thousands);
    box.ticksY([1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1, 10, 100], colour.muted, (v) =>
      v >= 1 ? `${v} s` : v >= 1e-3 ? `${1e3 * v} ms` : `${Math.round(1e6 * v)} µs`,
    );
    if (!row.length) return;
    box.line([WHOLE, WHOLE], [1e-5, 1e3], colour.strong, 1, [3, 4]);
    box.inside(() => {
      const sizes = row.map((cost) => cost.dims);
      for (const [values, tint] of [
        [row.map((cost) => cost.seconds), colour.z],
        [row.map(brute), colour.x],
      ]) {
        box.line(sizes, values, tint, 2.2);
        values.forEach((v, k) => box.dot(sizes[k], v, 3, tint));
      }
      const last = row.at(-1);
      if (last.dims >= 1024 && WHOLE > last.dims) {
        // where D³ leads from what was measured
        const cubes = [last.dims, WHOLE];
        box.line(
          cubes,
          cubes.map((d) => last.elimination_seconds * (d / last.dims) ** 3),
          colour.x,
          1.6,
          [4, 5],
        );
      }
      const face = costs[SIZES.indexOf('face')];
      if (face) {
        box.dot(face.dims, face.seconds, 4.5, colour.z, colour.surface);
        box.dot(face.dims, brute(face), 4.5, colour.x, colour.surface);
      }
      const cost = costs[dims.valueAsNumber];
      if (cost) box.line([cost.dims, cost.dims], [1e-5, 1e3], faint(colour.ink, 0.5), 1);
    });
    box.corner('top left', 'Jacobian and elimination', colour.x, 8, 8);
    box.corner('top left', 'the coupling itself', colour.z, 8, 25);
    box.corner('top left', 'dashed: elimination, by D³', colour.muted, 8, 42);
    box.corner('bottom right', 'D', colour.muted, 2, 5);
  });

  function tell() {
    const cost = costs[dims.valueAsNumber];
    const size = SIZES[dims.valueAsNumber];
    const title =
      size === 'face'
        ? `of the face model, level ${lesson.dataset.level}`
        : `of a coupling of ${size}`;
    dims.setAttribute('aria-valuetext', cost ? `${title}, ${cost.dims} dimensions` : title);
    tellFacts({
      title: `· ${title}`,
      flow: cost ? fixed(cost.log_det, 6) : '–',
      diagonal: cost ? fixed(cost.log_det_diagonal, 6) : '–',
      brute: cost ? fixed(cost.log_det_brute_force, 6) : '–',
      above: cost ? cost.above : '–',
      seconds: cost ? duration(cost.seconds) : '–',
      'brute-seconds': cost
        ? `${duration(cost.jacobian_seconds)} + ${duration(cost.elimination_seconds)}`
        : '–',
    });
    map.ask();
    times.ask();
  }
  on(dims, 'input', tell);

  async function measure() {
    measureButton.disabled = true;
    costs = [];
    tell();
    for (const [k, size] of SIZES.entries()) {
      state.textContent = `Measuring ${size === 'face' ? 'the face model’s coupling' : `D = ${size}`}…`;
      const cost = await ask('jacobian', { dims: size });
      if (!cost) break;
      costs[k] = cost;
      tell();
    }
    const face = costs[SIZES.indexOf('face')];
    state.textContent = face
      ? `At D = ${thousands(face.dims)} the coupling is ${thousands(brute(face) / face.seconds)} times as fast.`
      : '';
    lesson.dataset.measured = costs.filter(Boolean).length;
    measureButton.disabled = false;
  }
  on(measureButton, 'click', measure);
  tell();
  whenSeen(measure);
}
