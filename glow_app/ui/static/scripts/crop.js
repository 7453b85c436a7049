// The crop of a photo, changed by hand: over the whole photo lies a square that can be moved, sized
// and turned by mouse, touch and keyboard, or set by its eyes. The value: crop_value in
// components/faces.py. Event to Python: use {crop, face}.

import { ARROWS, make, makeButton, on, within } from './dom.js';

const MOST_STEPS = 100; // of the history
const SAME_MOVE_MS = 700; // keys, wheel and buttons in a row are one step
const HINTS = {
  square:
    'Drag to move the crop, its corners or the wheel for the size; two fingers size and turn it.',
  eyes: 'Click or tap one eye, then the other; the markers can be dragged, or moved by arrow keys.',
};

// ---- where a crop lies: {x, y, side, turn}, its middle and side in long sides of the photo, its
// turn in degrees clockwise; points are [x, y] in the same unit -----------------------------------

const radians = (degrees) => (degrees * Math.PI) / 180;
const degrees = (angle) => (angle * 180) / Math.PI;

/** The crop with its middle on the photo and its side and turn in range. */
export function limited({ x, y, side, turn }, { width, height, smallest, largest }) {
  return {
    x: Math.min(width, Math.max(0, x)),
    y: Math.min(height, Math.max(0, y)),
    side: Math.min(largest, Math.max(smallest, side)),
    turn: ((turn % 360) + 360) % 360,
  };
}

/** Whether two crops look the same. */
export const isNear = (a, b) =>
  Math.hypot(a.x - b.x, a.y - b.y) < 0.01 * b.side &&
  Math.abs(a.side / b.side - 1) < 0.01 &&
  Math.abs(((a.turn - b.turn + 540) % 360) - 180) < 1;

/** Two fingers: one rests, the other goes from `from` to `to`. The crop is moved, sized and turned. */
export function pinched(crop, rest, from, to) {
  const [before, after] = [from, to].map(([x, y]) => [x - rest[0], y - rest[1]]);
  const [was, is] = [before, after].map(([x, y]) => Math.max(1e-6, Math.hypot(x, y)));
  return {
    x: crop.x + (to[0] - from[0]) / 2,
    y: crop.y + (to[1] - from[1]) / 2,
    side: (crop.side * is) / was,
    turn: crop.turn + degrees(Math.atan2(after[1], after[0]) - Math.atan2(before[1], before[0])),
  };
}

/**
 * Where the eyes of a face that fills the crop are. `apart` is their distance and `below` how far
 * the middle of the crop lies below them, both in sides of the crop.
 */
export function eyesOf({ x, y, side, turn }, { apart, below }) {
  const [cos, sin] = [Math.cos(radians(turn)), Math.sin(radians(turn))];
  return [-1, 1].map((sign) => {
    const [dx, dy] = [(sign * apart * side) / 2, -below * side];
    return [x + dx * cos - dy * sin, y + dx * sin + dy * cos];
  });
}

/** The crop whose eyes these are, two points in either order; null where they are the same. */
export function cropOfEyes(eyes, { apart, below }) {
  const [[x0, y0], [x1, y1]] = [...eyes].sort((a, b) => a[0] - b[0]);
  const distance = Math.hypot(x1 - x0, y1 - y0);
  if (distance < 1e-4) return null;
  const side = distance / apart;
  const [cos, sin] = [(x1 - x0) / distance, (y1 - y0) / distance];
  return {
    x: (x0 + x1) / 2 - sin * below * side,
    y: (y0 + y1) / 2 + cos * below * side,
    side,
    turn: degrees(Math.atan2(sin, cos)),
  };
}

// ---- the dialog ---------------------------------------------------------------------------------

export default function crop(host) {
  const { element, trigger, props, watch } = host;
  const { findAll, parts } = within(element);
  const { cropper: dialog, field, frame, whole, square, preview, found, cropHint: hint } = parts;
  const { eyes: eyesButton, undo, use } = parts;
  const eyes = findAll('.eye');

  let crop = null; // {x, y, side, turn}
  let marks = null; // of the eyes, [x, y] each, while they are clicked
  let placed = 0; // eyes that were clicked so far
  let past = []; // {crop, marks, placed} before each step
  let lastStep = { kind: '', at: 0 };

  /** Where a pointer is, in long sides of the photo. */
  function inPhoto({ clientX, clientY }) {
    const { left, top, width, height } = frame.getBoundingClientRect();
    return [clientX - left, clientY - top].map((v) => v / Math.max(width, height));
  }

  // ---- drawing ------------------------------------------------------------------------------

  /** Set where something lies for the style sheet: `--x`, `--y`, … */
  function setPlaces(element, places) {
    for (const [name, value] of Object.entries(places))
      element.style.setProperty(`--${name}`, value);
  }

  function draw() {
    setPlaces(square, crop);
    eyes.forEach((eye, i) => {
      eye.hidden = !marks;
      if (marks) setPlaces(eye, { x: marks[i][0], y: marks[i][1] });
    });
    picture(preview, crop);
    dialog.dataset.crop = JSON.stringify(crop);
    undo.disabled = !past.length;
    [...found.children].forEach((face, i) => {
      face.ariaPressed = isNear(crop, props.value.faces[i]);
    });
  }

  /** Paint a crop of the photo onto a square canvas. */
  function picture(canvas, { x, y, side, turn }) {
    const paper = canvas.getContext('2d');
    const long = Math.max(whole.naturalWidth, whole.naturalHeight);
    paper.reset();
    if (!long) return; // not there yet
    paper.imageSmoothingQuality = 'high';
    paper.translate(canvas.width / 2, canvas.height / 2);
    paper.rotate(-radians(turn));
    paper.scale(canvas.width / (side * long), canvas.width / (side * long));
    paper.drawImage(whole, -x * long, -y * long);
  }

  // ---- steps --------------------------------------------------------------------------------

  /** Remember where it stood; steps of one kind in quick succession are one. */
  function remember(kind = '') {
    const at = performance.now();
    const same = kind && kind === lastStep.kind && at - lastStep.at < SAME_MOVE_MS;
    lastStep = { kind, at };
    if (!same) past = [...past, structuredClone({ crop, marks, placed })].slice(-MOST_STEPS);
  }

  function change(more) {
    crop = limited({ ...crop, ...more }, props.value);
    draw();
  }

  function undoStep() {
    if (!past.length) return;
    lastStep = { kind: '', at: 0 };
    const was = past.pop();
    ({ crop, placed } = was);
    setMarks(was.marks);
    draw();
  }
  on(undo, 'click', undoStep);

  /** One step of a kind that leaves the eyes: change the crop by `more`. */
  function changed(kind, more) {
    remember(kind);
    setMarks(null);
    change(more);
  }
  const sized = (by) => changed('size', { side: crop.side * by });
  const turned = (by) => changed('turn', { turn: crop.turn + by });
  on(parts.again, 'click', () => changed('', props.value.first));
  on(parts.smaller, 'click', () => sized(1 / 1.08));
  on(parts.larger, 'click', () => sized(1.08));
  on(parts.left, 'click', () => turned(-3));
  on(parts.right, 'click', () => turned(3));
  on(parts.quarter, 'click', () => turned(90));

  // ---- pointers -----------------------------------------------------------------------------

  const pointers = new Map(); // id: [x, y] in the photo
  let corner = null; // the pointer that drags one
  let moved = false;

  on(field, 'pointerdown', (event) => {
    if (event.button > 0) return;
    event.preventDefault(); // no selection, no dragging of the picture
    field.focus({ preventScroll: true });
    if (marks) return placeEye(event);
    field.setPointerCapture(event.pointerId);
    if (!pointers.size) moved = false; // a second finger goes on with the same step
    pointers.set(event.pointerId, inPhoto(event));
    corner = event.target.dataset.corner ? event.pointerId : null;
  });

  on(field, 'pointermove', (event) => {
    const from = pointers.get(event.pointerId);
    if (!from) return;
    const to = inPhoto(event);
    if (to[0] === from[0] && to[1] === from[1]) return;
    if (!moved) remember();
    moved = true;
    const [rest] = [...pointers].filter(([id]) => id !== event.pointerId);
    if (corner === event.pointerId) {
      const far = ([x, y]) => Math.hypot(x - crop.x, y - crop.y);
      change({ side: (crop.side * far(to)) / Math.max(1e-6, far(from)) });
    } else if (rest) change(pinched(crop, rest[1], from, to));
    else change({ x: crop.x + to[0] - from[0], y: crop.y + to[1] - from[1] });
    pointers.set(event.pointerId, to);
  });

  on(field, 'pointerup pointercancel lostpointercapture', ({ pointerId }) => {
    pointers.delete(pointerId);
    if (corner === pointerId) corner = null;
  });

  const wheel = (event) => {
    event.preventDefault();
    changed('wheel', { side: crop.side * Math.exp(event.deltaY * 0.0012) });
  };
  field.addEventListener('wheel', wheel, { passive: false });

  // ---- keys ---------------------------------------------------------------------------------

  on(field, 'keydown', (event) => {
    if (event.target !== field) return;
    const typed = '[]'.includes(event.key); // with AltGr or Option on many keyboards
    if (!typed && (event.ctrlKey || event.metaKey || event.altKey)) return;
    const by = ARROWS[event.key];
    const size = { '+': 1.03, '=': 1.03, '-': 1 / 1.03 }[event.key];
    const turn = { '[': -1, ']': 1 }[event.key];
    if (by) {
      const far = crop.side * (event.shiftKey ? 0.05 : 0.01);
      changed('move', { x: crop.x + by[0] * far, y: crop.y + by[1] * far });
    } else if (size) sized(size);
    else if (turn) turned(turn);
    else return;
    event.preventDefault();
  });

  on(dialog, 'keydown', (event) => {
    event.stopPropagation(); // the page behind has keys of its own
    if (!(event.ctrlKey || event.metaKey) || event.key.toLowerCase() !== 'z') return;
    event.preventDefault();
    undoStep();
  });

  // ---- by the eyes: two markers, clicked, dragged or moved by keys ----------------------------

  /** Show the markers of the eyes, or (null) the square alone. */
  function setMarks(next) {
    marks = next;
    eyesButton.ariaPressed = Boolean(marks);
    dialog.toggleAttribute('data-eyes', Boolean(marks));
    hint.textContent = marks ? HINTS.eyes : HINTS.square;
  }

  /** An eye is marked at another place: take the crop whose eyes these are, once it has both. */
  function moveEye(i, to, both = true) {
    marks[i] = to;
    const next = both && cropOfEyes(marks, props.value.eyes);
    if (next) change(next);
    else draw();
  }

  on(eyesButton, 'click', (event) => {
    remember();
    placed = 0;
    setMarks(marks ? null : eyesOf(crop, props.value.eyes));
    draw();
    if (marks && !event.detail) eyes[0].focus(); // pressed by a key: arrows go on from here
  });

  function placeEye(event) {
    const at = inPhoto(event);
    const away = marks.map((mark) => Math.hypot(mark[0] - at[0], mark[1] - at[1]));
    const which = placed < 2 ? placed : away.indexOf(Math.min(...away));
    remember();
    placed += 1;
    moveEye(which, at, placed > 1);
  }

  eyes.forEach((eye, i) => {
    on(eye, 'pointerdown', (event) => {
      event.stopPropagation();
      eye.setPointerCapture(event.pointerId);
      moved = false;
    });
    on(eye, 'pointermove', (event) => {
      if (!eye.hasPointerCapture(event.pointerId)) return;
      if (!moved) remember(); // a tap alone is none
      moved = true;
      placed = 2;
      moveEye(i, inPhoto(event));
    });
    on(eye, 'keydown', (event) => {
      const by = ARROWS[event.key];
      if (!by) return;
      event.preventDefault();
      event.stopPropagation();
      remember(`eye ${i}`);
      placed = 2;
      const far = event.shiftKey ? 0.02 : 0.004;
      moveEye(i, [marks[i][0] + by[0] * far, marks[i][1] + by[1] * far]);
    });
  });

  // ---- coming and going ---------------------------------------------------------------------

  let opened = 0; // the last value that was shown

  async function load() {
    const value = props.value;
    if (!value || value.rev === opened) return;
    opened = value.rev;
    whole.src = value.src;
    await whole.decode().catch(() => {});
    frame.style.setProperty('--ratio', value.width / value.height);
    crop = { ...value.crop };
    past = [];
    placed = 0;
    found.replaceChildren(
      ...value.faces.map((face, i) => {
        const more = { title: 'Use this face', ariaLabel: `Face ${i + 1}` };
        const button = makeButton('face', '', () => changed('', face), more);
        const canvas = make('canvas', { width: 96, height: 96 });
        picture(canvas, face);
        button.append(canvas);
        return button;
      }),
    );
    found.hidden = value.faces.length < 2;
    use.disabled = false;
    dialog.dataset.state = 'ready';
    setMarks(value.faces.length ? null : eyesOf(crop, value.eyes)); // none found: eyes are wanted
    draw();
    if (!dialog.open) dialog.showModal();
    (marks ? eyes[0] : field).focus({ preventScroll: true });
  }

  const shut = () => dialog.close(); // of one that is not open nothing comes

  on(use, 'click', () => {
    use.disabled = true;
    hint.textContent = 'Cutting out…';
    trigger('use', { crop, face: props.value.face });
  });
  on([parts.close, parts.cancel], 'click', shut);
  on(dialog, 'close', () => {
    crop = null;
    dialog.dataset.state = 'empty';
    whole.removeAttribute('src');
  });

  // 'ended' comes from the page when 'use' has ended, well or badly; what went wrong is said there.
  on(dialog, 'ended', shut);
  watch('value', load);
  load();
}
