// Lesson 3. Python trains and sends a picture now and then (the value: a snapshot of
// glow_app.lessons.fit, with running and stopped). Event to Python: train {data, points, job};
// server.job({job, stop: true}) ends it.

import { Axes, chart, faint, squareAxes, ticks } from '../charts.js';
import { ARROWS, on, onDrag, setDisabled } from '../dom.js';
import { newJob } from '../long_work.js';
import { LatestWins } from '../requests.js';
import { fixed, openLesson, thousands } from './lesson.js';

export default function fit(host) {
  const { trigger, server } = host;
  const { lesson, find, findAll, parts, ask, say, setFacts, whenSeen, onValue } = openLesson(host);
  const { train, halt, clear, state, data, hintPoints } = parts;
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

  const chosen = () => find('input:checked').value;
  const isOwn = () => chosen() === 'points';
  const inside = (place) => place.map((v) => Math.min(span, Math.max(-span, v)));

  const paintData = chart(data, (paper, w, h, colour) => {
    frame = squareAxes(paper, w, h, span).ground(colour.sunken);
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

  const paintLearned = chart(find('.learned'), (paper, w, h, colour) => {
    const box = squareAxes(paper, w, h, span).ground(colour.sunken);
    if (!shot) return box.middle('press Train', colour.muted);
    const peak = shot.density.toSorted()[Math.floor(0.995 * shot.density.length)] || 1;
    const shades = shot.density.map((p) => (235 / 255) * Math.min(1, p / peak) ** 0.6);
    box.inside(() => {
      box.cells(shades, colour.x, true);
      box.dots(shot.samples, 1.3, faint(colour.ink, 0.6));
    });
  });

  const paintCurve = chart(find('.curve'), (paper, w, h, colour) => {
    const steps = history.map(([step]) => step);
    const sums = history.map(([, sum]) => sum);
    const lasts = Math.max(...steps, 1);
    const [high, low] = sums.length ? [Math.max(...sums), Math.min(...sums)] : [-1000, -2000];
    const room = Math.max(50, 0.1 * (high - low));
    const box = new Axes(paper, [52, 6, w - 6, h - 22], [0, lasts], [low - room, high + room]);
    box.ground(colour.sunken);
    if (!history.length) return box.middle('∑ log p(xᵢ) will rise here', colour.muted);
    box.ticksY(ticks(low - room, high + room, 3), colour.muted);
    box.ticksX(ticks(0, lasts, 4), colour.muted);
    box.corner('top left', '∑ log p(xᵢ)', colour.muted, 8, 6);
    box.line(steps, sums, colour.x, 2.2);
    box.dot(...history.at(-1), 4, colour.x, colour.surface);
  });

  // ---- data ---------------------------------------------------------------------------------

  const fetching = new LatestWins(async () => {
    if (isOwn()) return;
    const found = await ask('points', { data: chosen() });
    if (!found) return;
    ({ span, data: shown } = found);
    paintData();
  });
  function changeData() {
    clear.hidden = hintPoints.hidden = !isOwn();
    data.tabIndex = isOwn() ? 0 : -1;
    data.toggleAttribute('data-own', isOwn());
    say('');
    paintData();
    fetching.want();
  }
  on(radios, 'change', changeData);

  function put(place) {
    if (clicked.length < 2000) clicked.push(inside(place).map((v) => Number(v.toFixed(4))));
    data.ariaLabel = `Your data: ${clicked.length} points`;
    paintData();
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
    const step = ARROWS[event.key];
    if (!isOwn() || (!step && event.key !== ' ')) return;
    event.preventDefault();
    cursor ??= [0, 0];
    if (step) cursor = inside([cursor[0] + 0.1 * step[0], cursor[1] - 0.1 * step[1]]);
    else put(cursor);
    paintData();
  });
  on(data, 'blur', () => {
    cursor = null;
    paintData();
  });
  on(clear, 'click', () => {
    clicked = [];
    paintData();
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

  // 'ended' comes from the page when the event has ended, well or badly.
  on(lesson, 'ended', () => {
    setRunning(false);
    if (waiting) state.textContent = 'Training did not start: please try again.';
    waiting = false;
  });
  whenSeen(changeData);
  onValue((value) => {
    shot = value;
    if (shot.step === 0) history = [];
    waiting = false;
    history.push([shot.step, shot.log_prob]);
    const cell = (2 * span) ** 2 / shot.density.length;
    setFacts({
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
    for (const repaint of [paintData, paintLearned, paintCurve]) repaint();
  });
}
