// What the lessons share.

import { minus } from '../charts.js';
import { on, within } from '../dom.js';
import { unpack } from '../requests.js';

/** A number as text, with a true minus sign. */
export const fixed = (value, digits = 3) => minus(value.toFixed(digits));

/** A whole number with its thousands apart. */
export const thousands = (value) => minus(Math.round(value).toLocaleString('en'));

/** Seconds as people say them. */
export function duration(seconds) {
  if (seconds >= 1) return `${seconds.toFixed(1)} s`;
  return seconds >= 1e-3
    ? `${(1e3 * seconds).toFixed(seconds < 0.01 ? 1 : 0)} ms`
    : `${(1e6 * seconds).toFixed(0)} µs`;
}

/** The parts of the lesson in a component; the paths above its listings show whole files. */
export function openLesson({ element, server, props, watch }) {
  const { find, findAll, parts } = within(element);
  const { lesson, refusal } = parts;

  /** Ask the server; an error becomes the lesson's one sentence and null. */
  async function ask(name, question = {}) {
    const answer = await server[name](question).catch(() => null);
    const sentence = answer ? answer.error : 'The server did not answer: is it still running?';
    say(sentence || '');
    return sentence ? null : unpack(answer);
  }

  function say(sentence) {
    refusal.textContent = sentence;
    refusal.hidden = !sentence;
  }

  /** Set readouts: every element of class `fact-NAME` gets the words of that name. */
  function setFacts(words) {
    for (const [name, text] of Object.entries(words))
      for (const place of findAll(`.fact-${name}`)) place.textContent = text;
  }

  /** Begin a lesson only when somebody comes near it: a long page costs nothing unseen. */
  function whenSeen(begin) {
    const look = (entries, observer) => {
      if (!entries.some((entry) => entry.isIntersecting)) return;
      observer.disconnect();
      begin();
    };
    new IntersectionObserver(look, { rootMargin: '300px' }).observe(lesson);
  }

  /** Call `take(value)` with the component's value, now and later, where there is one. */
  function onValue(take) {
    const look = () => props.value && take(unpack(props.value));
    watch('value', look);
    look();
  }

  on(findAll('.code .link'), 'click', async ({ currentTarget: link }) => {
    const found = await ask('source_file', { path: link.dataset.path });
    if (!found) return;
    const block = link.closest('figure').querySelector('pre');
    block.firstElementChild.textContent = found.text;
    const lines = found.text.split('\n').length;
    block.scrollTop = (block.scrollHeight * (link.dataset.line - 1)) / lines;
  });
  return { lesson, find, findAll, parts, ask, say, setFacts, whenSeen, onValue };
}
