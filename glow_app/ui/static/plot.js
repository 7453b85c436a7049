// What the model measures along the way, drawn under the player's slider; a click moves it there.
// player.js comes after: it owns range, shown and frames.

const plot = find('.plot');
const CLIPPED = 0.01; // share of clipped colours above which the picture says so
const TALL = 76; // as in player.css: one unit of the drawing is one pixel, at every width
const BITS = [13, 36]; // top and bottom of the lanes
const NORMS = [52, 71];
const line = (points) => points.map(([x, y], i) => `${i ? 'L' : 'M'}${x.toFixed(2)} ${y.toFixed(2)}`).join('');
const shape = (tag, attributes) => {
  const node = document.createElementNS('http://www.w3.org/2000/svg', tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  return node;
};

/** Points of a row of numbers in its lane; a gap where there is no number. */
function points(row, [low, high], [top, bottom]) {
  return row.map((value, i) => [1000 * i / (row.length - 1), bottom - (value - low) / (high - low) * (bottom - top)])
    .filter(([, y]) => Number.isFinite(y));
}

function extent(numbers, least) {
  const low = Math.min(...numbers);
  const high = Math.max(...numbers);
  const spare = Math.max(0, least - (high - low)) / 2;
  return [low - spare, high + spare];
}

function draw() {
  const svg = plot.querySelector('svg');
  svg.setAttribute('viewBox', `0 0 1000 ${TALL}`);
  const around = (row) => (shown.loop ? [...row, row[0]] : row);
  const grid = [];
  const lines = [];
  const wide = shown.loop ? frames.length : frames.length - 1;
  for (const stop of shown.stops) {
    grid.push(shape('line', { class: 'stop-line', x1: 1000 * stop / wide, x2: 1000 * stop / wide, y1: 0, y2: TALL }));
  }
  grid.push(shape('line', { class: 'base', x1: 0, x2: 1000, y1: TALL - 1, y2: TALL - 1 }));
  const norms = extent([...shown.norms.flat(), 1], 0.2);
  const one = NORMS[1] - (1 - norms[0]) / (norms[1] - norms[0]) * (NORMS[1] - NORMS[0]);
  grid.push(shape('line', { class: 'one', x1: 0, x2: 1000, y1: one, y2: one }));
  shown.norms.forEach((row, level) => {
    const d = line(points(around(row), norms, NORMS));
    lines.push(shape('path', { class: `norm level-${level}`, d }));
  });
  if (shown.bits) {
    const known = shown.bits.filter((b) => b !== null);
    const d = known.length > 1 ? line(points(around(shown.bits.map((b) => b ?? NaN)), extent(known, 0.4), BITS)) : '';
    if (d) {
      lines.push(shape('path', { class: 'under', d: `${d}L1000 ${BITS[1] + 3}L0 ${BITS[1] + 3}Z` }));
      lines.push(shape('path', { class: 'bits', d }));
    }
  }
  shown.clamped.forEach((lost, i) => {
    if (!(lost > CLIPPED)) return;
    const [from, to] = [Math.max(0, 1000 * (i - 0.5) / wide), Math.min(1000, 1000 * (i + 0.5) / wide)];
    lines.push(shape('rect', { class: 'clip', x: from, width: to - from, y: TALL - 5, height: 4 }));
  });
  svg.querySelector('.grid').replaceChildren(...grid);
  svg.querySelector('.lines').replaceChildren(...lines);
  plot.dataset.bits = shown.bits ? shown.bits.length : 0;
  const dd = find('.m-norm dd');
  if (dd.childElementCount !== shown.norms.length) {
    dd.replaceChildren(...shown.norms.map((_, level) => {
      const text = document.createElement('b');
      text.className = `level level-${level}`;
      text.title = `Level ${level + 1}${level ? (level === shown.norms.length - 1 ? ', the coarsest' : '') : ', the finest'}`;
      return text;
    }));
  }
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
