// What the lessons share.

import { minus } from '../charts.js';
import { within } from '../dom.js';
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
export function openLesson({ element, server }) {
  const { find, findAll, parts } = within(element);
  const lesson = find('.lesson');

  /** Ask the server; an error becomes the lesson's one sentence and null. */
  async function ask(name, question) {
    const answer = await server[name](question).catch(() => null);
    const sentence = answer ? answer.error : 'The server did not answer: is it still running?';
    say(sentence || '');
    return sentence ? null : unpack(answer);
  }

  function say(sentence) {
    const place = find('.refusal');
    place.textContent = sentence;
    place.hidden = !sentence;
  }

  /** Set readouts: every element of class `fact-NAME` gets the words of that name. */
  function tellFacts(words) {
    for (const [name, text] of Object.entries(words))
      for (const place of findAll(`.fact-${name}`)) place.textContent = text;
  }

  /** Begin a lesson only when somebody comes near it: a long page costs nothing unseen. */
  function whenSeen(begin) {
    new IntersectionObserver(
      (entries, observer) => {
        if (!entries.some((entry) => entry.isIntersecting)) return;
        observer.disconnect();
        begin();
      },
      { rootMargin: '300px' },
    ).observe(lesson);
  }

  for (const button of findAll('.code .link')) {
    button.addEventListener('click', async () => {
      const found = await ask('source_file', { path: button.dataset.path });
      if (!found) return;
      const block = button.closest('figure').querySelector('pre');
      block.firstElementChild.textContent = found.text;
      block.scrollTop =
        (block.scrollHeight * (button.dataset.line - 1)) / found.text.split('\n').length;
    });
  }
  return { lesson, find, findAll, parts, ask, say, tellFacts, whenSeen };
}
