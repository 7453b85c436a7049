// Lesson 3. Python trains and sends a picture now and then (the value: a snapshot of
// glow_app.lessons.fit, with running and stopped). Event to Python: train {data, points, job};
// server.job({job, stop: true}) ends it.

import { Axes, Chart, faint, squareAxes, ticks } from '../charts.js';
import { on, onDrag, setDisabled } from '../dom.js';
import { newJob } from '../long_work.js';
import { LatestWins, unpack } from '../requests.js';
import { fixed, openLesson, thousands } from './lesson.js';

export default function fit(host) {
  const { props, trigger, watch, server } = host;
  const { lesson, find, findAll, parts, ask, say, tellFacts, whenSeen } = openLesson(host);
  const { train, halt, clear, state, data } = parts;
  const radios = findAll('input[type=radio]');
  let span = 2.5;
  let shown = new Float32Array(); // the data that are drawn: x0, y0, x1, y1, …
  let clicked = []; // the visitor's own points
  let cursor = null; // where the keyboard puts the next one
  let shot = null; // the newest snapshot
  let history = []; // [step, Σ log p]
  let waiting = false; // asked for, but not begun
  let job = ''; // the name of the training
  let frame = null;

  const chosen = () => radios.find((radio) => radio.checked).value;
  const isOwn = () => chosen() === 'points';

  const dataChart = new Chart(data, (paper, w, h, colour) => {
    frame = squareAxes(paper, w, h, span);
    frame.ground(colour.sunken);
    frame.inside(() => {
      const own = isOwn();
      frame.dots(own ? clicked.flat() : shown, own ? 3.2 : 1.7, faint(colour.x, 0.9));
      if (own && cursor) {
        const [x, y] = cursor;
        frame.line([x - 0.15, x + 0.15], [y, y], colour.ink, 1.5);
        frame.line([x, x], [y - 0.15, y + 0.15], colour.ink, 1.5);
      }
    });
    if (isOwn() && !clicked.length) frame.middle('click or drag here', colour.muted);
  });

  const learnedChart = new Chart(find('.learned'), (paper, w, h, colour) => {
    const box = squareAxes(paper, w, h, span);
    box.ground(colour.sunken);
    if (!shot) return box.middle('press Train', colour.muted);
    const peak =
      [...shot.density].sort((a, b) => a - b)[Math.floor(0.995 * shot.density.length)] || 1;
    const shades = shot.density.map((p) => (235 / 255) * Math.min(1, p / peak) ** 0.6);
    box.inside(() => {
      box.cells(shades, colour.x, true);
      box.dots(shot.samples, 1.3, faint(colour.ink, 0.6));
    });
  });

  const curveChart = new Chart(find('.curve'), (paper, w, h, colour) => {
    const lasts = Math.max(...history.map(([step]) => step), 1);
    const sums = history.map(([, sum]) => sum);
    const [high, low] = sums.length ? [Math.max(...sums), Math.min(...sums)] : [-1000, -2000];
    const room = Math.max(50, 0.1 * (high - low));
    const box = new Axes(paper, [52, 6, w - 6, h - 22], [0, lasts], [low - room, high + room]);
    box.ground(colour.sunken);
    if (!history.length)
      return box.text(
        '∑ log p(xᵢ) will rise here',
        (52 + w) / 2,
        h / 2 - 8,
        colour.muted,
        'center',
        'middle',
      );
    box.ticksY(ticks(low - room, high + room, 3), colour.muted);
    box.ticksX(ticks(0, lasts, 4), colour.muted);
    box.corner('top left', '∑ log p(xᵢ)', colour.muted, 8, 6);
    box.line(
      history.map(([step]) => step),
      sums,
      colour.x,
      2.2,
    );
    box.dot(...history.at(-1), 4, colour.x, colour.surface);
  });
  const charts = [dataChart, learnedChart, curveChart];

  // ---- data ---------------------------------------------------------------------------------

  const fetching = new LatestWins(async () => {
    if (isOwn()) return;
    const found = await ask('points', { data: chosen() });
    if (!found) return;
    ({ span, data: shown } = found);
    dataChart.ask();
  });
  function changeData() {
    clear.hidden = find('.hint-points').hidden = !isOwn();
    data.tabIndex = isOwn() ? 0 : -1;
    data.toggleAttribute('data-own', isOwn());
    say('');
    dataChart.ask();
    fetching.want();
  }
  on(radios, 'change', changeData);

  function put(place) {
    const within = place.map((v) => Math.min(span, Math.max(-span, v)));
    if (clicked.length < 2000) clicked.push(within.map((v) => Number(v.toFixed(4))));
    data.setAttribute('aria-label', `Your data: ${clicked.length} points`);
    dataChart.ask();
  }
  let lastPlace = null;
  onDrag(data, (x, y, event) => {
    if (!isOwn() || !frame) return;
    const far = !lastPlace || Math.hypot(x - lastPlace[0], y - lastPlace[1]) > 7;
    if (event.type === 'pointermove' && !far) return;
    lastPlace = [x, y];
    put(frame.at(x, y));
  });
  on(data, 'keydown', (event) => {
    if (!isOwn()) return;
    const step = {
      ArrowLeft: [-0.1, 0],
      ArrowRight: [0.1, 0],
      ArrowUp: [0, 0.1],
      ArrowDown: [0, -0.1],
    }[event.key];
    if (!step && event.key !== ' ') return;
    event.preventDefault();
    cursor ??= [0, 0];
    if (step) cursor = cursor.map((v, k) => Math.min(span, Math.max(-span, v + step[k])));
    else put(cursor);
    dataChart.ask();
  });
  on(data, 'blur', () => {
    cursor = null;
    dataChart.ask();
  });
  on(clear, 'click', () => {
    clicked = [];
    dataChart.ask();
  });

  // ---- training -----------------------------------------------------------------------------

  function setRunning(running) {
    train.disabled = running;
    halt.disabled = !running;
    setDisabled(radios, running);
    lesson.toggleAttribute('data-running', running);
  }

  on(train, 'click', () => {
    if (isOwn() && !clicked.length)
      return say('Put some points on the left picture first: click or drag.');
    say('');
    history = [];
    waiting = true;
    setRunning(true);
    state.textContent = 'Waiting for its turn…';
    job = newJob();
    trigger('train', { data: chosen(), points: isOwn() ? clicked : null, job });
  });
  on(halt, 'click', () => {
    halt.disabled = true;
    state.textContent = 'Stopping…';
    server.job({ job, stop: true });
  });

  function show() {
    if (!props.value) return;
    shot = unpack(props.value);
    if (shot.step === 0) history = [];
    waiting = false;
    history.push([shot.step, shot.log_prob]);
    const cell = (2 * span) ** 2 / shot.density.length;
    tellFacts({
      sum: fixed(shot.log_prob, 1),
      steps: thousands(shot.step),
      time: `${shot.seconds.toFixed(1)} s`,
      mass: fixed(cell * shot.density.reduce((sum, p) => sum + p, 0), 3),
    });
    setRunning(shot.running);
    state.textContent = shot.running
      ? `Training: ${Math.round(100 * shot.done)} %`
      : `${shot.stopped ? 'Stopped' : 'Done'} after ${thousands(shot.step)} steps in ${shot.seconds.toFixed(1)} s. Lesson 4 now takes this flow apart.`;
    lesson.dataset.step = shot.step;
    charts.forEach((chart) => chart.ask());
  }
  // 'ended' comes from the page when the event has ended, well or badly.
  lesson.addEventListener('ended', () => {
    setRunning(false);
    if (waiting) state.textContent = 'Training did not start: please try again.';
    waiting = false;
  });
  watch('value', show);
  whenSeen(changeData);
  show();
}
