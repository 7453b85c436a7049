// What the model measures along the way, drawn under the player's slider; a click moves it there.
// kit.js and board.js come first, player.js after: it owns range, shown and frames.

const plot = find('.plot');
const BITS = [13, 36]; // pixels: top and bottom of the lanes, as plot.css names them
const NORMS = [52, 71];
const UNDER = 3; // the area below bits/dim reaches so far below its lane
const CLIPS = 5; // pixels above the ground, where clipped frames are marked

const lanes = new Board(plot.querySelector('canvas'), (paper, width, height, colour) => {
  if (!shown || !frames.length) return;
  const wide = shown.loop ? frames.length : frames.length - 1;
  const whole = new Frame(paper, [0, 0, width, height], [0, wide], [0, height]);
  for (const stop of shown.stops) whole.line([stop, stop], [0, height], colour.line, 1);
  whole.line([0, wide], [0.5, 0.5], colour.strong, 1);
  const norms = lane(paper, width, NORMS, wide, extent([...shown.norms.flat(), 1], 0.2));
  norms.line([0, wide], [1, 1], colour.strong, 1, [3, 4]);
  shown.norms.forEach((row, level) => norms.line(...points(row), colour.level(level), 1.6));
  const known = shown.bits ? shown.bits.filter((bits) => bits !== null) : [];
  if (known.length > 1) {
    const bits = lane(paper, width, BITS, wide, extent(known, 0.4));
    const [xs, ys] = points(shown.bits);
    bits.under(xs, ys, bits.bottom + UNDER, faint(colour.ink, 0.07));
    bits.line(xs, ys, colour.ink, 2);
  }
  paper.fillStyle = colour.warn;
  shown.clamped.forEach((lost, i) => {
    if (!(lost > LIMITS.clipped)) return;
    const [from, to] = [Math.max(0, i - 0.5), Math.min(wide, i + 0.5)].map((at) => whole.x(at));
    paper.fillRect(from, height - CLIPS, to - from, CLIPS - 1);
  });
});

const lane = (paper, width, [top, bottom], wide, values) =>
  new Frame(paper, [0, top, width, bottom], [0, wide], values);

/** A row of numbers by frame, round again in a loop; nothing where there is no number. */
function points(row) {
  const around = [...(shown.loop ? [...row, row[0]] : row).entries()];
  const known = around.filter(([, value]) => Number.isFinite(value));
  return [known.map(([i]) => i), known.map(([, value]) => value)];
}

function extent(values, least) {
  const low = Math.min(...values);
  const high = Math.max(...values);
  const spare = Math.max(0, least - (high - low)) / 2;
  return [low - spare, high + spare];
}

/** Another morph, or more of it measured: draw it, and have a place for each level. */
function plotted() {
  lanes.ask();
  plot.dataset.bits = shown.bits ? shown.bits.length : 0;
  const dd = find('.m-norm dd');
  if (dd.childElementCount === shown.norms.length) return;
  dd.replaceChildren(
    ...shown.norms.map((_, level) => {
      const text = make('b', `level level-${level}`);
      const end = level
        ? level === shown.norms.length - 1
          ? ', the coarsest'
          : ''
        : ', the finest';
      text.title = `Level ${level + 1}${end}`;
      return text;
    }),
  );
}

function follow(event) {
  if (!frames.length || !(event.buttons & 1)) return;
  const box = plot.getBoundingClientRect();
  const part = Math.min(1, Math.max(0, (event.clientX - box.left) / box.width));
  range.value = lowest() + part * (highest() - lowest());
  range.dispatchEvent(new Event('input'));
}
plot.addEventListener('pointerdown', (event) => {
  if (!frames.length) return;
  plot.setPointerCapture(event.pointerId);
  range.focus({ preventScroll: true });
  follow(event);
});
plot.addEventListener('pointermove', follow);
