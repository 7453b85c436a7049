// Lesson 2. Every move of a point asks Python, latest wins: f and g run there, both ways.

import { Chart, faint, squareAxes } from '../charts.js';
import { on, onDrag } from '../dom.js';
import { LatestWins } from '../requests.js';
import { fixed, openLesson } from './lesson.js';

const REACH_Z = 4;

const even = (pairs) => pairs.filter((_, i) => i % 2 === 0);
const odd = (pairs) => pairs.filter((_, i) => i % 2 === 1);
const couple = (pair) => `(${fixed(pair[0], 2)}, ${fixed(pair[1], 2)})`;

/** A small number by its power of ten. */
export function tiny(value) {
  if (value === 0) return '0';
  const [factor, power] = value.toExponential(0).split('e-');
  return `${factor} · 10⁻${[...power].map((digit) => '⁰¹²³⁴⁵⁶⁷⁸⁹'[digit]).join('')}`;
}

export default function plane(host) {
  const { lesson, find, ask, tellFacts, whenSeen } = openLesson(host);
  const sliders = Object.fromEntries(
    ['x1', 'x2', 'z1', 'z2'].map((name) => [name, find(`.${name}`)]),
  );
  let still = null; // what does not move: data, codes, grid lines
  let probe = null;

  function paintSide(paper, w, h, colour, side) {
    if (!still) return;
    const inX = side === 'x';
    const frame = squareAxes(paper, w, h, inX ? still.span : REACH_Z);
    frame.ground(colour.sunken);
    frame.inside(() => {
      lines(frame, inX, faint(colour.z, 0.55));
      frame.dots(inX ? still.data : still.codes, 1.5, faint(colour.x, 0.75));
      if (!probe) return;
      const ring = inX ? probe.ring_x : probe.ring_z;
      frame.line([...even(ring), ring[0]], [...odd(ring), ring[1]], colour.ink, 2);
      frame.dot(...probe[side], 3, colour.ink);
    });
    return frame;
  }

  /** The grid: straight in z, bent by g in x. */
  function lines(frame, bent, tint) {
    const each = 2 * still.line_points;
    for (let k = 0; k * each < still.lines.length; k += 1) {
      const line = (bent ? still.lines : still.grid).subarray(k * each, (k + 1) * each);
      frame.line(even(line), odd(line), tint, 1);
    }
  }

  const frames = {};
  const charts = {
    x: new Chart(find('.data'), (...about) => {
      frames.x = paintSide(...about, 'x');
    }),
    z: new Chart(find('.codes'), (...about) => {
      frames.z = paintSide(...about, 'z');
    }),
  };

  const moving = new LatestWins(async (wish) => {
    const found = await ask('probe', wish);
    if (!found) return;
    probe = found;
    for (const side of ['x', 'z']) {
      if (side in wish) continue; // the sliders that are being moved belong to the visitor
      [sliders[`${side}1`].value, sliders[`${side}2`].value] = probe[side];
    }
    tellFacts({
      x: couple(probe.x),
      z: couple(probe.z),
      off: tiny(probe.off),
      'log-prob': fixed(probe.log_prob, 2),
      det: fixed(Math.exp(probe.log_det), 3),
      stretch: fixed(probe.stretch, 3),
    });
    lesson.dataset.probe = [...probe.x, ...probe.z].map((v) => v.toFixed(3)).join(' ');
    charts.x.ask();
    charts.z.ask();
  });
  for (const side of ['x', 'z']) {
    const pair = [sliders[`${side}1`], sliders[`${side}2`]];
    const wish = () => moving.want({ [side]: pair.map((slider) => slider.valueAsNumber) });
    on(pair, 'input', wish);
    // The same point, by mouse or finger.
    onDrag(charts[side].canvas, (x, y) => {
      if (!frames[side]) return;
      const place = frames[side].at(x, y);
      pair.forEach((slider, k) => {
        slider.value = place[k];
      });
      wish();
    });
  }

  whenSeen(async () => {
    still = await ask('plane', {});
    if (!still) return;
    find('.face').src = still.face;
    find('.face-code').src = still.face_code;
    find('.face-back').src = still.face_back;
    tellFacts({
      face: `${still.face_dims.toLocaleString('en')} numbers each; after the round trip the largest difference is ${still.face_levels} of 255 levels.`,
    });
    find('.trip').hidden = false;
    moving.want({ x: [sliders.x1.valueAsNumber, sliders.x2.valueAsNumber] });
  });
}
