// Finding, making and listening to elements.

/** Where arrow keys lead, to the right and downwards. */
export const ARROWS = {
  ArrowLeft: [-1, 0],
  ArrowRight: [1, 0],
  ArrowUp: [0, -1],
  ArrowDown: [0, 1],
};

/**
 * `find` and `findAll` among the descendants of an element, and `parts`, from which those with a
 * class can be taken by its name: `const { play, stopFull } = parts`.
 */
export function within(element) {
  const find = (selector) => element.querySelector(selector);
  const findAll = (selector) => [...element.querySelectorAll(selector)];
  const dashed = (name) => name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
  const parts = new Proxy({}, { get: (_, name) => find(`.${dashed(name)}`) });
  return { find, findAll, parts };
}

/** Call `act(event)` when one of the elements (or one element) gets an event of these types. */
export function on(elements, types, act) {
  for (const element of [elements].flat())
    for (const type of types.split(' ')) element.addEventListener(type, act);
}

/** Call `take(files)` with what is chosen in a file input; the same file can be chosen again. */
export function onFiles(input, take) {
  on(input, 'change', () => {
    const files = [...input.files];
    input.value = '';
    if (files.length) take(files);
  });
}

/** Call `take(files)` with what is dropped on an element; `may()`: it takes what is dragged now. */
export function onDrop(element, take, may = () => true) {
  const over = (now) => element.classList.toggle('over', now);
  on(element, 'dragover', (event) => {
    event.preventDefault();
    if (may()) over(true);
  });
  on(element, 'dragleave', ({ relatedTarget }) => {
    if (!element.contains(relatedTarget)) over(false);
  });
  on(element, 'drop', (event) => {
    event.preventDefault();
    over(false);
    if (may()) take(event.dataTransfer.files);
  });
}

/**
 * Call `act(x, y, event)` while an element is pressed with the main button or a finger and the
 * pointer moves: x and y are pixels from its top left.
 */
export function onDrag(element, act) {
  on(element, 'pointerdown', (event) => element.setPointerCapture(event.pointerId));
  on(element, 'pointerdown pointermove', (event) => {
    if (!(event.buttons & 1)) return;
    const box = element.getBoundingClientRect();
    act(event.clientX - box.left, event.clientY - box.top, event);
  });
}

/** An element with these properties and children. */
export function make(tag, properties = {}, ...children) {
  const node = Object.assign(document.createElement(tag), properties);
  node.append(...children);
  return node;
}

/** A button that does `onclick`. */
export const makeButton = (className, text, onclick, more = {}) =>
  make('button', { type: 'button', className, onclick, ...more }, text);

/** Enable or disable buttons and inputs. */
export function setDisabled(controls, disabled) {
  for (const control of controls) control.disabled = disabled;
}

/** A function that has `paint` called before the next frame, once however often it is asked. */
export function beforeNextFrame(paint) {
  let asked = 0;
  const frame = () => {
    asked = 0;
    paint();
  };
  return () => (asked ||= requestAnimationFrame(frame));
}
