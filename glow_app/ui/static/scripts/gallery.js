// A wall of drawn faces, one of which can be chosen and used elsewhere. The value: Sheet.value in
// tabs/sample.py, or {working: true, event, job}, or null. Events to Python: pair {index,
// to}, edit, journey and near {index}, save {}.

import { make, makeButton, on, within } from './dom.js';
import { LongWork } from './long_work.js';
import { cover, cutSheet, setSide } from './pictures.js';

const DONE = {
  a: 'This face is photo A now, on every tab.',
  b: 'This face is photo B now, on every tab.',
  edit: 'This face waits on the Edit tab.',
  journey: 'This face has joined the journey.',
};

/** How many columns n faces have: `asked` where the rows mean something, or what looks right. */
export function columnsOf(n, asked, onPhone) {
  if (asked && (!onPhone || asked <= 8)) return asked;
  return onPhone ? 4 : [6, 8, 7, 5, 4].find((columns) => n % columns === 0) || 6;
}

export default function gallery(host) {
  const { element, trigger, props, watch } = host;
  const { find, findAll, parts } = within(element);
  const work = new LongWork(host);
  const { gallery, tiles, who, status, save } = parts;
  const uses = findAll('.use');
  const picture = find('.chosen > canvas');
  const PHONE = matchMedia('(max-width: 720px)');
  let shown = null; // the value that the tiles came with
  let chosen = -1;
  let newest = 0;
  let asked = null; // what the chosen face is being used for
  let making = null; // the event that draws faces now
  let statusOf = null; // the event whose words stand in the status

  async function load() {
    const value = props.value;
    if (!value) return;
    if (value.working) {
      gallery.dataset.working = '';
      making = value.event;
      work.begin(making, 'Drawing', value.job);
      return;
    }
    const turn = ++newest;
    const cut = await cutSheet(value);
    if (turn !== newest) return;
    shown = value;
    tiles.replaceChildren(...cut.map(tile));
    find('.title').textContent = value.title;
    endMaking();
    Object.assign(gallery.dataset, { state: 'ready', rev: value.rev });
    save.disabled = false;
    layOut();
    choose(0);
  }

  /** No faces are being drawn any more. */
  function endMaking() {
    delete gallery.dataset.working;
    work.end(making);
    making = null;
  }

  function layOut() {
    if (!shown) return;
    const columns = columnsOf(shown.n, shown.columns, PHONE.matches);
    tiles.style.setProperty('--columns', columns);
    tiles.classList.toggle('dense', PHONE.matches && columns > 4); // no room for words
  }
  on(PHONE, 'change', layOut);

  function tile(bitmap, i) {
    const canvas = make('canvas');
    setSide(canvas, 2 * bitmap.width);
    cover(canvas.getContext('2d', { alpha: false }), [bitmap, 1]);
    bitmap.close();
    const [about, caption] = [shown.about[i], shown.captions[i]];
    // Whoever speaks to the computer says what stands there, so it must be part of the name.
    const ariaLabel = about.includes(caption) ? about : `${caption}: ${about}`;
    const more = { role: 'option', tabIndex: -1, ariaLabel };
    const button = makeButton('tile', '', () => choose(i, true), more);
    button.append(canvas, make('span', {}, caption));
    return button;
  }

  function choose(i, focus = false) {
    chosen = i;
    [...tiles.children].forEach((button, j) => {
      button.ariaSelected = j === i;
      button.tabIndex = j === i ? 0 : -1;
    });
    if (focus) tiles.children[i].focus();
    const { width, height } = picture;
    picture.getContext('2d').drawImage(tiles.children[i].firstElementChild, 0, 0, width, height);
    picture.ariaLabel = `The chosen face: ${shown.about[i]}`;
    who.textContent = shown.about[i];
    status.textContent = '';
    for (const button of uses)
      button.disabled = button.classList.contains('near') && !shown.seeded[i];
  }

  on(tiles, 'keydown', (event) => {
    if (!shown || event.ctrlKey || event.metaKey || event.altKey) return;
    const columns = getComputedStyle(tiles).gridTemplateColumns.split(' ').length;
    const to = {
      ArrowRight: chosen + 1,
      ArrowLeft: chosen - 1,
      ArrowDown: chosen + columns,
      ArrowUp: chosen - columns,
      Home: 0,
      End: shown.n - 1,
    }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    if (to >= 0 && to < shown.n) choose(to, true);
  });

  function begin(event, text) {
    statusOf = event;
    status.textContent = text;
  }
  on(uses, 'click', ({ currentTarget }) => {
    const { event, to } = currentTarget.dataset;
    asked = to || event;
    if (event !== 'near') begin(event, 'Just a moment…');
    trigger(event, { index: chosen, to });
  });
  on(save, 'click', () => {
    begin('save', 'Preparing the sheet…');
    trigger('save', {});
  });

  // 'ended' comes from the page when an event has ended, 'used' when the face went elsewhere.
  on(gallery, 'ended', ({ detail }) => {
    if (detail === making) endMaking();
    if (detail === statusOf) status.textContent = '';
  });
  on(gallery, 'used', ({ detail }) => {
    if (detail === statusOf) status.textContent = DONE[asked] || '';
  });

  watch('value', load);
  load();
}
