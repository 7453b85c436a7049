// What the lessons share; each lesson's own script follows in the same function.
// Gradio hands in: element, trigger(event, data), props, server, upload(file), watch(prop, callback).

const find = (selector) => element.querySelector(selector);
const findAll = (selector) => [...element.querySelectorAll(selector)];
const lesson = find('.lesson');
const TAU = 2 * Math.PI;

// ---- numbers ------------------------------------------------------------------------------

/** An array from Python: {f32, shape} to a Float32Array. */
function numbers(packed) {
  const bytes = Uint8Array.from(atob(packed.f32), (letter) => letter.charCodeAt(0));
  return new Float32Array(bytes.buffer);
}
/** A whole object from Python with its arrays unpacked. */
function unpack(value) {
  if (Array.isArray(value)) return value.map(unpack);
  if (value === null || typeof value !== 'object') return value;
  if ('f32' in value) return numbers(value);
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, unpack(item)]));
}
const fixed = (value, digits = 3) => value.toFixed(digits).replace('-', '−');
const largest = (values) => values.reduce((a, b) => Math.max(a, b), -Infinity);
const smallest = (values) => values.reduce((a, b) => Math.min(a, b), Infinity);

/** Seconds as people say them. */
function duration(seconds) {
  if (seconds >= 1) return `${seconds.toFixed(1)} s`;
  return seconds >= 1e-3 ? `${(1e3 * seconds).toFixed(seconds < 0.01 ? 1 : 0)} ms` : `${(1e6 * seconds).toFixed(0)} µs`;
}

// ---- asking Python ------------------------------------------------------------------------

/** Ask the server; an error becomes the lesson's one sentence and null. */
async function ask(name, question) {
  let answer = null;
  try { answer = await server[name](question); } catch { /* said below */ }
  const sentence = answer ? answer.error : 'The server did not answer: is it still running?';
  say(sentence || '');
  return sentence ? null : unpack(answer);
}
function say(sentence) {
  const place = find('.refusal');
  place.textContent = sentence;
  place.hidden = !sentence;
}

/** Latest wins: while one answer is under way only the newest wish is remembered. */
function pump(work) {
  let busy = false;
  let wish = null;
  return async (next) => {
    wish = { next };
    if (busy) return;
    busy = true;
    while (wish) {
      const { next: now } = wish;
      wish = null;
      await work(now);
    }
    busy = false;
  };
}

/** Begin a lesson only when somebody comes near it: a long page costs nothing unseen. */
function whenSeen(begin) {
  new IntersectionObserver((entries, observer) => {
    if (!entries.some((entry) => entry.isIntersecting)) return;
    observer.disconnect();
    begin();
  }, { rootMargin: '300px' }).observe(lesson);
}

// The path above a listing shows the whole file, at the same line.
for (const button of findAll('.code .link')) {
  button.addEventListener('click', async () => {
    const found = await ask('source_file', { path: button.dataset.path });
    if (!found) return;
    const block = button.closest('figure').querySelector('pre');
    block.firstElementChild.textContent = found.text;
    block.scrollTop = (block.scrollHeight * (button.dataset.line - 1)) / found.text.split('\n').length;
  });
}

// ---- painting -----------------------------------------------------------------------------

/** Colours of the page as they are now, light or dark. */
function palette() {
  const style = getComputedStyle(lesson);
  const get = (name) => style.getPropertyValue(`--glow-${name}`).trim();
  return { z: get('a'), x: get('b'), ink: get('ink'), muted: get('muted'), line: get('line'), strong: get('line-strong'), sunken: get('sunken'), surface: get('surface') };
}
function rgb(colour) {
  const hex = colour.replace('#', '');
  const full = hex.length === 3 ? [...hex].map((d) => d + d).join('') : hex;
  return [0, 2, 4].map((i) => parseInt(full.slice(i, i + 2), 16));
}
/** `colour` at `alpha`, 0 to 1. */
const faint = (colour, alpha) => `rgb(${rgb(colour).join(' ')} / ${alpha})`;

/** A canvas that repaints by itself when its size or the theme changes. */
class Board {
  constructor(canvas, draw) {
    this.canvas = canvas;
    this.paper = canvas.getContext('2d');
    this.draw = draw;
    this.pending = 0;
    new ResizeObserver(() => this.ask()).observe(canvas);
    new MutationObserver(() => this.ask()).observe(document.body, { attributeFilter: ['class'] });
  }

  /** Paint before the next frame, once. */
  ask() {
    if (!this.pending) this.pending = requestAnimationFrame(() => this.paint());
  }

  paint() {
    this.pending = 0;
    const { clientWidth: width, clientHeight: height } = this.canvas;
    if (!width || !height) return;
    const dense = Math.min(3, window.devicePixelRatio || 1);
    this.canvas.width = Math.round(width * dense);
    this.canvas.height = Math.round(height * dense);
    this.paper.scale(dense, dense);
    this.paper.font = `${width < 300 ? 10.5 : 12}px system-ui, -apple-system, "Segoe UI", Roboto, sans-serif`;
    this.paper.lineJoin = this.paper.lineCap = 'round';
    this.draw(this.paper, width, height, palette());
  }
}

/** A rectangle of the paper with a linear (or logarithmic) scale along either side. */
class Frame {
  constructor(paper, [left, top, right, bottom], [x0, x1], [y0, y1], { logX = false, logY = false } = {}) {
    Object.assign(this, { paper, left, top, right, bottom, x0, x1, y0, y1, logX, logY });
  }

  part(v, low, high, log) {
    return log ? Math.log(v / low) / Math.log(high / low) : (v - low) / (high - low);
  }

  x(v) { return this.left + (this.right - this.left) * this.part(v, this.x0, this.x1, this.logX); }

  y(v) { return this.bottom - (this.bottom - this.top) * this.part(v, this.y0, this.y1, this.logY); }

  /** The value at a place of the paper. */
  at(px, py) {
    return [
      this.x0 + ((px - this.left) / (this.right - this.left)) * (this.x1 - this.x0),
      this.y0 + ((this.bottom - py) / (this.bottom - this.top)) * (this.y1 - this.y0),
    ];
  }

  /** Paint nothing outside while `paint` runs. */
  inside(paint) {
    this.paper.save();
    this.paper.beginPath();
    this.paper.rect(this.left, this.top, this.right - this.left, this.bottom - this.top);
    this.paper.clip();
    paint();
    this.paper.restore();
  }

  ground(colour) {
    this.paper.fillStyle = colour;
    this.paper.beginPath();
    this.paper.roundRect(this.left, this.top, this.right - this.left, this.bottom - this.top, 8);
    this.paper.fill();
  }

  line(xs, ys, colour, width = 2, dash = []) {
    const { paper } = this;
    paper.strokeStyle = colour;
    paper.lineWidth = width;
    paper.setLineDash(dash);
    paper.beginPath();
    for (let i = 0; i < xs.length; i += 1) {
      const y = Math.max(-1e5, Math.min(1e5, this.y(ys[i]))); // infinite densities
      if (i) paper.lineTo(this.x(xs[i]), y);
      else paper.moveTo(this.x(xs[i]), y);
    }
    paper.stroke();
    paper.setLineDash([]);
  }

  dot(x, y, radius, colour, edge = '') {
    const { paper } = this;
    paper.fillStyle = colour;
    paper.beginPath();
    paper.arc(this.x(x), this.y(y), radius, 0, TAU);
    paper.fill();
    if (!edge) return;
    paper.strokeStyle = edge;
    paper.lineWidth = 2;
    paper.stroke();
  }

  /** Many equal dots; `pairs` is x0, y0, x1, y1, … */
  dots(pairs, radius, colour) {
    const { paper } = this;
    paper.fillStyle = colour;
    paper.beginPath();
    for (let i = 0; i < pairs.length; i += 2) {
      const [px, py] = [this.x(pairs[i]), this.y(pairs[i + 1])];
      paper.moveTo(px + radius, py);
      paper.arc(px, py, radius, 0, TAU);
    }
    paper.fill();
  }

  text(words, px, py, colour, align = 'left', baseline = 'alphabetic') {
    const { paper } = this;
    paper.fillStyle = colour;
    paper.textAlign = align;
    paper.textBaseline = baseline;
    paper.fillText(words, px, py);
  }

  ticksX(values, colour, name = (v) => `${v}`.replace('-', '−')) {
    for (const v of values) this.text(name(v), this.x(v), this.bottom + 5, colour, 'center', 'top');
  }

  ticksY(values, colour, name = (v) => `${v}`.replace('-', '−')) {
    for (const v of values) this.text(name(v), this.left - 5, this.y(v), colour, 'right', 'middle');
  }
}

/** About `count` round numbers between two values. */
function ticks(low, high, count = 4) {
  const rough = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((f) => f * power >= rough);
  const found = [];
  for (let v = Math.ceil(low / step - 1e-9) * step; v <= high + 1e-9 * step; v += step) {
    found.push(Math.round(v / step) * step);
  }
  return found.map((v) => Number(v.toPrecision(6)));
}

/** A square frame in the middle of the paper, from -reach to reach. */
function square(paper, width, height, reach, pad = 2) {
  const side = Math.min(width, height) - 2 * pad;
  const [left, top] = [(width - side) / 2, (height - side) / 2];
  return new Frame(paper, [left, top, left + side, top + side], [-reach, reach], [-reach, reach]);
}

/** Set a readout: every element of class `fact-name`. */
function fact(name, words) {
  for (const place of findAll(`.fact-${name}`)) place.textContent = words;
}

