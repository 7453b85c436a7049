// Finding and making elements.

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

/** Call `act(event)` when one of the elements (or one element) gets the event. */
export function on(elements, type, act) {
  for (const element of [elements].flat()) element.addEventListener(type, act);
}

/** Call `take(files)` with what is chosen in a file input; the same file can be chosen again. */
export function onFiles(input, take) {
  input.addEventListener('change', () => {
    const files = [...input.files];
    input.value = '';
    if (files.length) take(files);
  });
}

/**
 * Call `act(x, y, event)` while an element is pressed with the main button or a finger and the
 * pointer moves: x and y are pixels from its top left.
 */
export function onDrag(element, act) {
  const follow = (event) => {
    if (!(event.buttons & 1)) return;
    const box = element.getBoundingClientRect();
    act(event.clientX - box.left, event.clientY - box.top, event);
  };
  element.addEventListener('pointerdown', (event) => {
    element.setPointerCapture(event.pointerId);
    follow(event);
  });
  element.addEventListener('pointermove', follow);
}

/** An element with a class and a text. */
export function make(tag, className = '', text = '') {
  const node = document.createElement(tag);
  if (className) node.className = className;
  node.textContent = text;
  return node;
}

/** A button that does `click`; `more` are properties of it. */
export function makeButton(className, text, click, more = {}) {
  const button = Object.assign(make('button', className, text), { type: 'button', ...more });
  button.addEventListener('click', click);
  return button;
}

/** Enable or disable buttons and inputs. */
export function setDisabled(controls, disabled) {
  for (const control of controls) control.disabled = disabled;
}

/** Set or remove an attribute whose presence alone matters. */
export function flag(element, name, on, value = '') {
  if (on) element.setAttribute(name, value);
  else element.removeAttribute(name);
}
