// Lesson 3. Python trains and sends a picture now and then (the value: a snapshot of
// glow_app.lessons.fit, with running and stopped). Event to Python: train {data, points, job};
// server.job({job, stop: true}) ends it.

import { Axes, Chart, faint, rgb, squareAxes, ticks } from '../charts.js';
import { setDisabled } from '../dom.js';
import { newJob } from '../long_work.js';
import { LatestWins, unpack } from '../requests.js';
import { fixed, openLesson } from './lesson.js';

export default function fit(host) {
  const { props, trigger, watch, server } = host;
  const { lesson, find, findAll, ask, say, fact, whenSeen } = openLesson(host);
  const [trainButton, haltButton, clearButton, state] = [
    '.train',
    '.halt',
    '.clear',
    '.state',
  ].map(find);
  const radios = findAll('input[type=radio]');
  const dataCanvas = find('.data');
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

  const dataChart = new Chart(dataCanvas, (paper, w, h, colour) => {
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
    if (isOwn() && !clicked.length)
      frame.text('click or drag here', w / 2, h / 2, colour.muted, 'center', 'middle');
  });

  const cells = document.createElement('canvas'); // one pixel a cell, scaled up
  const learnedChart = new Chart(find('.learned'), (paper, w, h, colour) => {
    const box = squareAxes(paper, w, h, span);
    box.ground(colour.sunken);
    if (!shot) return box.text('press Train', w / 2, h / 2, colour.muted, 'center', 'middle');
    const side = Math.sqrt(shot.density.length);
    cells.width = cells.height = side;
    const image = new ImageData(side, side);
    const [red, green, blue] = rgb(colour.x);
    const peak =
      [...shot.density].sort((a, b) => a - b)[Math.floor(0.995 * shot.density.length)] || 1;
    shot.density.forEach((p, k) => {
      image.data.set([red, green, blue, 235 * Math.min(1, p / peak) ** 0.6], 4 * k);
    });
    cells.getContext('2d').putImageData(image, 0, 0);
    box.inside(() => {
      paper.imageSmoothingQuality = 'high';
      paper.drawImage(cells, box.left, box.top, box.right - box.left, box.bottom - box.top);
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
    box.text('∑ log p(xᵢ)', box.left + 8, box.top + 6, colour.muted, 'left', 'top');
    box.line(
      history.map(([step]) => step),
      sums,
      colour.x,
      2.2,
    );
    box.dot(...history[history.length - 1], 4, colour.x, colour.surface);
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
    clearButton.hidden = find('.hint-points').hidden = !isOwn();
    dataCanvas.tabIndex = isOwn() ? 0 : -1;
    dataCanvas.toggleAttribute('data-own', isOwn());
    say('');
    dataChart.ask();
    fetching.want();
  }
  radios.forEach((radio) => radio.addEventListener('change', changeData));

  function put(place) {
    const within = place.map((v) => Math.min(span, Math.max(-span, v)));
    if (clicked.length < 2000) clicked.push(within.map((v) => Number(v.toFixed(4))));
    dataCanvas.setAttribute('aria-label', `Your data: ${clicked.length} points`);
    dataChart.ask();
  }
  let lastPlace = null;
  function pointer(event) {
    if (!isOwn() || !frame || !(event.buttons & 1)) return;
    const box = dataCanvas.getBoundingClientRect();
    const place = [event.clientX - box.left, event.clientY - box.top];
    const far = !lastPlace || Math.hypot(place[0] - lastPlace[0], place[1] - lastPlace[1]) > 7;
    if (event.type === 'pointermove' && !far) return;
    lastPlace = place;
    put(frame.at(...place));
  }
  dataCanvas.addEventListener('pointerdown', (event) => {
    dataCanvas.setPointerCapture(event.pointerId);
    pointer(event);
  });
  dataCanvas.addEventListener('pointermove', pointer);
  dataCanvas.addEventListener('keydown', (event) => {
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
  dataCanvas.addEventListener('blur', () => {
    cursor = null;
    dataChart.ask();
  });
  clearButton.addEventListener('click', () => {
    clicked = [];
    dataChart.ask();
  });

  // ---- training -----------------------------------------------------------------------------

  function setRunning(running) {
    trainButton.disabled = running;
    haltButton.disabled = !running;
    setDisabled(radios, running);
    lesson.toggleAttribute('data-running', running);
  }

  trainButton.addEventListener('click', () => {
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
  haltButton.addEventListener('click', () => {
    haltButton.disabled = true;
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
    fact('sum', fixed(shot.log_prob, 1));
    fact('steps', shot.step.toLocaleString('en'));
    fact('time', `${shot.seconds.toFixed(1)} s`);
    fact(
      'mass',
      fixed(
        shot.density.reduce((sum, p) => sum + p * cell, 0),
        3,
      ),
    );
    setRunning(shot.running);
    if (shot.running) state.textContent = `Training: ${Math.round(100 * shot.done)} %`;
    else
      state.textContent = `${shot.stopped ? 'Stopped' : 'Done'} after ${shot.step.toLocaleString('en')} steps in ${shot.seconds.toFixed(1)} s. Lesson 4 now takes this flow apart.`;
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
