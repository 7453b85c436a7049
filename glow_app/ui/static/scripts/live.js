// A picture that follows its sliders: each new value asks the server for one picture, and while
// one is under way only the latest values wait. At rest one more is asked for, at full size.
// The value: live_value in components/pictures.py, or null. server.picture({key, values}) -> {rgb, size,
// clamped}; with full: size -> {src, size, clamped}; or {error}. Events to Python: save {values,
// size}, use {values, to}, put {values, face, kind}, directions {paths}, average {paths, job},
// expression {paths}.

import { make, makeButton, on, onFiles, setDisabled, within } from './dom.js';
import { LongWork } from './long_work.js';
import {
  bitmapOf,
  cover,
  fitCanvas,
  offerNativeSize,
  showClipped,
  sizeForScreen,
} from './pictures.js';
import { LatestWins, retryWhileBusy } from './requests.js';

const UNITS = { deviations: ' σ', degrees: '°', years: ' years' };
const MOST_STEPS = 100; // of the history
const REST_MS = 150; // without a new value; then the picture is asked for at full size

const same = (a, b) => a.length === b.length && a.every((x, i) => x === b[i]);

/** What stands beside a slider for a value, and what is read aloud. */
export function valueTexts(value, { step, percent, unit }) {
  const whole = Math.round(100 * value);
  if (percent) return { text: `${whole} %`, spoken: `${whole} percent` };
  const number = value.toFixed(step >= 1 ? 0 : step >= 0.5 ? 1 : 2);
  return {
    text: `${value > 0 ? '+' : ''}${number}${UNITS[unit] ?? ''}`.replace('-', '−'),
    spoken: `${number} ${unit}`.trim(),
  };
}

export default function livePicture(host) {
  const { element, trigger, props, watch, server, limits } = host;
  const { find, findAll, parts } = within(element);
  const work = new LongWork(host);
  const { live, sliders, shortcuts, status, about, average, note, backs } = parts;
  const { undo, redo, reset, compare, save, was, clipped, size } = parts;
  const canvas = find('canvas');
  const paper = canvas.getContext('2d', { alpha: false });
  const uses = findAll('.use');
  const puts = findAll('.put');

  let rows = []; // {box, input, slider} each, in the order of the values
  let committed = []; // the values after the last finished move
  let [past, future] = [[], []];
  let openGroup = 'Expression'; // that stands open
  let setting = 0; // the last setting that came with a scene
  let becomes = null; // the mix is on its way to be photo A or B
  let still = null; // the last picture, a bitmap
  let original = null; // what the picture is compared with, a bitmap

  const values = () => rows.map(({ input }) => input.valueAsNumber);
  const first = () => rows.map(({ slider }) => slider.first);

  // ---- the pump -----------------------------------------------------------------------------

  let resting = 0; // the timer of full size
  let failed = false; // the last answer was an error: nothing more until a slider moves

  const complain = (answer) => say(answer?.error ?? 'The server did not answer.', true);

  const pictures = new LatestWins(
    async (question) => {
      const mine = () => question.key === props.value?.key;
      const answer = await retryWhileBusy(
        () => server.picture(question),
        () => mine() && !pictures.waiting,
        complain,
      );
      if (!mine()) return; // another face meanwhile
      if (!answer || answer.error) {
        if (pictures.waiting) return; // a newer one is asked for
        complain(answer);
        failed = true;
        return;
      }
      const bitmap = await bitmapOf(answer);
      if (!mine()) return;
      if (question.aside) keepOriginal(bitmap);
      else show(answer, bitmap, question);
    },
    () => {
      delete live.dataset.pending;
      askAtRest();
    },
  );

  function ask(more = {}) {
    if (!props.value) return;
    clearTimeout(resting);
    failed = false;
    live.dataset.pending = '';
    pictures.want({ key: props.value.key, values: values(), ...more });
  }

  /** The sliders rest: what else is wanted follows after a moment, one after the other. */
  function askAtRest() {
    clearTimeout(resting);
    if (!props.value || !still || failed) return;
    const { sizes } = props.value; // none: the photos have no more
    const full = sizes.length ? { full: sizeForScreen(sizes) } : {};
    let next = null;
    if (sizes.length && live.dataset.full !== String(full.full)) next = full;
    else if (props.value.compare && (!original || original.width < full.full))
      next = { aside: true, values: rows.map(() => 0), ...full };
    if (next) resting = setTimeout(() => pictures.busy || ask(next), REST_MS);
  }

  const paint = (bitmap) => cover(paper, [bitmap, 1]);

  function show(answer, bitmap, question) {
    if (still && still !== original) still.close();
    still = bitmap;
    if (question.full) live.dataset.full = question.full;
    else delete live.dataset.full;
    if (question.values.every((value) => value === 0)) keepOriginal(bitmap);
    if (compare.ariaPressed !== 'true') paint(still);
    showClipped(clipped, answer.clamped, limits.clipped);
    if (status.dataset.tone === 'bad') sayUnderWay();
    const shown = JSON.stringify(question.values);
    const painted = Number(live.dataset.painted || 0) + 1;
    Object.assign(live.dataset, { state: 'ready', shown, painted });
    canvas.ariaLabel = live.ariaLabel;
    setDisabled([save, ...uses, ...puts], false);
  }

  /** With all sliders at 0 the picture is the face itself: the largest one stays. */
  function keepOriginal(bitmap) {
    if (!props.value.compare || original?.width > bitmap.width) return;
    forgetOriginal();
    original = bitmap;
    compare.disabled = false;
  }

  function forgetOriginal() {
    if (original !== still) original?.close();
    original = null;
    compare.disabled = true;
  }

  // ---- sliders ------------------------------------------------------------------------------

  function showValue({ input, slider }) {
    const value = input.valueAsNumber;
    const { text, spoken } = valueTexts(value, slider);
    input.parentElement.querySelector('output').textContent = text;
    input.ariaValueText = spoken;
    const part = (x) => (x - slider.min) / (slider.max - slider.min);
    const [from, to] = [part(Math.max(0, slider.min)), part(value)].sort((a, b) => a - b);
    input.style.setProperty('--part', part(value));
    input.style.setProperty('--from', `${100 * from}%`);
    input.style.setProperty('--to', `${100 * to}%`);
  }

  function row(slider, value, i) {
    const { min, max, step } = slider;
    const id = `live-${live.dataset.kind}-${i}`;
    const label = make('label', { htmlFor: id }, slider.label);
    if (slider.detail) label.append(' ', make('small', {}, slider.detail));
    const input = make('input', { type: 'range', id, min, max, step, value });
    input.dataset.id = slider.id;
    const words = make('div', { className: 'words' });
    if (slider.low || slider.high)
      words.append(make('span', {}, slider.low), make('span', {}, slider.high));
    const box = make('div', { className: 'row' }, label, make('output'), input, words);
    if (slider.weak) box.append(make('p', { className: 'weak' }, slider.weak));
    const one = { box, input, slider };
    on(input, 'input', () => {
      showValue(one);
      markShortcut();
      ask();
    });
    on(input, 'change', commit);
    on(input, 'dblclick', () => set(values().with(i, slider.first)));
    return one;
  }

  /** Rows under the headings of their groups, each with a button that puts its sliders back: beside
      the heading, for what is pressed must not hold another thing to press. */
  function grouped(inOrder) {
    const groups = Map.groupBy(inOrder, ({ slider }) => slider.group);
    return [...groups].flatMap(([name, some]) => {
      const boxes = some.map(({ box }) => box);
      if (!name) return boxes;
      const head = make('summary', {}, name, ' ', make('small', {}, some.length));
      const box = make('details', { className: 'group' }, head, ...boxes);
      box.open = name === openGroup || some.some(({ input }) => input.valueAsNumber !== 0);
      on(box, 'toggle', () => {
        if (box.open) openGroup = name;
      });
      const putBack = () =>
        set(rows.map((one) => (some.includes(one) ? one.slider.first : one.input.valueAsNumber)));
      const button = makeButton('btn back', 'Reset', putBack, { ariaLabel: `Reset ${name}` });
      return make('div', { className: 'grouped' }, box, button);
    });
  }

  /** Which shortcut the sliders stand at, if any. */
  function markShortcut() {
    const now = values();
    shortcuts.querySelectorAll('.btn').forEach((button, i) => {
      button.ariaPressed = same(props.value.shortcuts[i].values, now);
    });
    reset.disabled = same(first(), now);
  }

  function place(row) {
    rows.forEach((one, i) => {
      one.input.value = row[i];
      showValue(one);
    });
    markShortcut();
    ask();
  }

  /** Place the sliders in one step of the history. */
  function set(row) {
    if (!props.value) return;
    place(row);
    commit();
  }

  // ---- history ------------------------------------------------------------------------------

  function commit() {
    const now = values();
    if (same(now, committed)) return;
    past = [...past, committed].slice(-MOST_STEPS);
    future = [];
    committed = now;
    enableHistory();
  }

  function step(from, to) {
    if (!props.value || !from.length) return;
    to.push(committed);
    committed = from.pop();
    place(committed);
    enableHistory();
  }

  function enableHistory() {
    undo.disabled = !past.length;
    redo.disabled = !future.length;
  }

  on(undo, 'click', () => step(past, future));
  on(redo, 'click', () => step(future, past));
  on(reset, 'click', () => set(first()));

  function onKey(event) {
    if (!live.isConnected) return document.removeEventListener('keydown', onKey);
    if (!live.offsetParent || !(event.ctrlKey || event.metaKey) || event.altKey) return;
    if (event.target.matches?.('textarea, input:not([type=range]):not([type=file])')) return;
    const key = event.key.toLowerCase();
    if (key === 'z' && !event.shiftKey) step(past, future);
    else if (key === 'y' || key === 'z') step(future, past);
    else return;
    event.preventDefault();
  }
  on(document, 'keydown', onKey);

  // ---- compare ------------------------------------------------------------------------------

  function showOriginal(before) {
    if (!original || !still) return;
    compare.ariaPressed = before;
    was.hidden = !before;
    paint(before ? original : still);
  }
  on(compare, 'pointerdown', () => showOriginal(true));
  on(compare, 'pointerup pointerleave pointercancel blur keyup', () => showOriginal(false));
  on(compare, 'keydown', ({ key }) => {
    if (key === ' ' || key === 'Enter') showOriginal(true);
  });

  // ---- a new scene --------------------------------------------------------------------------

  /** Where the sliders of a scene begin: where those of the last one stood, unless it says so. */
  function starts(value) {
    const now = Object.fromEntries(rows.map(({ slider }, i) => [slider.id, values()[i]]));
    const set = value.setting && value.setting.rev !== setting ? value.setting.values : null;
    setting = value.setting?.rev ?? setting;
    return value.sliders.map(({ id, first }) => {
      if (becomes) return becomes === 'b' ? 1 : 0;
      const stays = now[id] ?? first;
      return set ? (set[id] ?? (value.setting.keep ? stays : 0)) : stays;
    });
  }

  function load() {
    const value = props.value;
    if (!value) return clear();
    const start = starts(value);
    becomes = null;
    rows = value.sliders.map((slider, i) => row(slider, start[i], i));
    // Of a mix the coarse ones are on top.
    sliders.replaceChildren(...grouped(live.dataset.kind === 'mix' ? rows.toReversed() : rows));
    shortcuts.hidden = !value.shortcuts.length;
    shortcuts.querySelectorAll('.btn').forEach((button) => button.remove());
    for (const { label, title, values: row } of value.shortcuts) {
      const ariaLabel = title.includes(label) ? title : `${label}: ${title}`;
      shortcuts.append(makeButton('btn', label, () => set(row), { title, ariaLabel }));
    }
    forgetOriginal();
    delete live.dataset.full;
    note.textContent = value.note;
    offerNativeSize(size, value.native > value.size && value.native);
    puts.forEach((button, i) => {
      button.hidden = !value.photos[i];
      const which = value.photos.length > 1 ? `photo ${'AB'[i]}` : 'the photo';
      button.firstElementChild.textContent = `Put it back into ${which}`;
    });
    backs.hidden = !value.photos.some(Boolean);
    about.textContent = value.about || '';
    average.hidden = !value.average;
    if (value.average) average.src = value.average;
    fitCanvas(canvas, limits.full_sizes);
    if (still) paint(still); // resizing a canvas empties it
    rows.forEach(showValue);
    const placed = values(); // on the steps of their sliders
    if (committed.length !== placed.length) [past, future] = [[], []];
    else if (!same(committed, placed)) past.push(committed);
    committed = placed;
    enableHistory();
    markShortcut();
    ask();
  }

  function clear() {
    pictures.forget();
    still = original = null;
    note.textContent = '';
    backs.hidden = true;
    live.dataset.state = 'empty';
    clipped.hidden = true;
    setDisabled([save, compare, reset, undo, redo, ...uses, ...puts], true);
    setDisabled(live.querySelectorAll('.shortcuts .btn, .sliders :is(input, .back)'), true);
    canvas.ariaLabel = 'The picture will stand here';
  }

  // ---- what to do with it -------------------------------------------------------------------

  const doing = new Map(); // of each event under way what is said of it

  function say(text, bad = false) {
    status.textContent = text;
    status.dataset.tone = bad ? 'bad' : '';
  }

  /** Say what is still under way, if anything is. */
  const sayUnderWay = () => say([...doing.values()].at(-1) || '');

  function begin(event, text, question) {
    doing.set(event, text);
    say(text);
    if (question) trigger(event, { values: values(), ...question });
  }

  on(save, 'click', () => begin('save', 'Preparing the picture…', { size: Number(size.value) }));
  puts.forEach((button, face) =>
    on(button, 'click', () =>
      begin('put', 'Putting the face back…', { face, kind: parts.putKind.value }),
    ),
  );
  on(uses, 'click', ({ currentTarget }) => {
    const { to } = currentTarget.dataset;
    if (live.dataset.kind === 'mix') becomes = to; // the mix itself then stands at that end
    live.dataset.using = to;
    begin('use', `Setting photo ${to.toUpperCase()}…`, { to });
  });

  async function send(event, files) {
    if (doing.has(event)) return;
    if (event === 'average' && files.length > limits.average)
      return trigger('error', `At most ${limits.average} photos make an average here.`);
    begin(event, 'Reading…');
    if (!(await work.send(event, files))) end(event);
  }
  for (const label of findAll('.upload'))
    onFiles(label.querySelector('input'), (files) => send(label.dataset.event, files));

  // 'ended' comes from the page when an event has ended, 'used' when it set photo A or B.
  function end(event) {
    doing.delete(event);
    work.end(event);
    if (status.dataset.tone !== 'bad') sayUnderWay();
  }
  on(live, 'ended used', ({ type, detail }) => {
    const to = live.dataset.using;
    if (detail === 'use') delete live.dataset.using;
    if (detail === 'use' && type === 'ended') becomes = null;
    end(detail);
    if (type === 'used' && to) say(`This picture is photo ${to.toUpperCase()} now, on every tab.`);
  });

  watch('value', load);
  load();
}
