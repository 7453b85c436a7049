// Lesson 4. Python walks g layer by layer; the sliders only leaf through the states it sent.
// Between two layers the points are drawn on straight ways, to follow them by eye.

import { Axes, TAU, chart, faint, squareAxes, ticks } from '../charts.js';
import { on } from '../dom.js';
import { fixed, openLesson, thousands } from './lesson.js';

const RINGED = 7; // the point whose log-determinants are shown

/** Bars of single log-determinants and the line of their sum, up to `place`. */
function bars(paper, w, h, colour, values, place) {
  const sums = [0];
  values.forEach((v) => sums.push(sums.at(-1) + v));
  const low = Math.min(...sums, ...values);
  const high = Math.max(...sums, ...values);
  const room = 0.08 * (high - low || 1);
  const range = [low - room, high + room];
  const box = new Axes(paper, [58, 6, w - 6, h - 8], [0, values.length], range);
  box.ground(colour.sunken);
  box.ticksY(ticks(...range, 4), colour.muted, (v) => v.toLocaleString('en'));
  box.line([0, values.length], [0, 0], colour.strong, 1);
  values.forEach((v, k) =>
    box.bar([k + 0.18, k + 0.82], [0, v], faint(colour.z, k < place ? 0.85 : 0.25), 1),
  );
  const done = Math.floor(place);
  const steps = [...sums.keys()];
  box.line(steps, sums, faint(colour.x, 0.3), 2);
  box.line(steps.slice(0, done + 1), sums, colour.x, 2.4);
  box.dot(done, sums[done], 4, colour.x, colour.surface);
  const row = sums[Math.min(2, sums.length - 1)] > (low + high) / 2 ? 'bottom' : 'top';
  const [first, second] = row === 'bottom' ? [24, 8] : [8, 24];
  box.corner(`${row} left`, 'each layer', colour.z, 10, first);
  box.corner(`${row} left`, 'their sum', colour.x, 10, second);
}

const total = (values, count) => values.slice(0, count).reduce((a, b) => a + b, 0);

export default function chain(host) {
  const { props } = host;
  const { lesson, find, parts, ask, setFacts, whenSeen, onValue } = openLesson(host);
  const { layer, step, statePicture, decided } = parts;
  let walked = null; // points: {names, states, log_dets, log_det_g, span}
  let face = null; // {names, levels, pictures, decided, log_dets}

  const paintCloud = chart(find('.cloud'), (paper, w, h, colour) => {
    if (!walked) return;
    const { states, count, stages } = walked;
    const place = layer.valueAsNumber;
    const k = Math.min(stages - 1, Math.floor(place));
    const next = Math.min(stages - 1, k + 1);
    const frame = squareAxes(paper, w, h, 3.4).ground(colour.sunken);
    const at = (i) =>
      [0, 1].map((axis) => {
        const from = states[2 * (k * count + i) + axis];
        return from + (place - k) * (states[2 * (next * count + i) + axis] - from);
      });
    const light = document.body.classList.contains('dark') ? '65% 62%' : '62% 42%';
    frame.inside(() => {
      for (let i = 0; i < count; i += 1) {
        // the hue is the direction in which z lies
        const turn = Math.atan2(states[2 * i + 1], states[2 * i]) / TAU;
        frame.dot(...at(i), 2.4, `hsl(${Math.round(360 * turn)} ${light})`);
      }
      frame.dot(...at(RINGED), 5, 'transparent', colour.ink);
    });
    const words = place === 0 ? 'z ~ N(0, I)' : place >= stages - 1 ? 'x = g(z)' : '';
    frame.corner('top left', words, colour.ink, 10, 10);
  });

  const ofRinged = () => walked.names.map((_, k) => walked.log_dets[k * walked.count + RINGED]);
  const paintBars = chart(find('.bars'), (...about) => {
    if (walked) bars(...about, ofRinged(), layer.valueAsNumber);
  });
  const paintFaceBars = chart(find('.face-bars'), (...about) => {
    if (face) bars(...about, [...face.log_dets], step.valueAsNumber);
  });

  function update() {
    if (!walked) return;
    const done = Math.floor(layer.valueAsNumber + 1e-9);
    const each = ofRinged();
    const name = done ? walked.names[done - 1] : 'none yet: noise';
    setFacts({
      layer: done ? `${done} of ${each.length}: ${name}` : name,
      one: done ? fixed(each[done - 1], 4) : '–',
      sum: fixed(total(each, done), 4),
      total: fixed(walked.log_det_g[RINGED], 4),
    });
    layer.ariaValueText = `${done} of ${each.length} layers, ${name}`;
    lesson.dataset.layer = done;
    paintCloud();
    paintBars();
  }
  function updateFace() {
    if (!face) return;
    const done = step.valueAsNumber;
    const name = done ? face.names[done - 1] : 'none yet: z, laid out as a picture';
    const joined = done ? face.decided.length - face.levels[done - 1] : 0;
    Object.assign(statePicture, {
      src: face.pictures[done],
      alt: `The state after ${done} steps of g`,
    });
    decided.src = face.decided[joined];
    decided.alt = `The face that ${joined + 1} of ${face.decided.length} levels decide`;
    const sum = thousands(total(face.log_dets, done));
    setFacts({
      'face-step': `${done ? `${done} of ${face.names.length}: ` : ''}${name}. Sum of log |det| so far: ${sum}.`,
    });
    step.ariaValueText = `${done} of ${face.names.length} steps, ${name}`;
    paintFaceBars();
  }
  on(layer, 'input', update);
  on(step, 'input', updateFace);

  function take(value) {
    walked = { ...value, count: value.log_det_g.length, stages: value.names.length + 1 };
    layer.max = value.names.length;
    lesson.dataset.flow = props.value ? 'trained' : 'example';
    update();
  }
  onValue(take);
  whenSeen(async () => {
    const found = walked ? null : await ask('chain');
    if (found && !walked) take(found);
    face = await ask('faces');
    if (!face) return;
    step.max = face.names.length;
    updateFace();
  });
}
