// Lesson 4. Python walks g layer by layer; the sliders only leaf through the states it sent.
// Between two layers the points are drawn on straight ways, to follow them by eye.

import { Axes, Chart, TAU, faint, squareAxes, ticks } from '../charts.js';
import { unpack } from '../requests.js';
import { fixed, openLesson } from './lesson.js';

const RINGED = 7; // the point whose log-determinants are shown

export default function chain(host) {
  const { props, watch } = host;
  const { lesson, find, ask, fact, whenSeen } = openLesson(host);
  const [layer, step] = ['.layer', '.step'].map(find);
  const images = { state: find('.state-picture'), decided: find('.decided') };
  let walked = null; // points: {names, states, log_dets, log_det_g, span}
  let face = null; // {names, levels, pictures, decided, log_dets}

  const cloud = new Chart(find('.cloud'), (paper, w, h, colour) => {
    if (!walked) return;
    const { states, count, stages } = walked;
    const place = layer.valueAsNumber;
    const k = Math.min(stages - 1, Math.floor(place));
    const part = place - k;
    const next = Math.min(stages - 1, k + 1);
    const frame = squareAxes(paper, w, h, 3.4);
    frame.ground(colour.sunken);
    const at = (i) =>
      [0, 1].map((axis) => {
        const from = states[2 * (k * count + i) + axis];
        return from + part * (states[2 * (next * count + i) + axis] - from);
      });
    const dark = document.body.classList.contains('dark');
    frame.inside(() => {
      for (let i = 0; i < count; i += 1) {
        // the hue is the direction in which z lies
        const turn = Math.atan2(states[2 * i + 1], states[2 * i]) / TAU;
        frame.dot(...at(i), 2.4, `hsl(${Math.round(360 * turn)} ${dark ? '65% 62%' : '62% 42%'})`);
      }
      frame.dot(...at(RINGED), 5, 'transparent', colour.ink);
    });
    frame.text(
      place === 0 ? 'z ~ N(0, I)' : place >= stages - 1 ? 'x = g(z)' : '',
      frame.left + 10,
      frame.top + 10,
      colour.ink,
      'left',
      'top',
    );
  });

  /** Bars of single log-determinants and the line of their sum, up to `place`. */
  function bars(paper, w, h, colour, values, place) {
    const sums = [0];
    values.forEach((v) => sums.push(sums[sums.length - 1] + v));
    const low = Math.min(...sums, ...values);
    const high = Math.max(...sums, ...values);
    const room = 0.08 * (high - low || 1);
    const box = new Axes(
      paper,
      [58, 6, w - 6, h - 8],
      [0, values.length],
      [low - room, high + room],
    );
    box.ground(colour.sunken);
    box.ticksY(ticks(low - room, high + room, 4), colour.muted, (v) =>
      v.toLocaleString('en').replace('-', '−'),
    );
    box.line([0, values.length], [0, 0], colour.strong, 1);
    values.forEach((v, k) => {
      paper.fillStyle = faint(colour.z, k < place ? 0.85 : 0.25);
      const [top, bottom] = [box.y(Math.max(0, v)), box.y(Math.min(0, v))];
      paper.fillRect(box.x(k + 0.18), top, box.x(0.64) - box.x(0), Math.max(1, bottom - top));
    });
    const done = Math.floor(place);
    box.line([...sums.keys()], sums, faint(colour.x, 0.3), 2);
    box.line([...sums.keys()].slice(0, done + 1), sums.slice(0, done + 1), colour.x, 2.4);
    box.dot(done, sums[done], 4, colour.x, colour.surface);
    const highUp = sums[Math.min(2, sums.length - 1)] > (low + high) / 2;
    box.text(
      'each layer',
      box.left + 10,
      highUp ? box.bottom - 24 : box.top + 8,
      colour.z,
      'left',
      highUp ? 'bottom' : 'top',
    );
    box.text(
      'their sum',
      box.left + 10,
      highUp ? box.bottom - 8 : box.top + 24,
      colour.x,
      'left',
      highUp ? 'bottom' : 'top',
    );
  }
  const ofRinged = () => walked.names.map((_, k) => walked.log_dets[k * walked.count + RINGED]);
  const layerBars = new Chart(find('.bars'), (paper, w, h, colour) => {
    if (walked) bars(paper, w, h, colour, ofRinged(), layer.valueAsNumber);
  });
  const faceBars = new Chart(find('.face-bars'), (paper, w, h, colour) => {
    if (face) bars(paper, w, h, colour, [...face.log_dets], step.valueAsNumber);
  });

  function tell() {
    if (!walked) return;
    const done = Math.floor(layer.valueAsNumber + 1e-9);
    const each = ofRinged();
    const name = done ? walked.names[done - 1] : 'none yet: noise';
    fact('layer', done ? `${done} of ${each.length}: ${name}` : name);
    fact('one', done ? fixed(each[done - 1], 4) : '–');
    fact(
      'sum',
      fixed(
        each.slice(0, done).reduce((a, b) => a + b, 0),
        4,
      ),
    );
    fact('total', fixed(walked.log_det_g[RINGED], 4));
    layer.setAttribute('aria-valuetext', `${done} of ${each.length} layers, ${name}`);
    lesson.dataset.layer = done;
    cloud.ask();
    layerBars.ask();
  }
  function tellFace() {
    if (!face) return;
    const done = step.valueAsNumber;
    const sum = face.log_dets.slice(0, done).reduce((a, b) => a + b, 0);
    const name = done ? face.names[done - 1] : 'none yet: z, laid out as a picture';
    const joined = face.decided.length - (done ? face.levels[done - 1] : face.decided.length);
    images.state.src = face.pictures[done];
    images.state.alt = `The state after ${done} steps of g`;
    images.decided.src = face.decided[joined];
    images.decided.alt = `The face that ${joined + 1} of ${face.decided.length} levels decide`;
    fact(
      'face-step',
      `${done ? `${done} of ${face.names.length}: ` : ''}${name}. Sum of log |det| so far: ${Math.round(sum).toLocaleString('en').replace('-', '−')}.`,
    );
    step.setAttribute('aria-valuetext', `${done} of ${face.names.length} steps, ${name}`);
    faceBars.ask();
  }
  layer.addEventListener('input', tell);
  step.addEventListener('input', tellFace);

  function take(value) {
    walked = { ...value, count: value.log_det_g.length, stages: value.names.length + 1 };
    layer.max = value.names.length;
    lesson.dataset.flow = props.value ? 'trained' : 'example';
    tell();
  }
  watch('value', () => {
    if (props.value) take(unpack(props.value));
  });
  whenSeen(async () => {
    if (props.value) take(unpack(props.value));
    else {
      const found = await ask('chain', {});
      if (found && !props.value) take(found);
    }
    face = await ask('faces', {});
    if (!face) return;
    step.max = face.names.length;
    tellFace();
  });
}
