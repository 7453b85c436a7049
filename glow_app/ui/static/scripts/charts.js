// Charts: a canvas that repaints itself, and axes with scales on it.

import { beforeNextFrame } from './dom.js';

export const TAU = 2 * Math.PI;

const VARIABLES = { z: 'a', x: 'b', strong: 'line-strong' };

/** Colours of the page as they are now, light or dark, by the names of their variables. */
function palette(canvas) {
  const get = (_, name) => {
    canvas.style.color = `var(--glow-${VARIABLES[name] ?? name})`;
    return getComputedStyle(canvas).color;
  };
  return new Proxy({}, { get });
}

/** `colour` at `alpha`, 0 to 1. */
export const faint = (colour, alpha) =>
  `color-mix(in srgb, ${colour} ${100 * alpha}%, transparent)`;

/**
 * Have `draw(paper, width, height, colours)` paint a canvas whenever its size or the theme changes.
 * Returns a function that asks for it.
 */
export function chart(canvas, draw) {
  const ask = beforeNextFrame(() => {
    const { clientWidth: width, clientHeight: height } = canvas;
    if (!width || !height) return;
    const dense = Math.min(3, devicePixelRatio);
    canvas.width = Math.round(width * dense);
    canvas.height = Math.round(height * dense);
    const paper = canvas.getContext('2d');
    paper.scale(dense, dense);
    paper.font = `${width < 300 ? 10.5 : 12}px system-ui, -apple-system, "Segoe UI", Roboto, sans-serif`;
    paper.lineJoin = paper.lineCap = 'round';
    draw(paper, width, height, palette(canvas));
  });
  new ResizeObserver(ask).observe(canvas);
  new MutationObserver(ask).observe(document.body, { attributeFilter: ['class'] });
  return ask;
}

/** A rectangle of the paper with a linear scale along either side, or logarithmic ones. */
export class Axes {
  constructor(paper, [left, top, right, bottom], [x0, x1], [y0, y1], logarithmic = false) {
    Object.assign(this, { paper, left, top, right, bottom, x0, x1, y0, y1, logarithmic });
  }

  part(v, low, high) {
    if (this.logarithmic) return Math.log(v / low) / Math.log(high / low);
    return (v - low) / (high - low);
  }

  x(v) {
    return this.left + (this.right - this.left) * this.part(v, this.x0, this.x1);
  }

  y(v) {
    return this.bottom - (this.bottom - this.top) * this.part(v, this.y0, this.y1);
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

  /** Fill what `trace(paper)` goes around. */
  fill(colour, trace) {
    const { paper } = this;
    paper.fillStyle = colour;
    paper.beginPath();
    trace(paper);
    paper.fill();
  }

  /** Fill the rectangle. Returns these axes. */
  ground(colour) {
    this.fill(colour, (paper) => paper.roundRect(...this.box, 8));
    return this;
  }

  line(xs, ys, colour, width = 2, dash = []) {
    const { paper } = this;
    Object.assign(paper, { strokeStyle: colour, lineWidth: width });
    paper.setLineDash(dash);
    paper.beginPath();
    xs.forEach((x, i) => {
      const y = Math.max(-1e5, Math.min(1e5, this.y(ys[i]))); // infinite densities
      paper.lineTo(this.x(x), y);
    });
    paper.stroke();
    paper.setLineDash([]);
  }

  /** The area inside of places of the paper. */
  area(places, colour) {
    this.fill(colour, (paper) => places.forEach((place) => paper.lineTo(...place)));
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
    alphas.forEach((alpha, k) => (image.data[4 * k + 3] = 255 * alpha));
    const small = new OffscreenCanvas(side, side).getContext('2d');
    small.putImageData(image, 0, 0);
    Object.assign(small, { fillStyle: colour, globalCompositeOperation: 'source-in' });
    small.fillRect(0, 0, side, side);
    Object.assign(this.paper, { imageSmoothingEnabled: smooth, imageSmoothingQuality: 'high' });
    this.paper.drawImage(small.canvas, ...this.box);
  }

  dot(x, y, radius, colour, edge = '') {
    this.dots([x, y], radius, colour);
    if (!edge) return;
    Object.assign(this.paper, { strokeStyle: edge, lineWidth: 2 });
    this.paper.stroke();
  }

  /** Many equal dots; `pairs` is x0, y0, x1, y1, … */
  dots(pairs, radius, colour) {
    this.fill(colour, (paper) => {
      for (let i = 0; i < pairs.length; i += 2) {
        const [px, py] = [this.x(pairs[i]), this.y(pairs[i + 1])];
        paper.moveTo(px + radius, py);
        paper.arc(px, py, radius, 0, TAU);
      }
    });
  }

  text(words, px, py, fillStyle, textAlign = 'left', textBaseline = 'alphabetic') {
    Object.assign(this.paper, { fillStyle, textAlign, textBaseline });
    this.paper.fillText(words, px, py);
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
  for (let v = Math.ceil(low / step - 1e-9) * step; v <= high + 1e-9 * step; v += step)
    found.push(Number((Math.round(v / step) * step).toPrecision(6)));
  return found;
}

/** A square frame in the middle of the paper, from -reach to reach. */
export function squareAxes(paper, width, height, reach) {
  const side = Math.min(width, height) - 4;
  const [left, top] = [(width - side) / 2, (height - side) / 2];
  return new Axes(paper, [left, top, left + side, top + side], [-reach, reach], [-reach, reach]);
}
