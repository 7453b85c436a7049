// The player: frames arrive once as a sheet, then slider, canvas and keyboard live here.
// The value: player_value in components/pictures.py, or {working: true, event, job}, or null. Events
// to Python: save {kind, place, size, fps, back, job}, put {face, place, kind}.

import { flag, make, setDisabled, within } from './dom.js';
import { FullFrames } from './full_frames.js';
import { LongWork, newJob } from './long_work.js';
import { cutSheet, fitCanvas, offerNativeSize, showClipped } from './pictures.js';
import { morphPlot } from './plot.js';

const SECONDS_EACH_WAY = 2.2; // between two faces
const CALM_STEPS = 8; // with reduced motion, playing shows this many stills each way
const CALM_HOLD_MS = 800;
const STEPS = {
  ArrowRight: 0.01,
  ArrowUp: 0.01,
  ArrowLeft: -0.01,
  ArrowDown: -0.01,
  PageUp: 0.1,
  PageDown: -0.1,
};

/** A row of numbers at a place between two of them, by the straight line; a loop goes round. */
export function between(row, at, loop) {
  const left = Math.min(Math.floor(at), row.length - 1);
  const right = left + 1 < row.length ? left + 1 : loop ? 0 : left;
  const part = at - Math.floor(at);
  return part ? row[left] + part * (row[right] - row[left]) : row[left];
}

const number = (value, digits) => (Number.isFinite(value) ? value.toFixed(digits) : '–');

export default function morphPlayer(host) {
  const { element, trigger, props, watch, limits } = host;
  const { find, findAll, parts } = within(element);
  const work = new LongWork(host);
  const { player, play: playButton, percent, t: place, status, note, backs } = parts;
  const { size: sizeSelect, rate: rateSelect, way: waySelect } = parts;
  const [canvas, range, levels] = ['canvas', 'input', '.m-norm dd'].map(find);
  const paper = canvas.getContext('2d', { alpha: false });
  const saveButtons = findAll('.save');
  const putButtons = findAll('.put');
  const calm = matchMedia('(prefers-reduced-motion: reduce)');

  let frames = []; // one ImageBitmap a frame: a tile of the sheet never bleeds into its neighbour
  let shown = null; // the value that the frames came with
  let sheet = ''; // the sheet that they were cut from
  // Two frames are mixed at the size of the larger one, then brought to that of the canvas at once.
  const blend = new OffscreenCanvas(1, 1).getContext('2d', { alpha: false });
  let requested = 0; // the pending animation frame
  let newest = 0; // counts sheets, so that a slow one never replaces a newer one
  let playing = null; // {stop} while the morph plays
  let making = ''; // the event that makes a morph now; '' for any

  const pulling = new FullFrames(host, {
    player,
    frames: () => frames,
    place: () => inFrames(),
    arrived: () => {
      if (status.textContent === shown.status) pulling.tell(); // else there is something else to say
      ask();
    },
  });
  const plot = morphPlot({
    plot: find('.plot'),
    levels,
    range,
    limits,
    state: () => ({ shown, count: frames.length }),
  });

  // ---- where on the way ---------------------------------------------------------------------

  const lowest = () => Number(range.min);
  const highest = () => Number(range.max);
  const share = (at) => (at - lowest()) / (highest() - lowest());
  /** The slider's place counted in frames; a loop has one more step, back to its first frame. */
  const inFrames = () =>
    share(range.valueAsNumber) * (shown.loop ? frames.length : frames.length - 1);

  /** A measured row of numbers at the slider's place. */
  const measured = (row) => between(row, inFrames(), shown.loop);

  // ---- painting -----------------------------------------------------------------------------

  function paint() {
    requested = 0;
    if (!frames.length) return;
    const at = inFrames();
    const left = Math.floor(at) % frames.length;
    const right = (left + 1) % frames.length;
    const part = at - Math.floor(at);
    paper.imageSmoothingQuality = 'high';
    if (part > 0) {
      // Between two frames: fade.
      const side = Math.max(frames[left].width, frames[right].width);
      if (blend.canvas.width !== side) blend.canvas.width = blend.canvas.height = side;
      blend.imageSmoothingQuality = 'high';
      blend.globalAlpha = 1;
      blend.drawImage(frames[left], 0, 0, side, side);
      blend.globalAlpha = part;
      blend.drawImage(frames[right], 0, 0, side, side);
      paper.drawImage(blend.canvas, 0, 0, canvas.width, canvas.height);
    } else {
      // on a frame: the frame itself
      paper.drawImage(frames[left], 0, 0, canvas.width, canvas.height);
    }
    tell();
  }
  const ask = () => {
    if (!requested) requested = requestAnimationFrame(paint);
  };

  /** Say the slider's place, and what was measured there, in every way. */
  function tell() {
    const at = range.valueAsNumber;
    range.style.setProperty('--t', share(at));
    find('.plot').style.setProperty('--at', share(at));
    const t = shown ? (shown.loop ? at : measured(shown.t)) : at;
    const whole = Math.round(100 * t);
    percent.textContent = `${whole} %`.replace('-', '−');
    place.textContent = `t = ${t.toFixed(3)}`.replace('-', '−');
    range.setAttribute('aria-valuetext', `${whole} percent`);
    canvas.setAttribute(
      'aria-label',
      player.dataset.kind === 'journey'
        ? `Journey, ${whole} percent of the way`
        : `Morph, ${whole} percent of the way from photo A to photo B`,
    );
    showClipped(find('.clipped'), shown ? measured(shown.clamped) : 0, limits.clipped);
    tellMeasures();
    tellPut();
  }

  function tellMeasures() {
    find('.m-bits dd').textContent =
      shown && shown.bits ? number(measured(shown.bits.map((b) => b ?? NaN)), 2) : '–';
    levels.querySelectorAll('b').forEach((text, level) => {
      text.textContent = number(measured(shown.norms[level]), 2);
    });
  }

  // ---- places of the faces -------------------------------------------------------------------

  /** The places of the faces under the slider, where they are not simply its ends. */
  function mark() {
    const plain =
      shown.stops.length === 2 &&
      !shown.loop &&
      shown.stops[0] === 0 &&
      shown.stops[1] === frames.length - 1 &&
      letters();
    flag(player, 'data-marks', !plain);
    const wide = shown.loop ? frames.length : frames.length - 1;
    const stops = shown.loop ? [...shown.stops, frames.length] : shown.stops;
    find('.stops').replaceChildren(
      ...(plain ? [] : stops).map((stop, i) => {
        const face = Math.round(shown.t[stop]); // of a morph: it may pass B alone
        const text = make('b', '', letters() ? 'AB'[face] : (i % shown.stops.length) + 1);
        text.style.left = `${(100 * stop) / wide}%`;
        text.style.setProperty('--share', letters() ? face : i / Math.max(1, stops.length - 1));
        return text;
      }),
    );
  }

  // ---- sheets from the server ---------------------------------------------------------------

  async function load() {
    const value = props.value;
    if (!value) return clear();
    if (value.working) {
      player.dataset.working = '';
      making = value.event;
      pulling.stop(); // others are on their way
      if (!player.dataset.saving) say('Decoding…');
      if (value.job) work.begin(making, 'Decoding', value.job);
      return;
    }
    const turn = ++newest;
    if (value.sheet !== sheet) {
      const cut = await cutSheet(value);
      if (turn !== newest) return cut.forEach((bitmap) => bitmap.close());
      pulling.reset();
      frames.forEach((bitmap) => bitmap.close());
      frames = cut;
      sheet = value.sheet;
      player.dataset.sheet = value.rev;
    } else if (value.play) {
      player.dataset.sheet = value.rev; // the same frames once more, because they were asked for
    }
    const fresh = !shown || shown.sheet !== value.sheet || !shown.final || value.play;
    shown = value;
    fitCanvas(canvas, limits.full_sizes);
    const at = range.valueAsNumber;
    [range.min, range.max] = value.range;
    range.value = at;
    setDisabled([range, playButton], false);
    setDisabled(saveButtons, !value.final);
    waySelect.disabled = value.loop;
    if (value.loop) waySelect.value = 'one';
    if (!player.dataset.saving) rest();
    offerNativeSize(sizeSelect, shown.full && shown.full.native);
    player.dataset.state = value.final ? 'ready' : 'coarse';
    player.dataset.frames = value.n;
    if (value.final) made();
    mark();
    plot.update();
    paint();
    if (value.play && !playing && !calm.matches) play(true);
    if (value.final && fresh) pulling.start(shown.full); // what the visitor stopped stays so
  }

  /** Words for what happens now; what else the line said makes room. */
  function say(text) {
    status.textContent = text;
    find('.far').textContent = note.textContent = '';
  }

  /** What the line says while nothing happens. */
  function rest() {
    say(shown ? shown.status : '');
    if (!shown) return;
    pulling.tell();
    note.textContent = shown.note ? `. ${shown.note}` : '';
  }

  /** No morph is being made any more. */
  function made() {
    delete player.dataset.working;
    work.end(making);
    making = '';
  }

  function clear() {
    newest += 1;
    stop();
    pulling.reset();
    frames.forEach((bitmap) => bitmap.close());
    frames = [];
    shown = null;
    sheet = '';
    [range.min, range.max, range.value] = [0, 1, 0];
    setDisabled([range, playButton, ...saveButtons], true);
    rest();
    backs.hidden = true;
    flag(player, 'data-marks', !letters()); // its faces are numbered
    find('.stops').replaceChildren();
    plot.repaint();
    levels.textContent = '–';
    tell();
    player.dataset.state = 'empty';
    player.dataset.frames = 0;
    made();
    canvas.setAttribute('aria-label', `The ${player.dataset.kind} will stand here`);
  }

  // ---- slider -------------------------------------------------------------------------------

  range.addEventListener('input', () => {
    stop();
    ask();
  });
  range.addEventListener('keydown', (event) => {
    // step="any" leaves the size of a step to us
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

  const letters = () => player.dataset.kind === 'morph'; // its faces are A and B
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
      range.value =
        lowest() + (loop ? u % 1 : (1 - Math.cos(Math.PI * u)) / 2) * (highest() - lowest());
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
      range.value =
        lowest() + ((step <= steps ? step : 2 * steps - step) / steps) * (highest() - lowest());
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

  saveButtons.forEach((button) =>
    button.addEventListener('click', () => {
      if (player.dataset.saving) return;
      const { kind } = button.dataset;
      player.dataset.saving = kind;
      const what = kind === 'png' ? 'picture' : button.textContent.trim().replace('Download ', '');
      say(`Preparing the ${what}…`);
      button.classList.add('pending');
      const job = newJob();
      work.begin('save', 'Saving', job);
      trigger('save', {
        kind,
        job,
        place: inFrames(),
        size: Number(sizeSelect.value),
        fps: Number(rateSelect.value),
        back: waySelect.value === 'back',
      });
    }),
  );

  /** Where the face can be put back: into both photos of a morph, the nearest one of a journey. */
  function tellPut() {
    const photos = shown ? shown.photos : [];
    backs.hidden = !photos.some(Boolean);
    putButtons.forEach((button, i) => {
      const face = letters() ? i : nearest();
      button.dataset.face = face;
      button.hidden = letters() ? !photos[face] : i > 0;
      button.disabled = !photos[face] || !shown.final || Boolean(player.dataset.saving);
      button.querySelector('span').textContent =
        `Put it back into photo ${letters() ? 'AB'[face] : face + 1}`;
    });
  }

  /** The number of the face that is nearest on a journey. */
  function nearest() {
    if (!shown) return 0;
    const at = inFrames();
    const stops = shown.loop ? [...shown.stops, frames.length] : shown.stops;
    const away = stops.map((stop) => Math.abs(stop - at));
    return away.indexOf(Math.min(...away)) % shown.stops.length;
  }

  putButtons.forEach((button) =>
    button.addEventListener('click', () => {
      if (player.dataset.saving) return;
      player.dataset.saving = 'photo';
      say('Putting the face back…');
      button.classList.add('pending');
      trigger('put', {
        face: Number(button.dataset.face),
        place: inFrames(),
        kind: find('.put-kind').value,
      });
    }),
  );

  // 'ended' comes from the page when an event of the player has ended, well or badly. Others may go
  // on: a file is saved while the next morph is made.
  player.addEventListener('ended', ({ detail }) => {
    if (detail === 'save' || detail === 'put') {
      delete player.dataset.saving;
      work.end(detail);
      [...saveButtons, ...putButtons].forEach((button) => button.classList.remove('pending'));
    } else if (!making || detail === making) made();
    if (player.dataset.saving) return tellPut();
    if (making) say('Decoding…');
    else if (shown && !shown.final)
      say('Stopped: these are only a few frames'); // or it failed
    else rest();
    tellPut();
  });

  watch('value', load);
  load();
}
