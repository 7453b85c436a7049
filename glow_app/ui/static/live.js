// A picture that follows its sliders: each new value asks the server for one picture, and while
// one is under way only the latest values wait (the "latest wins" pump).
// Gradio hands in: element, trigger(event, data), props, upload(file), watch(prop, callback),
// server. props.value: {rev, key, size, sliders, shortcuts, original, about, average, setting}
// or null. server.picture({key, values}) -> {rgb, size, clamped} or {error}.
// Events to Python: 'save' {values, size}, 'use' {values, to}, 'directions' {paths},
// 'average' {paths}. common.js comes first.

const live = find('.live');
const canvas = find('canvas');
const paper = canvas.getContext('2d', { alpha: false });
const [sliders, shortcuts, status, about, average] = ['.sliders', '.shortcuts', '.status', '.about', '.average'].map(find);
const [undo, redo, reset, compare, save] = ['.undo', '.redo', '.reset', '.compare', '.save'].map(find);
const uses = [...element.querySelectorAll('.use')];
const CLIPPED = 0.01; // share of clipped colours above which the picture says so
const MOST_STEPS = 100; // of the history

let inputs = []; // one range a slider, in the order of the values
let committed = []; // the values after the last finished move
let [past, future] = [[], []];
let setting = 0; // the last setting that came with a scene
let becomes = null; // the mix is on its way to be photo A or B
let still = null; // the last picture's pixels, ImageData
let original = null; // what the picture is compared with, ImageData
const small = new OffscreenCanvas(1, 1).getContext('2d', { alpha: false });

const values = () => inputs.map((input) => input.valueAsNumber);
const same = (a, b) => a.length === b.length && a.every((x, i) => x === b[i]);

// ---- the pump -----------------------------------------------------------------------------

let wanted = null; // the question that waits
let busy = false;

async function pump() {
  if (busy) return;
  busy = true;
  while (wanted) {
    const question = wanted;
    wanted = null;
    const answer = await server.picture(question).catch(() => null);
    if (!props.value || question.key !== props.value.key) continue; // another face meanwhile
    if (!answer || answer.error) say(answer ? answer.error : 'The server did not answer.', true);
    else show(answer, question.values);
  }
  busy = false;
  delete live.dataset.pending;
}

function ask() {
  if (!props.value) return;
  wanted = { key: props.value.key, values: values() };
  live.dataset.pending = '';
  pump();
}

function pixels(text, size) {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const image = new ImageData(size, size);
  for (let i = 0, j = 0; j < bytes.length; i += 4, j += 3) {
    image.data[i] = bytes[j];
    image.data[i + 1] = bytes[j + 1];
    image.data[i + 2] = bytes[j + 2];
    image.data[i + 3] = 255;
  }
  return image;
}

function paint(image) {
  if (small.canvas.width !== image.width) small.canvas.width = small.canvas.height = image.width;
  small.putImageData(image, 0, 0);
  paper.imageSmoothingEnabled = true;
  paper.imageSmoothingQuality = 'high';
  paper.drawImage(small.canvas, 0, 0, canvas.width, canvas.height);
}

function show(answer, drawn) {
  still = pixels(answer.rgb, answer.size);
  if (compare.getAttribute('aria-pressed') !== 'true') paint(still);
  const clipped = find('.clipped');
  clipped.hidden = !(answer.clamped > CLIPPED);
  clipped.querySelector('b').textContent = `${Math.round(100 * answer.clamped)} %`;
  if (status.dataset.tone === 'bad') say('');
  live.dataset.state = 'ready';
  live.dataset.shown = JSON.stringify(drawn);
  live.dataset.painted = Number(live.dataset.painted || 0) + 1;
  canvas.setAttribute('aria-label', live.ariaLabel);
  [save, ...uses].forEach((button) => { button.disabled = false; });
  compare.disabled = !original;
}

// ---- sliders ------------------------------------------------------------------------------

function tell(input, slider) {
  const value = input.valueAsNumber;
  const text = slider.percent ? `${Math.round(100 * value)} %` : `${value > 0 ? '+' : ''}${value.toFixed(2)}`.replace('-', '−');
  input.parentElement.querySelector('output').textContent = text;
  input.setAttribute('aria-valuetext', slider.percent ? `${Math.round(100 * value)} percent` : value.toFixed(2));
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
  if (slider.low || slider.high) words.append(make('span', '', slider.low), make('span', '', slider.high));
  box.append(label, make('output'), input, words);
  if (slider.weak) box.append(make('p', 'weak', slider.weak));
  input.addEventListener('input', () => { tell(input, slider); press(); ask(); });
  input.addEventListener('change', commit);
  input.addEventListener('dblclick', () => { input.value = slider.first; tell(input, slider); ask(); commit(); });
  return { box, input };
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
reset.addEventListener('click', () => { place(first()); commit(); });

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
for (const end of ['pointerup', 'pointerleave', 'pointercancel', 'blur', 'keyup']) compare.addEventListener(end, () => look(false));
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
  const start = value.sliders.map((slider) => (
    becomes ? (becomes === 'b' ? 1 : 0) : set ? set[slider.id] ?? 0 : now[slider.id] ?? slider.first
  ));
  becomes = null;
  const rows = value.sliders.map((slider, i) => row(slider, start[i], i));
  inputs = rows.map((one) => one.input);
  const order = live.dataset.kind === 'mix' ? [...rows].reverse() : rows; // coarse on top
  sliders.replaceChildren(...order.map((one) => one.box));
  shortcuts.hidden = !value.shortcuts.length;
  shortcuts.querySelectorAll('.btn').forEach((button) => button.remove());
  for (const shortcut of value.shortcuts) {
    const button = make('button', 'btn', shortcut.label);
    button.type = 'button';
    button.title = button.ariaLabel = shortcut.title;
    button.addEventListener('click', () => { place(shortcut.values); commit(); });
    shortcuts.append(button);
  }
  original = value.original ? pixels(value.original, value.size) : null;
  about.textContent = value.about || '';
  average.hidden = !value.average;
  if (value.average) average.src = value.average;
  canvas.width = canvas.height = Math.max(512, value.size);
  if (still) paint(still); // resizing a canvas empties it
  inputs.forEach((input, i) => tell(input, value.sliders[i]));
  if (committed.length !== start.length) [past, future] = [[], []];
  else if (!same(committed, start)) past.push(committed);
  committed = start;
  arm();
  press();
  ask();
}

function clear() {
  wanted = still = original = null;
  live.dataset.state = 'empty';
  find('.clipped').hidden = true;
  [save, compare, reset, ...uses].forEach((button) => { button.disabled = true; });
  inputs.forEach((input) => { input.disabled = true; });
  shortcuts.querySelectorAll('.btn').forEach((button) => { button.disabled = true; });
  canvas.setAttribute('aria-label', 'The picture will stand here');
}

// ---- what to do with it -------------------------------------------------------------------

function say(text, bad = false) {
  status.textContent = text;
  status.dataset.tone = bad ? 'bad' : '';
}

save.addEventListener('click', () => {
  say('Preparing the picture…');
  trigger('save', { values: values(), size: Number(find('.size').value) });
});
uses.forEach((button) => button.addEventListener('click', () => {
  const { to } = button.dataset;
  if (live.dataset.kind === 'mix') becomes = to; // the mix itself then stands at that end
  live.dataset.using = to;
  say(`Setting photo ${to.toUpperCase()}…`);
  trigger('use', { values: values(), to });
}));

async function send(event, files) {
  if (!files.length) return;
  say('Reading…');
  try {
    const paths = [];
    for (const file of files) paths.push((await upload(file)).path);
    trigger(event, { paths });
  } catch {
    say('The upload did not arrive: please try again.', true);
  }
}
for (const [selector, event] of [['.direction-file input', 'directions'], ['.average-files input', 'average']]) {
  find(selector).addEventListener('change', (change) => {
    send(event, [...change.target.files]);
    change.target.value = '';
  });
}

// 'settle' comes from the page when an event has ended, 'used' when it set photo A or B.
live.addEventListener('settle', () => {
  if (live.dataset.using) becomes = null;
  delete live.dataset.using;
  if (status.dataset.tone !== 'bad') say('');
});
live.addEventListener('used', () => {
  const to = live.dataset.using;
  delete live.dataset.using;
  if (to) say(`This picture is photo ${to.toUpperCase()} now, on every tab.`);
});

watch('value', load);
load();
