// Charts: a canvas that repaints itself, and axes with scales on it.

export const TAU = 2 * Math.PI;

/** Colours of the page as they are now, light or dark. */
function palette(canvas) {
  const style = getComputedStyle(canvas);
  const get = (name) => style.getPropertyValue(`--glow-${name}`).trim();
  return {
    z: get('a'),
    x: get('b'),
    ink: get('ink'),
    muted: get('muted'),
    line: get('line'),
    strong: get('line-strong'),
    sunken: get('sunken'),
    surface: get('surface'),
    warn: get('warn'),
    level: (i) => get(`level-${i}`),
  };
}
/** [red, green, blue], 0 to 255, of a colour #rgb or #rrggbb. */
export function rgb(colour) {
  const hex = colour.replace('#', '');
  const full = hex.length === 3 ? [...hex].map((d) => d + d).join('') : hex;
  return [0, 2, 4].map((i) => parseInt(full.slice(i, i + 2), 16));
}
/** `colour` at `alpha`, 0 to 1. */
export const faint = (colour, alpha) => `rgb(${rgb(colour).join(' ')} / ${alpha})`;

/** A canvas that repaints by itself when its size or the theme changes. */
export class Chart {
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
    this.draw(this.paper, width, height, palette(this.canvas));
  }
}

/** A rectangle of the paper with a linear (or logarithmic) scale along either side. */
export class Axes {
  constructor(
    paper,
    [left, top, right, bottom],
    [x0, x1],
    [y0, y1],
    { logX = false, logY = false } = {},
  ) {
    Object.assign(this, { paper, left, top, right, bottom, x0, x1, y0, y1, logX, logY });
  }

  part(v, low, high, log) {
    return log ? Math.log(v / low) / Math.log(high / low) : (v - low) / (high - low);
  }

  x(v) {
    return this.left + (this.right - this.left) * this.part(v, this.x0, this.x1, this.logX);
  }

  y(v) {
    return this.bottom - (this.bottom - this.top) * this.part(v, this.y0, this.y1, this.logY);
  }

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

  /** The area between a line and `bottom`, a place of the paper. */
  under(xs, ys, bottom, colour) {
    const { paper } = this;
    paper.fillStyle = colour;
    paper.beginPath();
    paper.moveTo(this.x(xs[0]), bottom);
    xs.forEach((x, i) => paper.lineTo(this.x(x), this.y(ys[i])));
    paper.lineTo(this.x(xs[xs.length - 1]), bottom);
    paper.fill();
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
    for (const v of values)
      this.text(name(v), this.x(v), this.bottom + 5, colour, 'center', 'top');
  }

  ticksY(values, colour, name = (v) => `${v}`.replace('-', '−')) {
    for (const v of values)
      this.text(name(v), this.left - 5, this.y(v), colour, 'right', 'middle');
  }
}

/** About `count` round numbers between two values. */
export function ticks(low, high, count = 4) {
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
export function squareAxes(paper, width, height, reach, pad = 2) {
  const side = Math.min(width, height) - 2 * pad;
  const [left, top] = [(width - side) / 2, (height - side) / 2];
  return new Axes(paper, [left, top, left + side, top + side], [-reach, reach], [-reach, reach]);
}
