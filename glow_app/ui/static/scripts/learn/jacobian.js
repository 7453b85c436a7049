// Lesson 5. Python measures couplings of growing size, then one of the face model, once; the
// slider leafs through what was measured.

import { Axes, chart, faint, squareAxes } from '../charts.js';
import { on } from '../dom.js';
import { duration, fixed, openLesson, thousands } from './lesson.js';

const SIZES = [4, 8, 16, 32, 64, 128, 256, 512, 1024, 'face'];
const SECONDS = [1e-5, 1e3]; // the range of the chart

export default function jacobian(host) {
  const { lesson, find, findAll, parts, ask, setFacts, whenSeen } = openLesson(host);
  const WHOLE = Number(lesson.dataset.dims); // numbers in a face of this model
  const { dims, measure: measureButton, state } = parts;
  let costs = []; // one for each of SIZES, as they come
  const chosen = () => costs[dims.valueAsNumber];
  const ofFace = () => costs[SIZES.indexOf('face')];
  const brute = (cost) => cost.jacobian_seconds + cost.elimination_seconds;

  const paintMap = chart(find('.map'), (paper, w, h, colour) => {
    const frame = squareAxes(paper, w, h, 1).ground(colour.sunken);
    if (!chosen()) return frame.middle('measuring…', colour.muted);
    const { heat_map: heat } = chosen();
    frame.inside(() => {
      frame.cells(heat, colour.z, Math.sqrt(heat.length) > w);
      frame.line([-1, 1], [0, 0], faint(colour.ink, 0.25), 1);
      frame.line([0, 0], [-1, 1], faint(colour.ink, 0.25), 1);
    });
    frame.text('0', frame.x(0.5), frame.y(0.5), colour.muted, 'center', 'middle');
  });

  const paintTimes = chart(find('.times'), (paper, w, h, colour) => {
    const row = costs.slice(0, SIZES.indexOf('face'));
    const range = [3, 1.6 * Math.max(WHOLE, 1024)];
    const box = new Axes(paper, [50, 6, w - 8, h - 24], range, SECONDS, true);
    box.ground(colour.sunken);
    box.ticksX([4, 64, 1024, WHOLE], colour.muted, thousands);
    box.ticksY([1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1, 10, 100], colour.muted, (v) =>
      v >= 1 ? `${v} s` : v >= 1e-3 ? `${1e3 * v} ms` : `${Math.round(1e6 * v)} µs`,
    );
    if (!row.length) return;
    box.line([WHOLE, WHOLE], SECONDS, colour.strong, 1, [3, 4]);
    box.inside(() => {
      const sizes = row.map((cost) => cost.dims);
      const curve = (tint, values) => {
        box.line(sizes, values, tint, 2.2);
        values.forEach((v, k) => box.dot(sizes[k], v, 3, tint));
      };
      curve(
        colour.z,
        row.map((cost) => cost.seconds),
      );
      curve(colour.x, row.map(brute));
      const last = row.at(-1);
      if (last.dims >= 1024 && WHOLE > last.dims) {
        // where D³ leads from what was measured
        const end = last.elimination_seconds * (WHOLE / last.dims) ** 3;
        box.line([last.dims, WHOLE], [last.elimination_seconds, end], colour.x, 1.6, [4, 5]);
      }
      const face = ofFace();
      if (face) {
        box.dot(face.dims, face.seconds, 4.5, colour.z, colour.surface);
        box.dot(face.dims, brute(face), 4.5, colour.x, colour.surface);
      }
      const cost = chosen();
      if (cost) box.line([cost.dims, cost.dims], SECONDS, faint(colour.ink, 0.5), 1);
    });
    box.corner('top left', 'Jacobian and elimination', colour.x, 8, 8);
    box.corner('top left', 'the coupling itself', colour.z, 8, 25);
    box.corner('top left', 'dashed: elimination, by D³', colour.muted, 8, 42);
    box.corner('bottom right', 'D', colour.muted, 2, 5);
  });

  function update() {
    const cost = chosen();
    const size = SIZES[dims.valueAsNumber];
    const { level } = lesson.dataset;
    const title =
      size === 'face' ? `of the face model, level ${level}` : `of a coupling of ${size}`;
    dims.ariaValueText = cost ? `${title}, ${cost.dims} dimensions` : title;
    const facts = cost && {
      flow: fixed(cost.log_det, 6),
      diagonal: fixed(cost.log_det_diagonal, 6),
      brute: fixed(cost.log_det_brute_force, 6),
      above: cost.above,
      seconds: duration(cost.seconds),
      'brute-seconds': `${duration(cost.jacobian_seconds)} + ${duration(cost.elimination_seconds)}`,
    };
    for (const place of findAll('.facts dd')) place.textContent = '–';
    setFacts({ title: `· ${title}`, ...facts });
    paintMap();
    paintTimes();
  }
  on(dims, 'input', update);

  async function measure() {
    measureButton.disabled = true;
    costs = [];
    update();
    for (const size of SIZES) {
      state.textContent = `Measuring ${size === 'face' ? 'the face model’s coupling' : `D = ${size}`}…`;
      const cost = await ask('jacobian', { dims: size });
      if (!cost) break;
      costs.push(cost);
      update();
    }
    const face = ofFace();
    state.textContent = face
      ? `At D = ${thousands(face.dims)} the coupling is ${thousands(brute(face) / face.seconds)} times as fast.`
      : '';
    lesson.dataset.measured = costs.length;
    measureButton.disabled = false;
  }
  on(measureButton, 'click', measure);
  update();
  whenSeen(measure);
}
