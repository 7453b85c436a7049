// Lesson 2. Every move of a point asks Python, latest wins: f and g run there, both ways.

import { chart, faint, squareAxes } from '../charts.js';
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
  const { lesson, find, parts, ask, setFacts, whenSeen } = openLesson(host);
  let still = null; // what does not move: data, codes, grid lines
  let probe = null;

  /** One of the two planes: its sliders, its chart, and the axes that were painted last. */
  function side(name, canvas) {
    const sliders = [parts[`${name}1`], parts[`${name}2`]];
    const inX = name === 'x';
    let axes = null;
    const repaint = chart(canvas, (paper, w, h, colour) => {
      if (!still) return;
      axes = squareAxes(paper, w, h, inX ? still.span : REACH_Z).ground(colour.sunken);
      axes.inside(() => {
        grid(axes, inX ? still.lines : still.grid, faint(colour.z, 0.55));
        axes.dots(inX ? still.data : still.codes, 1.5, faint(colour.x, 0.75));
        if (!probe) return;
        const ring = inX ? probe.ring_x : probe.ring_z;
        axes.line([...even(ring), ring[0]], [...odd(ring), ring[1]], colour.ink, 2);
        axes.dot(...probe[name], 3, colour.ink);
      });
    });
    const move = () => moving.want({ [name]: sliders.map((slider) => slider.valueAsNumber) });
    on(sliders, 'input', move);
    const place = (at) => sliders.forEach((slider, k) => (slider.value = at[k]));
    // The same point, by mouse or finger.
    onDrag(canvas, (x, y) => {
      if (!axes) return;
      place(axes.at(x, y));
      move();
    });
    return { name, repaint, move, place };
  }

  /** The grid: straight in z, bent by g in x. */
  function grid(axes, lines, tint) {
    const each = 2 * still.line_points;
    for (let k = 0; k < lines.length; k += each) {
      const line = lines.subarray(k, k + each);
      axes.line(even(line), odd(line), tint, 1);
    }
  }

  const moving = new LatestWins(async (wish) => {
    const found = await ask('probe', wish);
    if (!found) return;
    probe = found;
    for (const { name, repaint, place } of sides) {
      if (!(name in wish)) place(probe[name]); // those that are moved belong to the visitor
      repaint();
    }
    setFacts({
      x: couple(probe.x),
      z: couple(probe.z),
      off: tiny(probe.off),
      'log-prob': fixed(probe.log_prob, 2),
      det: fixed(Math.exp(probe.log_det), 3),
      stretch: fixed(probe.stretch, 3),
    });
    lesson.dataset.probe = [...probe.x, ...probe.z].map((v) => v.toFixed(3)).join(' ');
  });
  const sides = [side('x', find('.data')), side('z', find('.codes'))];

  whenSeen(async () => {
    still = await ask('plane');
    if (!still) return;
    parts.face.src = still.face;
    parts.faceCode.src = still.face_code;
    parts.faceBack.src = still.face_back;
    setFacts({
      face: `${still.face_dims.toLocaleString('en')} numbers each; after the round trip the largest difference is ${still.face_levels} of 255 levels.`,
    });
    parts.trip.hidden = false;
    sides[0].move();
  });
}
