// Finding and making elements.

/** `find` and `findAll` among the descendants of an element. */
export const within = (element) => ({
  find: (selector) => element.querySelector(selector),
  findAll: (selector) => [...element.querySelectorAll(selector)],
});

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
