// What the model measures along the way, drawn under the player's slider; a click moves it there.

import { Axes, chart, faint } from './charts.js';
import { make, onDrag } from './dom.js';

const BITS = [13, 36]; // pixels: top and bottom of the lanes, as player.css names them
const NORMS = [52, 71];
const UNDER = 3; // the area below bits/dim reaches so far below its lane
const CLIPS = 5; // pixels above the ground, where clipped frames are marked

/** A row of numbers by frame, round again in a loop; nothing where there is no number. */
export function points(row, loop) {
  const around = [...(loop ? [...row, row[0]] : row).entries()];
  const known = around.filter(([, value]) => Number.isFinite(value));
  return [known.map(([i]) => i), known.map(([, value]) => value)];
}

/** The range of some values, at least `least` wide. */
export function extent(values, least) {
  const low = Math.min(...values);
  const high = Math.max(...values);
  const spare = Math.max(0, least - (high - low)) / 2;
  return [low - spare, high + spare];
}

/**
 * Draw on the element `plot`; a click sets `range`. `levels` holds a readout for each level of the
 * flow; `state()` is {shown, steps}: the player's value and how many steps between frames it has.
 * Returns {repaint, update}.
 */
export function morphPlot({ plot, levels, range, limits, state }) {
  const repaint = chart(plot.querySelector('canvas'), (paper, width, height, colour) => {
    const { shown, steps: wide } = state();
    if (!shown) return;
    const lane = ([top, bottom], values) =>
      new Axes(paper, [0, top, width, bottom], [0, wide], values);
    const whole = lane([0, height], [0, height]);
    for (const stop of shown.stops) whole.line([stop, stop], [0, height], colour.line, 1);
    whole.line([0, wide], [0.5, 0.5], colour.strong, 1);
    const norms = lane(NORMS, extent([...shown.norms.flat(), 1], 0.2));
    norms.line([0, wide], [1, 1], colour.strong, 1, [3, 4]);
    shown.norms.forEach((row, level) =>
      norms.line(...points(row, shown.loop), colour[`level-${level}`], 1.6),
    );
    const known = (shown.bits ?? []).filter((bits) => bits !== null);
    if (known.length > 1) {
      const bits = lane(BITS, extent(known, 0.4));
      const [xs, ys] = points(shown.bits, shown.loop);
      const line = xs.map((x, i) => [bits.x(x), bits.y(ys[i])]);
      const ground = [line.at(-1), line[0]].map(([x]) => [x, bits.bottom + UNDER]);
      bits.area([...line, ...ground], faint(colour.ink, 0.07));
      bits.line(xs, ys, colour.ink, 2);
    }
    shown.clamped.forEach((lost, i) => {
      const place = [Math.max(0, i - 0.5), Math.min(wide, i + 0.5)];
      if (lost > limits.clipped) whole.bar(place, [1, CLIPS], colour.warn);
    });
  });

  /** Another morph, or more of it measured: draw it, and have a place for each level. */
  function update() {
    const { bits, norms } = state().shown;
    repaint();
    plot.dataset.bits = bits?.length ?? 0;
    if (levels.childElementCount === norms.length) return;
    const ends = { 0: ', the finest', [norms.length - 1]: ', the coarsest' };
    levels.replaceChildren(
      ...norms.map((_, level) => {
        const title = `Level ${level + 1}${ends[level] ?? ''}`;
        return make('b', {
          className: 'level',
          title,
          style: `--level: var(--glow-level-${level})`,
        });
      }),
    );
  }

  onDrag(plot, (x, y, event) => {
    if (!state().shown) return;
    if (event.type === 'pointerdown') range.focus({ preventScroll: true });
    const part = Math.min(1, Math.max(0, x / plot.clientWidth));
    range.value = Number(range.min) + part * (range.max - range.min);
    range.dispatchEvent(new Event('input'));
  });
  return { repaint, update };
}
