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
    this.paper.rect(...this.box);
    this.paper.clip();
    paint();
    this.paper.restore();
  }

  /** The rectangle: left, top, width, height. */
  get box() {
    return [this.left, this.top, this.right - this.left, this.bottom - this.top];
  }

  ground(colour) {
    this.paper.fillStyle = colour;
    this.paper.beginPath();
    this.paper.roundRect(...this.box, 8);
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

  /** The area inside of places of the paper. */
  area(places, colour) {
    const { paper } = this;
    paper.fillStyle = colour;
    paper.beginPath();
    for (const place of places) paper.lineTo(...place);
    paper.fill();
  }

  /** A bar between two values of x and two of y, at least `least` pixels high. */
  bar([x0, x1], [y0, y1], colour, least = 0) {
    const [left, right] = [this.x(x0), this.x(x1)].sort((a, b) => a - b);
    const [top, bottom] = [this.y(y0), this.y(y1)].sort((a, b) => a - b);
    this.paper.fillStyle = colour;
    this.paper.fillRect(left, top, right - left, Math.max(least, bottom - top));
  }

  /** Words in a corner: 'top left', 'bottom right'; `dx` and `dy` are pixels from it. */
  corner(where, words, colour, dx = 10, dy = 8) {
    const [row, side] = where.split(' ');
    const px = side === 'left' ? this.left + dx : this.right - dx;
    this.text(words, px, row === 'top' ? this.top + dy : this.bottom - dy, colour, side, row);
  }

  /** Words in the middle. */
  middle(words, colour) {
    const [left, top, width, height] = this.box;
    this.text(words, left + width / 2, top + height / 2, colour, 'center', 'middle');
  }

  /** A square grid of opacities, 0 to 1, row by row from the top, in one colour. */
  cells(alphas, colour, smooth) {
    const side = Math.sqrt(alphas.length);
    const image = new ImageData(side, side);
    const tint = rgb(colour);
    alphas.forEach((alpha, k) => image.data.set([...tint, 255 * alpha], 4 * k));
    const small = new OffscreenCanvas(side, side);
    small.getContext('2d').putImageData(image, 0, 0);
    this.paper.imageSmoothingEnabled = smooth;
    this.paper.imageSmoothingQuality = 'high';
    this.paper.drawImage(small, ...this.box);
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

  ticksX(values, colour, name = String) {
    for (const v of values)
      this.text(minus(name(v)), this.x(v), this.bottom + 5, colour, 'center', 'top');
  }

  ticksY(values, colour, name = String) {
    for (const v of values)
      this.text(minus(name(v)), this.left - 5, this.y(v), colour, 'right', 'middle');
  }
}

/** A number's text with a true minus sign. */
export const minus = (text) => text.replace('-', '−');

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
