// Lesson 6. Python encodes both faces, decodes the whole path once and measures it; the slider
// leafs through. Event to Python: walk {kind, side?, path? | seed?}.

import { Axes, TAU, chart, faint, squareAxes, ticks } from '../charts.js';
import { on, onFiles } from '../dom.js';
import { fixed, openLesson } from './lesson.js';

export default function directions(host) {
  const { trigger, upload } = host;
  const { lesson, find, findAll, parts, ask, setFacts, whenSeen, onValue } = openLesson(host);
  const { t: slider, state } = parts;
  const face = find('img.face');
  const sides = findAll('[data-side]');
  let view = null;

  function outside(norm) {
    if (norm < view.shell.low) return 'inside the hollow';
    return norm > view.shell.high ? 'beyond the shell' : 'on the shell';
  }

  const paintMap = chart(find('.map'), (paper, w, h, colour) => {
    if (!view) return;
    const { shell, points, a, b } = view;
    const reach = 1.12 * Math.max(shell.high, ...points.map(Math.abs));
    const frame = squareAxes(paper, w, h, reach).ground(colour.sunken);
    const at = slider.valueAsNumber;
    const [xs, ys] = [0, 1].map((axis) => points.filter((_, i) => i % 2 === axis));
    const spoke = (x, y, alpha, ...look) =>
      frame.line([0, x], [0, y], faint(colour.ink, alpha), ...look);
    frame.inside(() => {
      paper.strokeStyle = faint(colour.ink, 0.28);
      paper.lineWidth = Math.max(2, frame.x(shell.high) - frame.x(shell.low));
      paper.beginPath();
      paper.arc(frame.x(0), frame.y(0), frame.x(shell.radius) - frame.x(0), 0, TAU);
      paper.stroke();
      spoke(...a, 0.3, 1, [3, 4]);
      spoke(...b, 0.3, 1, [3, 4]);
      spoke(xs[at], ys[at], 0.6, 1.2);
      frame.line(xs, ys, faint(colour.muted, 0.7), 1.6, [2, 5]);
      const between = view.t.findIndex((t) => t >= 0);
      const end = view.t.findIndex((t) => t >= 1 - 1e-6) + 1;
      const ramp = paper.createLinearGradient(frame.x(a[0]), 0, frame.x(b[0]), 0);
      ramp.addColorStop(0, colour.z);
      ramp.addColorStop(1, colour.x);
      frame.line(xs.slice(between, end), ys.slice(between, end), ramp, 3);
      frame.dot(0, 0, 3, colour.muted);
      frame.dot(...a, 6, colour.z, colour.surface);
      frame.dot(...b, 6, colour.x, colour.surface);
      frame.dot(xs[at], ys[at], 7, colour.ink, colour.surface);
    });
    frame.text('0', frame.x(0) + 7, frame.y(0) + 3, colour.muted, 'left', 'top');
    frame.text('A', frame.x(a[0]), frame.y(a[1]) + 11, colour.z, 'center', 'top');
    frame.text('B', frame.x(b[0]), frame.y(b[1]) + 11, colour.x, 'center', 'top');
    const words = w < 240 ? 'shell' : 'shell of Gaussian samples';
    const top = frame.y(-shell.radius) - 30;
    frame.text(words, frame.x(0), top, colour.muted, 'center', 'bottom');
  });

  const paintNorms = chart(find('.norms'), (paper, w, h, colour) => {
    if (!view) return;
    const { shell, t } = view;
    const low = Math.min(...view.norms, shell.low);
    const high = Math.max(...view.norms, shell.high);
    const room = 0.1 * (high - low);
    const times = [t[0], t.at(-1)];
    const range = [low - room, high + room];
    const box = new Axes(paper, [44, 6, w - 70, h - 22], times, range).ground(colour.sunken);
    box.inside(() => {
      box.bar(times, [shell.low, shell.high], faint(colour.ink, 0.16));
      for (const end of [0, 1]) box.line([end, end], range, colour.strong, 1, [3, 4]);
      box.line(t, view.norms, colour.muted, 2);
      view.norms.forEach((norm, k) => {
        if (view.inside[k]) box.dot(t[k], norm, 2.6, colour.ink);
      });
      const at = slider.valueAsNumber;
      box.dot(t[at], view.norms[at], 5, colour.ink, colour.surface);
    });
    // Beside it, on the same scale: norms of samples of N(0, I).
    const bins = Map.groupBy(shell.norms, (norm) => Math.round(norm * 4) / 4);
    const most = Math.max(...[...bins.values()].map((some) => some.length));
    paper.fillStyle = faint(colour.ink, 0.45);
    for (const [bin, { length }] of bins) {
      const [top, bottom] = [box.y(bin + 0.125), box.y(bin - 0.125)];
      paper.fillRect(box.right + 4, top, (60 * length) / most, Math.max(1, bottom - top));
    }
    box.text('N(0, I)', w - 2, box.y(shell.low) + 6, colour.muted, 'right', 'top');
    box.ticksY(ticks(low, high, 4), colour.muted);
    box.ticksX([0, 0.5, 1], colour.muted);
    box.corner('bottom left', w < 420 ? '‖z‖' : '‖z‖ along the path', colour.muted, 8, 8);
  });

  function update() {
    if (!view) return;
    const k = slider.valueAsNumber;
    const norm = view.norms[k];
    const t = view.t[k].toFixed(2);
    face.src = view.frames[k];
    face.alt = `The face at t = ${t}`;
    setFacts({ t: fixed(view.t[k], 2), norm: `${fixed(norm, 1)}, ${outside(norm)}` });
    slider.ariaValueText = `t = ${t}, norm ${norm.toFixed(1)}, ${outside(norm)}`;
    lesson.dataset.t = view.t[k].toFixed(3);
    paintMap();
    paintNorms();
  }

  function show(value) {
    view = value;
    sides.forEach((side, k) => {
      side.querySelector('img').src = view.faces[k];
      side.querySelector('.source').textContent = view.sources[k];
    });
    setFacts({
      radius: fixed(view.shell.radius, 1),
      shell: `${fixed(view.shell.low, 1)} to ${fixed(view.shell.high, 1)}`,
      delta: `${fixed(view.distance, 1)}, ${fixed(view.angle, 0)}°`,
      verdict: verdict(),
    });
    state.textContent = view.notes.join(' ');
    lesson.dataset.kind = view.kind;
    update();
  }

  /** Where the way from A to B is off the shell. */
  function verdict() {
    const way = [...view.t.keys()].filter((k) => view.t[k] >= 0 && view.t[k] <= 1);
    const off = way.filter((k) => !view.inside[k]);
    if (!off.length) return 'From A to B the path stays on the shell.';
    const t = (k) => `t = ${view.t[k].toFixed(2)}`;
    const lowest = way.reduce((a, b) => (view.norms[b] < view.norms[a] ? b : a));
    const share = (100 * view.norms[lowest]) / view.shell.radius;
    const where =
      off.length === way.length
        ? 'The whole way from A to B is off the shell'
        : `From ${t(off[0])} to ${view.t[off.at(-1)].toFixed(2)} the path is off the shell`;
    return `${where}; at ${t(lowest)} it is nearest to the origin, at ${share.toFixed(0)} % of √D.`;
  }

  // ---- faces and path -----------------------------------------------------------------------

  function walk(more = {}) {
    lesson.dataset.busy = '';
    state.textContent = 'Decoding the path…';
    trigger('walk', { kind: find('input:checked').value, ...more });
  }
  on(findAll('input[type=radio]'), 'change', () => walk());
  for (const box of sides) {
    const { side } = box.dataset;
    const draw = () => walk({ side, seed: Math.floor(Math.random() * 2 ** 32) });
    on(box.querySelector('.random'), 'click', draw);
    onFiles(box.querySelector('input'), async ([file]) => {
      const sent = await upload(file).catch(() => null); // Gradio shows its own message about it
      if (sent) walk({ side, path: sent.path });
    });
  }
  on(lesson, 'ended', () => {
    delete lesson.dataset.busy;
    if (view) state.textContent = view.notes.join(' ');
  });
  on(slider, 'input', update);
  onValue(show);
  whenSeen(async () => {
    const found = view ? null : await ask('path');
    if (found && !view) show(found);
  });
}
