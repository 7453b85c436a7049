// The crop of a photo, changed by hand: over the whole photo lies a square that can be moved, sized
// and turned by mouse, touch and keyboard, or set by its eyes. The value: crop_value in
// components/faces.py. Event to Python: use {crop, face}.

import { cropOfEyes, eyesOf, isNear, limited, pinched, radians } from './crop_geometry.js';
import { flag, make, makeButton, within } from './dom.js';

const MARGIN = 0.06; // of the field, around the photo
const MOST_STEPS = 100; // of the history
const SAME_MOVE_MS = 700; // keys, wheel and buttons in a row are one step
const HINTS = {
  square:
    'Drag to move the crop, its corners or the wheel for the size; two fingers size and turn it.',
  eyes: 'Click or tap one eye, then the other; the markers can be dragged, or moved by arrow keys.',
};
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

export default function crop(host) {
  const { element, trigger, props, watch } = host;
  const { find, findAll, parts } = within(element);
  const { cropper: dialog, field, whole, square, preview, found, cropHint: hint } = parts;
  const { eyes: eyesButton, undo, use } = parts;
  const eyes = findAll('.eye');

  let crop = null; // {x, y, side, turn}
  let marks = null; // of the eyes, [x, y] each, while they are clicked
  let placed = 0; // eyes that were clicked so far
  let past = []; // {crop, marks, placed} before each step
  let lastStep = { kind: '', at: 0 };
  const view = { k: 1, left: 0, top: 0 }; // pixels a long side, and where the photo begins

  // ---- the way between photo and screen -----------------------------------------------------

  const onScreen = ([x, y]) => [view.left + x * view.k, view.top + y * view.k];
  function inPhoto(event) {
    const box = field.getBoundingClientRect();
    return [
      (event.clientX - box.left - view.left) / view.k,
      (event.clientY - box.top - view.top) / view.k,
    ];
  }

  function lay() {
    if (!crop) return;
    const { width, height } = props.value;
    const [w, h] = [field.clientWidth, field.clientHeight];
    if (!w || !h) return;
    view.k = (1 - 2 * MARGIN) * Math.min(w / width, h / height);
    view.left = (w - width * view.k) / 2;
    view.top = (h - height * view.k) / 2;
    Object.assign(whole.style, {
      left: `${view.left}px`,
      top: `${view.top}px`,
      width: `${width * view.k}px`,
      height: `${height * view.k}px`,
    });
    draw();
  }
  new ResizeObserver(lay).observe(field);

  // ---- drawing ------------------------------------------------------------------------------

  function draw() {
    const [x, y] = onScreen([crop.x, crop.y]);
    const side = crop.side * view.k;
    Object.assign(square.style, {
      left: `${x - side / 2}px`,
      top: `${y - side / 2}px`,
      width: `${side}px`,
      height: `${side}px`,
      transform: `rotate(${crop.turn}deg)`,
    });
    eyes.forEach((eye, i) => {
      eye.hidden = !marks;
      if (!marks) return;
      const [left, top] = onScreen(marks[i]);
      Object.assign(eye.style, { left: `${left}px`, top: `${top}px` });
    });
    picture(preview, crop);
    dialog.dataset.crop = JSON.stringify(crop);
    undo.disabled = !past.length;
    findAll('.found .face').forEach((face, i) =>
      face.setAttribute('aria-pressed', isNear(crop, props.value.faces[i])),
    );
  }

  /** Paint a crop of the photo onto a square canvas. */
  function picture(canvas, { x, y, side, turn }) {
    const paper = canvas.getContext('2d');
    const long = Math.max(whole.naturalWidth, whole.naturalHeight);
    paper.setTransform(1, 0, 0, 1, 0, 0);
    paper.clearRect(0, 0, canvas.width, canvas.height);
    if (!long) return; // not there yet
    paper.imageSmoothingQuality = 'high';
    paper.translate(canvas.width / 2, canvas.height / 2);
    paper.rotate(-radians(turn));
    paper.scale(canvas.width / (side * long), canvas.width / (side * long));
    paper.drawImage(whole, -x * long, -y * long);
  }

  // ---- steps --------------------------------------------------------------------------------

  /** Remember where it stood; steps of one kind in quick succession are one. */
  function step(kind = '') {
    const now = performance.now();
    const same = kind && kind === lastStep.kind && now - lastStep.at < SAME_MOVE_MS;
    lastStep = { kind, at: now };
    if (same) return;
    past.push({ crop: { ...crop }, marks: marks && marks.map((mark) => [...mark]), placed });
    if (past.length > MOST_STEPS) past.shift();
  }

  function change(more) {
    crop = limited({ ...crop, ...more }, props.value);
    draw();
  }

  function back() {
    if (!past.length) return;
    lastStep = { kind: '', at: 0 };
    const was = past.pop();
    mode(was.marks);
    ({ crop, placed } = was);
    draw();
  }
  undo.addEventListener('click', back);
  find('.again').addEventListener('click', () => changed('', props.value.first));

  /** One step of a kind that leaves the eyes: change the crop by `more`. */
  function changed(kind, more) {
    step(kind);
    mode(null);
    change(more);
  }
  const sized = (by) => changed('size', { side: crop.side * by });
  const turned = (by) => changed('turn', { turn: crop.turn + by });
  for (const [name, act] of Object.entries({
    '.smaller': () => sized(1 / 1.08),
    '.larger': () => sized(1.08),
    '.left': () => turned(-3),
    '.right': () => turned(3),
    '.quarter': () => turned(90),
  }))
    find(name).addEventListener('click', act);

  // ---- pointers -----------------------------------------------------------------------------

  const pointers = new Map(); // id: [x, y] in the photo
  let corner = null; // the pointer that drags one
  let moved = false;

  field.addEventListener('pointerdown', (event) => {
    if (event.button > 0) return;
    event.preventDefault(); // no selection, no dragging of the picture
    field.focus({ preventScroll: true });
    if (marks) return placeEye(event);
    field.setPointerCapture(event.pointerId);
    if (!pointers.size) moved = false; // a second finger goes on with the same step
    pointers.set(event.pointerId, inPhoto(event));
    corner = event.target.dataset.corner ? event.pointerId : null;
  });

  field.addEventListener('pointermove', (event) => {
    const from = pointers.get(event.pointerId);
    if (!from) return;
    const to = inPhoto(event);
    if (to[0] === from[0] && to[1] === from[1]) return;
    if (!moved) step();
    moved = true;
    const others = [...pointers].filter(([id]) => id !== event.pointerId);
    if (corner === event.pointerId) {
      const far = ([x, y]) => Math.hypot(x - crop.x, y - crop.y);
      change({ side: (crop.side * far(to)) / Math.max(1e-6, far(from)) });
    } else if (others.length) {
      change(pinched(crop, others[0][1], from, to));
    } else {
      change({ x: crop.x + to[0] - from[0], y: crop.y + to[1] - from[1] });
    }
    pointers.set(event.pointerId, to);
  });

  for (const end of ['pointerup', 'pointercancel', 'lostpointercapture']) {
    field.addEventListener(end, (event) => {
      pointers.delete(event.pointerId);
      if (corner === event.pointerId) corner = null;
    });
  }

  field.addEventListener(
    'wheel',
    (event) => {
      event.preventDefault();
      changed('wheel', { side: crop.side * Math.exp(event.deltaY * 0.0012) });
    },
    { passive: false },
  );

  // ---- keys ---------------------------------------------------------------------------------

  field.addEventListener('keydown', (event) => {
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

  dialog.addEventListener('keydown', (event) => {
    event.stopPropagation(); // the page behind has keys of its own
    if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === 'z') {
      event.preventDefault();
      back();
    }
  });

  // ---- by the eyes: two markers, clicked, dragged or moved by keys ----------------------------

  /** Show the markers of the eyes, or (null) the square alone. */
  function mode(next) {
    marks = next;
    eyesButton.setAttribute('aria-pressed', Boolean(marks));
    flag(dialog, 'data-eyes', marks);
    hint.textContent = marks ? HINTS.eyes : HINTS.square;
  }

  /** Take the crop whose eyes were marked. */
  function followEyes() {
    const next = cropOfEyes(marks, props.value.eyes);
    if (next) change(next);
    else draw();
  }

  eyesButton.addEventListener('click', (event) => {
    step();
    placed = 0;
    mode(marks ? null : eyesOf(crop, props.value.eyes));
    draw();
    if (marks && !event.detail) eyes[0].focus(); // pressed by a key: arrows go on from here
  });

  function placeEye(event) {
    const at = inPhoto(event);
    const away = marks.map((mark) => Math.hypot(mark[0] - at[0], mark[1] - at[1]));
    const which = placed < 2 ? placed : away.indexOf(Math.min(...away));
    step();
    marks[which] = at;
    placed += 1;
    if (placed === 1)
      draw(); // the other one is still to come
    else followEyes();
  }

  eyes.forEach((eye, i) => {
    eye.addEventListener('pointerdown', (event) => {
      event.stopPropagation();
      eye.setPointerCapture(event.pointerId);
      moved = false;
    });
    eye.addEventListener('pointermove', (event) => {
      if (!eye.hasPointerCapture(event.pointerId)) return;
      if (!moved) step(); // a tap alone is none
      moved = true;
      placed = 2;
      marks[i] = inPhoto(event);
      followEyes();
    });
    eye.addEventListener('keydown', (event) => {
      const by = ARROWS[event.key];
      if (!by) return;
      event.preventDefault();
      event.stopPropagation();
      step(`eye ${i}`);
      placed = 2;
      marks[i] = marks[i].map((value, axis) => value + by[axis] * (event.shiftKey ? 0.02 : 0.004));
      followEyes();
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
    crop = { ...value.crop };
    past = [];
    placed = 0;
    mode(null);
    found.replaceChildren(
      ...value.faces.map((face, i) => {
        const button = makeButton('face', '', () => changed('', face), {
          title: 'Use this face',
          ariaLabel: `Face ${i + 1}`,
        });
        const canvas = make('canvas');
        canvas.width = canvas.height = 96;
        picture(canvas, face);
        button.append(canvas);
        return button;
      }),
    );
    found.hidden = value.faces.length < 2;
    use.disabled = false;
    dialog.dataset.state = 'ready';
    if (!dialog.open) dialog.showModal();
    lay();
    field.focus({ preventScroll: true });
    if (!value.faces.length) {
      // nothing was found: eyes are what is wanted
      mode(eyesOf(crop, props.value.eyes));
      draw();
      eyes[0].focus({ preventScroll: true });
    }
  }

  const shut = () => dialog.close(); // of one that is not open nothing comes

  use.addEventListener('click', () => {
    use.disabled = true;
    hint.textContent = 'Cutting out…';
    trigger('use', { crop, face: props.value.face });
  });
  for (const name of ['.close', '.cancel']) find(name).addEventListener('click', shut);
  dialog.addEventListener('close', () => {
    crop = null;
    dialog.dataset.state = 'empty';
    whole.removeAttribute('src');
  });

  // 'ended' comes from the page when 'use' has ended, well or badly; what went wrong is said there.
  dialog.addEventListener('ended', shut);
  watch('value', load);
  load();
}
