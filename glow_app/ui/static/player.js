// The morph player: frames arrive once as a sheet, then slider, canvas and keyboard live here.
// Gradio hands in: element, trigger(event, data), props, watch(prop, callback).
// props.value: {src, n, cols, size, final, play, status} a sheet, or {working: true}, or null.
// Event to Python: 'save' {kind, t}.

const find = (selector) => element.querySelector(selector);
const player = find('.player');
const canvas = find('canvas');
const paper = canvas.getContext('2d', { alpha: false });
const [range, playButton, percent, place, status] = ['input', '.play', '.percent', '.t', '.status'].map(find);
const saveButtons = [...element.querySelectorAll('.save')];
const calm = matchMedia('(prefers-reduced-motion: reduce)');

const SECONDS_EACH_WAY = 2.2;
const CALM_STEPS = 8; // with reduced motion, playing shows this many stills each way
const CALM_HOLD_MS = 800;

let frames = []; // one ImageBitmap a frame: a tile of the sheet never bleeds into its neighbour
let blend = null; // two frames are mixed at their own size, then scaled up once
let requested = 0; // the pending animation frame
let newest = 0; // counts sheets, so that a slow one never replaces a newer one
let playing = null; // {stop} while the morph plays

// ---- painting -----------------------------------------------------------------------------

function paint() {
  requested = 0;
  if (!frames.length) return;
  const t = range.valueAsNumber;
  const last = frames.length - 1;
  const left = Math.min(Math.floor(t * last), last);
  const part = t * last - left;
  blend.globalAlpha = 1;
  blend.drawImage(frames[left], 0, 0);
  if (part > 0 && left < last) { // between two frames: fade; on a frame: the frame itself
    blend.globalAlpha = part;
    blend.drawImage(frames[left + 1], 0, 0);
  }
  paper.imageSmoothingEnabled = true;
  paper.imageSmoothingQuality = 'high';
  paper.drawImage(blend.canvas, 0, 0, canvas.width, canvas.height);

  tell(t);
}
const ask = () => { if (!requested) requested = requestAnimationFrame(paint); };

/** Say the slider's place in every way. */
function tell(t) {
  const whole = Math.round(100 * t);
  percent.textContent = `${whole} %`;
  place.textContent = `t = ${t.toFixed(3)}`;
  range.style.setProperty('--t', t);
  range.setAttribute('aria-valuetext', `${whole} percent`);
  canvas.setAttribute('aria-label', `Morph, ${whole} percent of the way from photo A to photo B`);
}

// ---- sheets from the server ---------------------------------------------------------------

async function load() {
  const value = props.value;
  if (!value) return clear();
  if (value.working) {
    player.dataset.working = '';
    status.textContent = 'Decoding…';
    return;
  }
  const turn = ++newest;
  const blob = await (await fetch(value.src)).blob();
  const sheet = await createImageBitmap(blob);
  const cut = await Promise.all(Array.from({ length: value.n }, (_, i) => createImageBitmap(
    sheet, (i % value.cols) * value.size, Math.floor(i / value.cols) * value.size, value.size, value.size,
  )));
  sheet.close();
  if (turn !== newest) return cut.forEach((bitmap) => bitmap.close());

  frames.forEach((bitmap) => bitmap.close());
  frames = cut;
  if (!blend || blend.canvas.width !== value.size) {
    blend = new OffscreenCanvas(value.size, value.size).getContext('2d', { alpha: false });
    canvas.width = canvas.height = Math.max(512, value.size);
  }
  range.disabled = playButton.disabled = false;
  saveButtons.forEach((button) => { button.disabled = !value.final || 'missing' in button.dataset; });
  status.textContent = value.status;
  player.dataset.state = value.final ? 'ready' : 'coarse';
  player.dataset.frames = value.n;
  player.dataset.sheet = value.rev;
  if (value.final) delete player.dataset.working;
  paint();
  if (value.play && !playing && !calm.matches) play(true);
}

function clear() {
  newest += 1;
  stop();
  frames.forEach((bitmap) => bitmap.close());
  frames = [];
  range.value = 0;
  range.disabled = playButton.disabled = true;
  saveButtons.forEach((button) => { button.disabled = true; });
  status.textContent = '';
  tell(0);
  player.dataset.state = 'empty';
  player.dataset.frames = 0;
  delete player.dataset.working;
  canvas.setAttribute('aria-label', 'The morph will stand here');
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
  const t = Math.round((range.valueAsNumber + STEPS[event.key]) * 1e6) / 1e6; // no 0.30000000004
  range.value = Math.min(1, Math.max(0, t));
  range.dispatchEvent(new Event('input'));
});

// ---- play ---------------------------------------------------------------------------------

/** Go there and back, slower at the ends; `once` ends after one round. */
function play(once) {
  stop();
  playing = calm.matches ? stepThrough() : sweep(once);
  player.dataset.playing = '';
  playButton.setAttribute('aria-pressed', 'true');
  playButton.querySelector('span').textContent = 'Pause';
}

function sweep(once) {
  let handle = 0;
  let began = null;
  const from = Math.acos(1 - 2 * range.valueAsNumber) / Math.PI; // where the cosine has this t
  const tick = (now) => {
    began ??= now;
    const u = from + (now - began) / (1000 * SECONDS_EACH_WAY);
    if (once && u >= 2) {
      range.value = 0;
      stop();
      return paint();
    }
    range.value = (1 - Math.cos(Math.PI * u)) / 2;
    paint();
    handle = requestAnimationFrame(tick);
  };
  handle = requestAnimationFrame(tick);
  return { stop: () => cancelAnimationFrame(handle) };
}

function stepThrough() {
  let step = Math.round(range.valueAsNumber * CALM_STEPS);
  const timer = setInterval(() => {
    step = (step + 1) % (2 * CALM_STEPS);
    range.value = (step <= CALM_STEPS ? step : 2 * CALM_STEPS - step) / CALM_STEPS;
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
  player.dataset.saving = button.dataset.kind;
  status.textContent = `Preparing the ${button.dataset.kind === 'png' ? 'picture' : button.textContent.trim().replace('Download ', '')}…`;
  button.classList.add('pending');
  trigger('save', { kind: button.dataset.kind, t: range.valueAsNumber });
}));

// 'settle' comes from the page when an event of the player has ended, well or badly.
player.addEventListener('settle', () => {
  delete player.dataset.saving;
  delete player.dataset.working;
  saveButtons.forEach((button) => button.classList.remove('pending'));
  status.textContent = (props.value && props.value.status) || '';
});

watch('value', load);
load();
