// What the lessons share; each lesson's own script follows. kit.js and board.js come first.

const lesson = find('.lesson');

// ---- numbers ------------------------------------------------------------------------------

const fixed = (value, digits = 3) => value.toFixed(digits).replace('-', '−');
const largest = (values) => values.reduce((a, b) => Math.max(a, b), -Infinity);
const smallest = (values) => values.reduce((a, b) => Math.min(a, b), Infinity);

/** Seconds as people say them. */
function duration(seconds) {
  if (seconds >= 1) return `${seconds.toFixed(1)} s`;
  return seconds >= 1e-3
    ? `${(1e3 * seconds).toFixed(seconds < 0.01 ? 1 : 0)} ms`
    : `${(1e6 * seconds).toFixed(0)} µs`;
}

// ---- asking Python ------------------------------------------------------------------------

/** Ask the server; an error becomes the lesson's one sentence and null. */
async function ask(name, question) {
  let answer = null;
  try {
    answer = await server[name](question);
  } catch {
    /* said below */
  }
  const sentence = answer ? answer.error : 'The server did not answer: is it still running?';
  say(sentence || '');
  return sentence ? null : unpack(answer);
}
function say(sentence) {
  const place = find('.refusal');
  place.textContent = sentence;
  place.hidden = !sentence;
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

// The path above a listing shows the whole file, at the same line.
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

/** Set a readout: every element of class `fact-name`. */
function fact(name, words) {
  for (const place of findAll(`.fact-${name}`)) place.textContent = words;
}
