// A picture that follows its sliders: each new value asks the server for one picture, and while
// one is under way only the latest values wait. At rest one more is asked for, at full size.
// The value: live_value in components/pictures.py, or null. server.picture({key, values}) -> {rgb, size,
// clamped}; with full: size -> {src, size, clamped}; or {error}. Events to Python: save {values,
// size}, use {values, to}, put {values, face, kind}, directions {paths}, average {paths, job},
// expression {paths}.

import { make, makeButton, on, onFiles, setDisabled, within } from './dom.js';
import { LongWork, newJob } from './long_work.js';
import { bitmapOf, fitCanvas, offerNativeSize, showClipped, sizeForScreen } from './pictures.js';
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
  const { undo, redo, reset, compare, save } = parts;
  const canvas = find('canvas');
  const paper = canvas.getContext('2d', { alpha: false });
  const uses = findAll('.use');
  const puts = findAll('.put');

  let inputs = []; // one range a slider, in the order of the values
  let committed = []; // the values after the last finished move
  let [past, future] = [[], []];
  let openGroup = 'Expression'; // that stands open
  let setting = 0; // the last setting that came with a scene
  let becomes = null; // the mix is on its way to be photo A or B
  let still = null; // the last picture, a bitmap
  let original = null; // what the picture is compared with, a bitmap

  const values = () => inputs.map((input) => input.valueAsNumber);

  // ---- the pump -----------------------------------------------------------------------------

  let resting = 0; // the timer of full size
  let failed = false; // the last answer was an error: nothing more until a slider moves

  const pictures = new LatestWins(
    async (question) => {
      const mine = () => props.value && question.key === props.value.key;
      const answer = await retryWhileBusy(
        () => server.picture(question),
        () => mine() && !pictures.waiting,
        (busy) => say(busy ? busy.error : 'The server did not answer.', true),
      );
      if (!mine()) return; // another face meanwhile
      if (!answer || answer.error) {
        if (pictures.waiting) return; // a newer one is asked for
        say(answer ? answer.error : 'The server did not answer.', true);
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
      arrest();
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
  function arrest() {
    clearTimeout(resting);
    if (!props.value || !still || failed) return;
    const { sizes } = props.value; // none: the photos have no more
    const full = sizes.length ? sizeForScreen(sizes) : null;
    const next =
      full && live.dataset.full !== String(full)
        ? { full }
        : props.value.compare && (!original || (full && original.width < full))
          ? { aside: true, values: values().map(() => 0), ...(full ? { full } : {}) }
          : null;
    if (next)
      resting = setTimeout(() => {
        if (!pictures.busy) ask(next);
      }, REST_MS);
  }

  function paint(bitmap) {
    paper.imageSmoothingQuality = 'high';
    paper.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  }

  function show(answer, bitmap, question) {
    if (still && still !== original) still.close();
    still = bitmap;
    if (question.full) live.dataset.full = question.full;
    else delete live.dataset.full;
    if (question.values.every((value) => value === 0)) keepOriginal(bitmap);
    if (compare.getAttribute('aria-pressed') !== 'true') paint(still);
    showClipped(find('.clipped'), answer.clamped, limits.clipped);
    if (status.dataset.tone === 'bad') retell();
    live.dataset.state = 'ready';
    live.dataset.shown = JSON.stringify(question.values);
    live.dataset.painted = Number(live.dataset.painted || 0) + 1;
    canvas.setAttribute('aria-label', live.ariaLabel);
    setDisabled([save, ...uses, ...puts], false);
  }

  /** With all sliders at 0 the picture is the face itself: the largest one stays. */
  function keepOriginal(bitmap) {
    if (!props.value.compare || (original && original.width > bitmap.width)) return;
    if (original && original !== still) original.close();
    original = bitmap;
    compare.disabled = false;
  }

  // ---- sliders ------------------------------------------------------------------------------

  function tell(input, slider) {
    const value = input.valueAsNumber;
    const { text, spoken } = valueTexts(value, slider);
    input.parentElement.querySelector('output').textContent = text;
    input.setAttribute('aria-valuetext', spoken);
    const part = (x) => (x - slider.min) / (slider.max - slider.min);
    const zero = part(Math.max(0, slider.min));
    input.style.setProperty('--part', part(value));
    input.style.setProperty('--from', `${100 * Math.min(zero, part(value))}%`);
    input.style.setProperty('--to', `${100 * Math.max(zero, part(value))}%`);
  }

  function row(slider, value, i) {
    const box = make('div', 'row');
    const label = make('label', '', slider.label);
    if (slider.detail) label.append(' ', make('small', '', slider.detail));
    const input = make('input');
    Object.assign(input, { type: 'range', min: slider.min, max: slider.max, step: slider.step });
    input.id = `live-${live.dataset.kind}-${i}`;
    input.dataset.id = slider.id;
    input.value = value;
    label.htmlFor = input.id;
    const words = make('div', 'words');
    if (slider.low || slider.high)
      words.append(make('span', '', slider.low), make('span', '', slider.high));
    box.append(label, make('output'), input, words);
    if (slider.weak) box.append(make('p', 'weak', slider.weak));
    input.addEventListener('input', () => {
      tell(input, slider);
      press();
      ask();
    });
    input.addEventListener('change', commit);
    input.addEventListener('dblclick', () => {
      input.value = slider.first;
      tell(input, slider);
      ask();
      commit();
    });
    return { box, input };
  }

  /** Rows under the headings of their groups, each with a button that puts its sliders back: beside
      the heading, for what is pressed must not hold another thing to press. */
  function grouped(rows, all) {
    const groups = new Map();
    for (const one of rows) {
      const { group } = all[inputs.indexOf(one.input)];
      groups.set(group, [...(groups.get(group) ?? []), one]);
    }
    return [...groups].flatMap(([name, some]) => {
      if (!name) return some.map((one) => one.box);
      const box = make('details', 'group');
      box.open = name === openGroup || some.some((one) => one.input.valueAsNumber !== 0);
      const head = make('summary', '', name);
      head.append(' ', make('small', '', `${some.length}`));
      const putBack = () => {
        const mine = new Set(some.map((one) => inputs.indexOf(one.input)));
        place(values().map((x, i) => (mine.has(i) ? all[i].first : x)));
        commit();
      };
      box.append(head, ...some.map((one) => one.box));
      box.addEventListener('toggle', () => {
        if (box.open) openGroup = name;
      });
      const whole = make('div', 'grouped');
      whole.append(box, makeButton('btn back', 'Reset', putBack, { ariaLabel: `Reset ${name}` }));
      return [whole];
    });
  }

  /** Which shortcut the sliders stand at, if any. */
  function press() {
    const now = values();
    shortcuts.querySelectorAll('.btn').forEach((button, i) => {
      button.setAttribute('aria-pressed', same(props.value.shortcuts[i].values, now));
    });
    reset.disabled = same(first(), now);
  }

  function place(row) {
    inputs.forEach((input, i) => {
      input.value = row[i];
      tell(input, props.value.sliders[i]);
    });
    press();
    ask();
  }

  const first = () => props.value.sliders.map((slider) => slider.first);

  // ---- history ------------------------------------------------------------------------------

  function commit() {
    const now = values();
    if (same(now, committed)) return;
    past.push(committed);
    if (past.length > MOST_STEPS) past.shift();
    future = [];
    committed = now;
    arm();
  }

  function step(from, to) {
    if (!from.length) return;
    to.push(committed);
    committed = from.pop();
    place(committed);
    arm();
  }

  function arm() {
    undo.disabled = !past.length;
    redo.disabled = !future.length;
  }

  undo.addEventListener('click', () => step(past, future));
  redo.addEventListener('click', () => step(future, past));
  reset.addEventListener('click', () => {
    place(first());
    commit();
  });

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
  document.addEventListener('keydown', onKey);

  // ---- compare ------------------------------------------------------------------------------

  function look(before) {
    if (!original || !still) return;
    compare.setAttribute('aria-pressed', before);
    find('.was').hidden = !before;
    paint(before ? original : still);
  }
  compare.addEventListener('pointerdown', () => look(true));
  for (const end of ['pointerup', 'pointerleave', 'pointercancel', 'blur', 'keyup'])
    on(compare, end, () => look(false));
  compare.addEventListener('keydown', (event) => {
    if (event.key === ' ' || event.key === 'Enter') look(true);
  });

  // ---- a new scene --------------------------------------------------------------------------

  function load() {
    const value = props.value;
    if (!value) return clear();
    const now = Object.fromEntries(inputs.map((input) => [input.dataset.id, input.valueAsNumber]));
    const set = value.setting && value.setting.rev !== setting ? value.setting.values : null;
    if (value.setting) setting = value.setting.rev;
    const start = value.sliders.map((slider) => {
      if (becomes) return becomes === 'b' ? 1 : 0;
      const stays = now[slider.id] ?? slider.first;
      return set ? (set[slider.id] ?? (value.setting.keep ? stays : 0)) : stays;
    });
    becomes = null;
    const rows = value.sliders.map((slider, i) => row(slider, start[i], i));
    inputs = rows.map((one) => one.input);
    const order = live.dataset.kind === 'mix' ? [...rows].reverse() : rows; // coarse on top
    sliders.replaceChildren(...grouped(order, value.sliders));
    shortcuts.hidden = !value.shortcuts.length;
    shortcuts.querySelectorAll('.btn').forEach((button) => button.remove());
    for (const shortcut of value.shortcuts) {
      const act = () => {
        place(shortcut.values);
        commit();
      };
      const { label, title } = shortcut;
      const ariaLabel = title.includes(label) ? title : `${label}: ${title}`;
      shortcuts.append(makeButton('btn', label, act, { title, ariaLabel }));
    }
    if (original && original !== still) original.close();
    original = null;
    compare.disabled = true;
    delete live.dataset.full;
    note.textContent = value.note;
    offerNativeSize(find('.size'), value.native > value.size && value.native);
    puts.forEach((button, i) => {
      button.hidden = !value.photos[i];
      button.querySelector('span').textContent =
        value.photos.length > 1
          ? `Put it back into photo ${'AB'[i]}`
          : 'Put it back into the photo';
    });
    backs.hidden = !value.photos.some(Boolean);
    about.textContent = value.about || '';
    average.hidden = !value.average;
    if (value.average) average.src = value.average;
    fitCanvas(canvas, limits.full_sizes);
    if (still) paint(still); // resizing a canvas empties it
    inputs.forEach((input, i) => tell(input, value.sliders[i]));
    const placed = values(); // on the steps of their sliders
    if (committed.length !== placed.length) [past, future] = [[], []];
    else if (!same(committed, placed)) past.push(committed);
    committed = placed;
    arm();
    press();
    ask();
  }

  function clear() {
    pictures.forget();
    still = original = null;
    note.textContent = '';
    backs.hidden = true;
    live.dataset.state = 'empty';
    find('.clipped').hidden = true;
    setDisabled([save, compare, reset, ...uses, ...puts, ...inputs], true);
    setDisabled(shortcuts.querySelectorAll('.btn'), true);
    canvas.setAttribute('aria-label', 'The picture will stand here');
  }

  // ---- what to do with it -------------------------------------------------------------------

  const doing = new Map(); // of each event under way what is said of it

  function say(text, bad = false) {
    status.textContent = text;
    status.dataset.tone = bad ? 'bad' : '';
  }

  /** Say what is still under way, if anything is. */
  const retell = () => say([...doing.values()].at(-1) || '');

  function begin(event, text) {
    doing.set(event, text);
    say(text);
  }

  save.addEventListener('click', () => {
    begin('save', 'Preparing the picture…');
    trigger('save', { values: values(), size: Number(find('.size').value) });
  });
  puts.forEach((button, face) =>
    button.addEventListener('click', () => {
      begin('put', 'Putting the face back…');
      trigger('put', { values: values(), face, kind: find('.put-kind').value });
    }),
  );
  uses.forEach((button) =>
    button.addEventListener('click', () => {
      const { to } = button.dataset;
      if (live.dataset.kind === 'mix') becomes = to; // the mix itself then stands at that end
      live.dataset.using = to;
      begin('use', `Setting photo ${to.toUpperCase()}…`);
      trigger('use', { values: values(), to });
    }),
  );

  async function send(event, files) {
    if (doing.has(event)) return;
    if (event === 'average' && files.length > limits.average)
      return trigger('error', `At most ${limits.average} photos make an average here.`);
    begin(event, 'Reading…');
    const paths = await work.uploadAll(event, files);
    if (!paths.length) return end(event);
    const job = newJob();
    work.begin(event, 'Finding faces', job);
    trigger(event, { paths, job });
  }
  onFiles(find('.direction-file input'), (files) => send('directions', files));
  onFiles(find('.average-files input'), (files) => send('average', files));
  onFiles(find('.expression-file input'), (files) => send('expression', files));

  // 'ended' comes from the page when an event has ended, 'used' when it set photo A or B.
  function end(event) {
    doing.delete(event);
    work.end(event);
    if (status.dataset.tone !== 'bad') retell();
  }
  live.addEventListener('ended', ({ detail }) => {
    if (detail === 'use') {
      becomes = null;
      delete live.dataset.using;
    }
    end(detail);
  });
  live.addEventListener('used', ({ detail }) => {
    const to = live.dataset.using;
    delete live.dataset.using;
    end(detail);
    if (to) say(`This picture is photo ${to.toUpperCase()} now, on every tab.`);
  });

  watch('value', load);
  load();
}
