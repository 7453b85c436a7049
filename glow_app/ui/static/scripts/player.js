// The player: frames arrive once as a sheet, then slider, canvas and keyboard live here.
// The value: player_value in components/pictures.py, or {working: true, event, job}, or null. Events
// to Python: save {kind, place, size, fps, back, job}, put {face, place, kind}.

import { beforeNextFrame, make, on, setDisabled, within } from './dom.js';
import { fullFrames } from './full_frames.js';
import { LongWork, newJob } from './long_work.js';
import { cover, cutSheet, fitCanvas, offerNativeSize, setSide, showClipped } from './pictures.js';
import { morphPlot } from './plot.js';

const SECONDS_EACH_WAY = 2.2; // between two faces
const CALM_STEPS = 8; // with reduced motion, playing shows this many stills each way
const CALM_HOLD_MS = 800;
// How far keys move the slider, in hundredths
const BY = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, PageUp: 10, PageDown: -10 };

/** A row of numbers at a place between two of them, by the straight line; a loop goes round. */
export function between(row, at, loop) {
  const left = Math.min(Math.floor(at), row.length - 1);
  const right = left + 1 < row.length ? left + 1 : loop ? 0 : left;
  const part = at - Math.floor(at);
  return part ? row[left] + part * (row[right] - row[left]) : row[left];
}

const number = (value) => (Number.isFinite(value) ? value.toFixed(2) : '–');

export default function morphPlayer(host) {
  const { element, trigger, props, watch, limits } = host;
  const { find, findAll, parts } = within(element);
  const work = new LongWork(host);
  const { player, play: playButton, percent, t: place, status, far, note, backs } = parts;
  const { size: sizeSelect, rate: rateSelect, way: waySelect, stops: marks } = parts;
  const [canvas, range, levels, bits] = ['canvas', 'input', '.m-norm dd', '.m-bits dd'].map(find);
  const paper = canvas.getContext('2d', { alpha: false });
  const saveButtons = findAll('.save');
  const putButtons = findAll('.put');
  const calm = matchMedia('(prefers-reduced-motion: reduce)');
  const letters = player.dataset.kind === 'morph'; // its faces are A and B

  let frames = []; // one ImageBitmap a frame: a tile of the sheet never bleeds into its neighbour
  let shown = null; // the value that the frames came with
  // Two frames are mixed at the size of the larger one, then brought to that of the canvas at once.
  const blend = new OffscreenCanvas(1, 1).getContext('2d', { alpha: false });
  let newest = 0; // counts sheets, so that a slow one never replaces a newer one
  let pause = null; // ends playing; null while nothing plays
  let making = ''; // the event that makes a morph now; '' for any

  const pulling = fullFrames(host, {
    player,
    frames: () => frames,
    place: () => inFrames(),
    arrived: () => {
      if (status.textContent === shown.status) pulling.showCount(); // else there is something else to say
      ask();
    },
  });
  const plot = morphPlot({
    plot: parts.plot,
    levels,
    range,
    limits,
    state: () => ({ shown, steps: shown && steps() }),
  });

  // ---- where on the way ---------------------------------------------------------------------

  const lowest = () => Number(range.min);
  const length = () => range.max - range.min;
  const share = () => (range.valueAsNumber - lowest()) / length();
  const moveTo = (share) => {
    range.value = lowest() + share * length();
    paint();
  };
  /** Steps between frames; a loop has one more, back to its first frame. */
  const steps = () => frames.length - (shown.loop ? 0 : 1);
  const stops = () => (shown.loop ? [...shown.stops, frames.length] : shown.stops);
  const legs = () => Math.max(1, stops().length - 1);
  const inFrames = () => share() * steps();

  /** A measured row of numbers at the slider's place. */
  const measured = (row) => between(row, inFrames(), shown.loop);

  // ---- painting -----------------------------------------------------------------------------

  function paint() {
    if (!frames.length) return;
    const at = inFrames();
    const [left, right] = [0, 1].map((more) => frames[(Math.floor(at) + more) % frames.length]);
    const part = at % 1;
    if (part > 0) {
      setSide(blend.canvas, Math.max(left.width, right.width));
      cover(blend, [left, 1], [right, part]);
      cover(paper, [blend.canvas, 1]);
    } else cover(paper, [left, 1]);
    showPlace();
  }
  const ask = beforeNextFrame(paint);

  /** Say the slider's place, and what was measured there, in every way. */
  function showPlace() {
    const at = range.valueAsNumber;
    player.style.setProperty('--t', share());
    const t = shown && !shown.loop ? measured(shown.t) : at;
    const whole = Math.round(100 * t);
    percent.textContent = `${whole} %`.replace('-', '−');
    place.textContent = `t = ${t.toFixed(3)}`.replace('-', '−');
    range.ariaValueText = `${whole} percent`;
    canvas.ariaLabel = letters
      ? `Morph, ${whole} percent of the way from photo A to photo B`
      : `Journey, ${whole} percent of the way`;
    showClipped(parts.clipped, shown ? measured(shown.clamped) : 0, limits.clipped);
    bits.textContent = shown?.bits ? number(measured(shown.bits.map((b) => b ?? NaN))) : '–';
    [...levels.children].forEach((text, level) => {
      text.textContent = number(measured(shown.norms[level]));
    });
    showPutButtons();
  }

  /** The places of the faces under the slider, where they are not simply its ends. */
  function markFaces() {
    const plain = letters && !shown.loop && String(shown.stops) === `0,${frames.length - 1}`;
    player.toggleAttribute('data-marks', !plain);
    marks.replaceChildren(
      ...(plain ? [] : stops()).map((stop, i) => {
        const face = Math.round(shown.t[stop]); // of a morph: it may pass B alone
        const text = make('b', {}, letters ? 'AB'[face] : (i % shown.stops.length) + 1);
        text.style.left = `${(100 * stop) / steps()}%`;
        text.style.setProperty('--share', letters ? face : i / legs());
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
    const same = value.sheet === shown?.sheet;
    if (!same) {
      const cut = await cutSheet(value);
      if (turn !== newest) return cut.forEach((bitmap) => bitmap.close());
      replaceFrames(cut);
    }
    // The same frames come once more where they were asked for.
    if (!same || value.play) player.dataset.sheet = value.rev;
    const fresh = !same || !shown.final || value.play;
    shown = value;
    fitCanvas(canvas, limits.full_sizes);
    const at = range.valueAsNumber;
    [range.min, range.max] = value.range;
    range.value = at;
    setDisabled([range, playButton], false);
    setDisabled(saveButtons, !value.final);
    waySelect.disabled = value.loop;
    if (value.loop) waySelect.value = 'one';
    if (!player.dataset.saving) sayStatus();
    offerNativeSize(sizeSelect, value.full?.native);
    Object.assign(player.dataset, { state: value.final ? 'ready' : 'coarse', frames: value.n });
    if (value.final) endMaking();
    markFaces();
    plot.update();
    paint();
    if (value.play && !pause && !calm.matches) play(true);
    if (value.final && fresh) pulling.start(value.full); // what the visitor stopped stays so
  }

  function replaceFrames(others) {
    pulling.reset();
    frames.forEach((bitmap) => bitmap.close());
    frames = others;
  }

  /** Words for what happens now; what else the line said makes room. */
  function say(text) {
    status.textContent = text;
    far.textContent = note.textContent = '';
  }

  /** What the line says while nothing happens. */
  function sayStatus() {
    say(shown ? shown.status : '');
    if (!shown) return;
    pulling.showCount();
    note.textContent = shown.note ? `. ${shown.note}` : '';
  }

  /** No morph is being made any more. */
  function endMaking() {
    delete player.dataset.working;
    work.end(making);
    making = '';
  }

  function clear() {
    newest += 1;
    stop();
    replaceFrames([]);
    shown = null;
    [range.min, range.max, range.value] = [0, 1, 0];
    setDisabled([range, playButton, ...saveButtons], true);
    sayStatus();
    player.toggleAttribute('data-marks', !letters); // else they are numbered
    marks.replaceChildren();
    plot.repaint();
    levels.textContent = '–';
    showPlace();
    Object.assign(player.dataset, { state: 'empty', frames: 0 });
    endMaking();
    canvas.ariaLabel = `The ${player.dataset.kind} will stand here`;
  }

  // ---- slider -------------------------------------------------------------------------------

  on(range, 'input', () => {
    stop();
    ask();
  });
  on(range, 'keydown', (event) => {
    // step="any" leaves the size of a step to us
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key !== ' ' && !(event.key in BY)) return; // Home and End are the browser's own
    event.preventDefault();
    if (event.key === ' ') return playButton.click();
    range.value = (range.valueAsNumber + BY[event.key] / 100).toFixed(6); // no 0.30000000004
    range.dispatchEvent(new Event('input'));
  });

  // ---- play ---------------------------------------------------------------------------------

  function showPlaying(playing) {
    player.toggleAttribute('data-playing', playing);
    playButton.ariaPressed = playing;
    playButton.querySelector('span').textContent = playing ? 'Pause' : 'Play';
  }

  /** Go there and back, slower at the ends, or round a loop; `once` ends after one round. */
  function play(once) {
    stop();
    pause = calm.matches ? stepThrough() : sweep(once);
    showPlaying(true);
  }

  function sweep(once) {
    let handle = 0;
    let began = null;
    const { loop } = shown;
    const ms = 1000 * SECONDS_EACH_WAY * legs();
    const from = loop ? share() : Math.acos(1 - 2 * share()) / Math.PI; // where the cosine is there
    const tick = (now) => {
      began ??= now;
      const u = from + (now - began) / ms;
      if (once && u >= (loop ? from + 1 : 2)) {
        stop();
        return moveTo(0);
      }
      moveTo(loop ? u % 1 : (1 - Math.cos(Math.PI * u)) / 2);
      handle = requestAnimationFrame(tick);
    };
    handle = requestAnimationFrame(tick);
    return () => cancelAnimationFrame(handle);
  }

  function stepThrough() {
    const whole = CALM_STEPS * legs();
    let step = Math.round(share() * whole);
    const timer = setInterval(() => {
      step = (step + 1) % (shown.loop ? whole : 2 * whole);
      moveTo(Math.min(step, 2 * whole - step) / whole);
    }, CALM_HOLD_MS);
    return () => clearInterval(timer);
  }

  function stop() {
    pause?.();
    pause = null;
    showPlaying(false);
  }
  on(playButton, 'click', () => (pause ? stop() : play(false)));

  // ---- downloads ----------------------------------------------------------------------------

  /** Ask Python for a file, unless another is being made. */
  function save(button, kind, text, event, question) {
    if (player.dataset.saving) return;
    player.dataset.saving = kind;
    say(text);
    button.classList.add('pending');
    if (question.job) work.begin(event, 'Saving', question.job);
    trigger(event, { place: inFrames(), ...question });
  }

  on(saveButtons, 'click', ({ currentTarget: button }) => {
    const { kind } = button.dataset;
    const what = kind === 'png' ? 'picture' : button.textContent.trim().replace('Download ', '');
    save(button, kind, `Preparing the ${what}…`, 'save', {
      kind,
      job: newJob(),
      size: Number(sizeSelect.value),
      fps: Number(rateSelect.value),
      back: waySelect.value === 'back',
    });
  });
  on(putButtons, 'click', ({ currentTarget: button }) => {
    const question = { face: Number(button.dataset.face), kind: parts.putKind.value };
    save(button, 'photo', 'Putting the face back…', 'put', question);
  });

  /** Where the face can be put back: into both photos of a morph, the nearest one of a journey. */
  function showPutButtons() {
    const photos = shown?.photos ?? [];
    backs.hidden = !photos.some(Boolean);
    putButtons.forEach((button, i) => {
      const face = letters ? i : nearest();
      button.dataset.face = face;
      button.hidden = letters ? !photos[face] : i > 0;
      button.disabled = !photos[face] || !shown.final || Boolean(player.dataset.saving);
      button.firstElementChild.textContent = `Put it back into photo ${letters ? 'AB'[face] : face + 1}`;
    });
  }

  /** The number of the face that is nearest on a journey. */
  function nearest() {
    if (!shown) return 0;
    const away = stops().map((stop) => Math.abs(stop - inFrames()));
    return away.indexOf(Math.min(...away)) % shown.stops.length;
  }

  // 'ended' comes from the page when an event of the player has ended, well or badly. Others may go
  // on: a file is saved while the next morph is made.
  on(player, 'ended', ({ detail }) => {
    if (detail === 'save' || detail === 'put') {
      delete player.dataset.saving;
      work.end(detail);
      for (const button of [...saveButtons, ...putButtons]) button.classList.remove('pending');
    } else if (!making || detail === making) endMaking();
    showPutButtons();
    if (player.dataset.saving) return;
    if (making) say('Decoding…');
    else if (shown && !shown.final)
      say('Stopped: these are only a few frames'); // or it failed
    else sayStatus();
  });

  watch('value', load);
  load();
}
