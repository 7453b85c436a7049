// The player: frames arrive once as a sheet, then slider, canvas, plot and keyboard live here.
// Gradio hands in: element, trigger(event, data), props, watch(prop, callback), server.
// props.value: a sheet with its measurements (player_value in components.py), or
// {working: true, job}, or null. Event to Python: 'save' {kind, place, size, fps, back, job}.
// common.js comes first.

const player = find('.player');
const canvas = find('canvas');
const paper = canvas.getContext('2d', { alpha: false });
const [range, playButton, percent, place, status] = ['input', '.play', '.percent', '.t', '.status'].map(find);
const [plot, clipped] = ['.plot', '.clipped'].map(find);
const [sizeSelect, rateSelect, waySelect] = ['.size', '.rate', '.way'].map(find);
const saveButtons = [...element.querySelectorAll('.save')];
const calm = matchMedia('(prefers-reduced-motion: reduce)');

const SECONDS_EACH_WAY = 2.2; // between two faces
const CALM_STEPS = 8; // with reduced motion, playing shows this many stills each way
const CALM_HOLD_MS = 800;
const CLIPPED = 0.01; // share of clipped colours above which the picture says so

let frames = []; // one ImageBitmap a frame: a tile of the sheet never bleeds into its neighbour
let shown = null; // the value that the frames came with
let sheet = ''; // the sheet that they were cut from
let blend = null; // two frames are mixed at their own size, then scaled up once
let requested = 0; // the pending animation frame
let newest = 0; // counts sheets, so that a slow one never replaces a newer one
let playing = null; // {stop} while the morph plays

// ---- where on the way ---------------------------------------------------------------------

const lowest = () => Number(range.min);
const highest = () => Number(range.max);
const share = (at) => (at - lowest()) / (highest() - lowest());
/** The slider's place counted in frames; a loop has one more step, back to its first frame. */
const inFrames = () => share(range.valueAsNumber) * (shown.loop ? frames.length : frames.length - 1);

/** A measured row of numbers at the slider's place, in between by the straight line. */
function measured(row) {
  const at = inFrames();
  const left = Math.min(Math.floor(at), row.length - 1);
  const right = left + 1 < row.length ? left + 1 : (shown.loop ? 0 : left);
  const part = at - Math.floor(at);
  return part ? row[left] + part * (row[right] - row[left]) : row[left];
}

// ---- painting -----------------------------------------------------------------------------

function paint() {
  requested = 0;
  if (!frames.length) return;
  const at = inFrames();
  const left = Math.floor(at) % frames.length;
  const right = (left + 1) % frames.length;
  const part = at - Math.floor(at);
  blend.globalAlpha = 1;
  blend.drawImage(frames[left], 0, 0);
  if (part > 0) { // between two frames: fade; on a frame: the frame itself
    blend.globalAlpha = part;
    blend.drawImage(frames[right], 0, 0);
  }
  paper.imageSmoothingEnabled = true;
  paper.imageSmoothingQuality = 'high';
  paper.drawImage(blend.canvas, 0, 0, canvas.width, canvas.height);
  tell();
}
const ask = () => { if (!requested) requested = requestAnimationFrame(paint); };

/** Say the slider's place, and what was measured there, in every way. */
function tell() {
  const at = range.valueAsNumber;
  range.style.setProperty('--t', share(at));
  plot.style.setProperty('--at', share(at));
  const t = shown ? (shown.loop ? at : measured(shown.t)) : at;
  const whole = Math.round(100 * t);
  percent.textContent = `${whole} %`.replace('-', '−');
  place.textContent = `t = ${t.toFixed(3)}`.replace('-', '−');
  range.setAttribute('aria-valuetext', `${whole} percent`);
  canvas.setAttribute('aria-label', player.ariaLabel === 'Journey'
    ? `Journey, ${whole} percent of the way`
    : `Morph, ${whole} percent of the way from photo A to photo B`);
  const lost = shown ? measured(shown.clamped) : 0;
  clipped.hidden = !(lost > CLIPPED);
  clipped.querySelector('b').textContent = `${Math.round(100 * lost)} %`;
  tellMeasures();
}

const number = (value, digits) => (Number.isFinite(value) ? value.toFixed(digits) : '–');
function tellMeasures() {
  find('.m-bits dd').textContent = shown && shown.bits ? number(measured(shown.bits.map((b) => b ?? NaN)), 2) : '–';
  find('.m-norm dd').querySelectorAll('b').forEach((text, level) => {
    text.textContent = number(measured(shown.norms[level]), 2);
  });
}

// ---- the plot -----------------------------------------------------------------------------

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

/** The places of the faces under the slider, where they are not simply its ends. */
function mark() {
  const plain = shown.stops.length === 2 && !shown.loop && shown.stops[0] === 0
    && shown.stops[1] === frames.length - 1 && player.ariaLabel === 'Morph';
  if (plain) delete player.dataset.marks;
  else player.dataset.marks = '';
  const wide = shown.loop ? frames.length : frames.length - 1;
  const letters = player.ariaLabel === 'Morph';
  const stops = shown.loop ? [...shown.stops, frames.length] : shown.stops;
  find('.stops').replaceChildren(...(plain ? [] : stops).map((stop, i) => {
    const text = document.createElement('b');
    text.textContent = letters ? 'AB'[i] : (i % shown.stops.length) + 1;
    text.style.left = `${100 * stop / wide}%`;
    text.style.setProperty('--share', letters ? i : i / Math.max(1, stops.length - 1));
    return text;
  }));
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

// ---- sheets from the server ---------------------------------------------------------------

async function load() {
  const value = props.value;
  if (!value) return clear();
  if (value.working) {
    player.dataset.working = '';
    status.textContent = 'Decoding…';
    if (value.job) watchOver(value.job, 'Decoding');
    return;
  }
  const turn = ++newest;
  if (value.sheet !== sheet) {
    const cut = await cutSheet(value);
    if (turn !== newest) return cut.forEach((bitmap) => bitmap.close());
    frames.forEach((bitmap) => bitmap.close());
    frames = cut;
    sheet = value.sheet;
    player.dataset.sheet = value.rev;
  } else if (value.play) {
    player.dataset.sheet = value.rev; // the same frames once more, because they were asked for
  }
  shown = value;
  if (!blend || blend.canvas.width !== value.size) {
    blend = new OffscreenCanvas(value.size, value.size).getContext('2d', { alpha: false });
    canvas.width = canvas.height = Math.max(512, value.size);
  }
  const at = range.valueAsNumber;
  [range.min, range.max] = value.range;
  range.value = at;
  range.disabled = playButton.disabled = false;
  saveButtons.forEach((button) => { button.disabled = !value.final; });
  waySelect.disabled = value.loop;
  if (value.loop) waySelect.value = 'one';
  status.textContent = value.status;
  player.dataset.state = value.final ? 'ready' : 'coarse';
  player.dataset.frames = value.n;
  if (value.final) {
    delete player.dataset.working;
    settleWatch();
  }
  mark();
  draw();
  paint();
  if (value.play && !playing && !calm.matches) play(true);
}

function clear() {
  newest += 1;
  stop();
  frames.forEach((bitmap) => bitmap.close());
  frames = [];
  shown = null;
  sheet = '';
  [range.min, range.max, range.value] = [0, 1, 0];
  range.disabled = playButton.disabled = true;
  saveButtons.forEach((button) => { button.disabled = true; });
  status.textContent = '';
  if (player.ariaLabel === 'Journey') player.dataset.marks = ''; // its faces are numbered
  else delete player.dataset.marks;
  find('.stops').replaceChildren();
  plot.querySelectorAll('g').forEach((group) => group.replaceChildren());
  find('.m-norm dd').textContent = '–';
  tell();
  player.dataset.state = 'empty';
  player.dataset.frames = 0;
  delete player.dataset.working;
  canvas.setAttribute('aria-label', `The ${player.ariaLabel.toLowerCase()} will stand here`);
}

// ---- slider -------------------------------------------------------------------------------

const STEPS = {
  ArrowRight: 0.01, ArrowUp: 0.01, ArrowLeft: -0.01, ArrowDown: -0.01, PageUp: 0.1, PageDown: -0.1,
};

range.addEventListener('input', () => { stop(); ask(); });
range.addEventListener('keydown', (event) => { // step="any" leaves the size of a step to us
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === ' ') {
    event.preventDefault();
    return playButton.click();
  }
  if (!(event.key in STEPS)) return; // Home and End are the browser's own
  event.preventDefault();
  const at = Math.round((range.valueAsNumber + STEPS[event.key]) * 1e6) / 1e6; // no 0.30000000004
  range.value = Math.min(highest(), Math.max(lowest(), at));
  range.dispatchEvent(new Event('input'));
});

// ---- play ---------------------------------------------------------------------------------

/** Go there and back, slower at the ends, or round a loop; `once` ends after one round. */
function play(once) {
  stop();
  playing = calm.matches ? stepThrough() : sweep(once);
  player.dataset.playing = '';
  playButton.setAttribute('aria-pressed', 'true');
  playButton.querySelector('span').textContent = 'Pause';
}

const legs = () => (shown.loop ? shown.stops.length : Math.max(1, shown.stops.length - 1));

function sweep(once) {
  let handle = 0;
  let began = null;
  const { loop } = shown;
  const seconds = SECONDS_EACH_WAY * legs();
  const start = share(range.valueAsNumber);
  const from = loop ? start : Math.acos(1 - 2 * start) / Math.PI; // where the cosine stands there
  const tick = (now) => {
    began ??= now;
    const u = from + (now - began) / (1000 * seconds);
    if (once && u >= (loop ? from + 1 : 2)) {
      range.value = lowest();
      stop();
      return paint();
    }
    range.value = lowest() + (loop ? u % 1 : (1 - Math.cos(Math.PI * u)) / 2) * (highest() - lowest());
    paint();
    handle = requestAnimationFrame(tick);
  };
  handle = requestAnimationFrame(tick);
  return { stop: () => cancelAnimationFrame(handle) };
}

function stepThrough() {
  const steps = CALM_STEPS * legs();
  let step = Math.round(share(range.valueAsNumber) * steps);
  const timer = setInterval(() => {
    step = (step + 1) % (shown.loop ? steps : 2 * steps);
    range.value = lowest() + (step <= steps ? step : 2 * steps - step) / steps * (highest() - lowest());
    paint();
  }, CALM_HOLD_MS);
  return { stop: () => clearInterval(timer) };
}

function stop() {
  if (!playing) return;
  playing.stop();
  playing = null;
  delete player.dataset.playing;
  playButton.setAttribute('aria-pressed', 'false');
  playButton.querySelector('span').textContent = 'Play';
}
playButton.addEventListener('click', () => (playing ? stop() : play(false)));

// ---- downloads ----------------------------------------------------------------------------

saveButtons.forEach((button) => button.addEventListener('click', () => {
  if (player.dataset.saving) return;
  const { kind } = button.dataset;
  player.dataset.saving = kind;
  const what = kind === 'png' ? 'picture' : button.textContent.trim().replace('Download ', '');
  status.textContent = `Preparing the ${what}…`;
  button.classList.add('pending');
  const job = newJob();
  watchOver(job, 'Saving');
  trigger('save', {
    kind,
    job,
    place: inFrames(),
    size: Number(sizeSelect.value),
    fps: Number(rateSelect.value),
    back: waySelect.value === 'back',
  });
}));

// 'settle' comes from the page when an event of the player has ended, well or badly.
player.addEventListener('settle', () => {
  delete player.dataset.saving;
  delete player.dataset.working;
  settleWatch();
  saveButtons.forEach((button) => button.classList.remove('pending'));
  const rough = shown && !shown.final; // stopped, or failed, before it was whole
  status.textContent = rough ? 'Stopped: these are only a few frames' : (shown && shown.status) || '';
});

watch('value', load);
load();
