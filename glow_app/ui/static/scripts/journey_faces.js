// The faces of a journey in their order. The value: journey_faces_value in
// components/faces.py. Events to Python: photos {paths, job}, draw {seed}, pair {}, arrange
// {order: [ids]}, crop {face: id}.

import { make, makeButton, on, onDrop, onFiles, within } from './dom.js';
import { LongWork } from './long_work.js';

const ICONS = {
  earlier: 'M10 3L5 8l5 5',
  later: 'M6 3l5 5-5 5',
  remove: 'M4 4l8 8M12 4l-8 8',
  crop: 'M4.5 1.5v10h10M1.5 4.5h10v10',
};

export default function journeyFaces(host) {
  const { element, trigger, props, watch, limits } = host;
  const { find, parts } = within(element);
  const longWork = new LongWork(host);
  const { faceList: area, row: list, note, count, random, pair } = parts;
  const fileInput = find('.upload input');

  const tiles = new Map(); // by id: they stay, so that focus comes back to their buttons
  let held = null; // the id that is dragged
  let running = null; // the event that is under way

  const faces = () => props.value?.faces ?? [];
  const most = () => props.value?.most ?? limits.faces;
  const order = () => faces().map((face) => face.id);

  function show() {
    const focused = element.contains(document.activeElement) ? document.activeElement.dataset : {};
    const have = faces().length;
    Object.assign(area.dataset, { count: have, rev: props.value?.rev ?? 0 });
    count.textContent = have ? `${have} of ${most()}` : '';
    if (!running) note.textContent = props.value?.note || '';
    for (const id of tiles.keys()) if (!order().includes(id)) tiles.delete(id);
    const items = faces().map(updatedTile);
    const stand = items.length === list.children.length;
    if (!stand || items.some((item, i) => item !== list.children[i]))
      list.replaceChildren(...items);
    parts.upload.classList.toggle('off', have >= most());
    fileInput.disabled = random.disabled = have >= most();
    pair.disabled = have > most() - 2;
    if (!focused.act) return;
    const ofFace = `[data-id="${focused.id}"]:not(:disabled)`;
    (find(`[data-act=${focused.act}]${ofFace}`) || find(ofFace) || fileInput).focus();
  }

  /** The tile of a face, as it is at place i. */
  function updatedTile(face, i) {
    if (!tiles.has(face.id)) tiles.set(face.id, tile(face.id));
    const item = tiles.get(face.id);
    const picture = item.querySelector('img');
    Object.assign(picture, { src: face.src, alt: `Face ${i + 1}: ${face.label.toLowerCase()}` });
    item.querySelector('.place').textContent = i + 1;
    item.classList.remove('held', 'before', 'after');
    for (const button of item.querySelectorAll('button')) {
      const { act } = button.dataset;
      button.ariaLabel = `${button.title} ${act === 'crop' ? 'of ' : ''}face ${i + 1}`;
      const last = i === faces().length - 1;
      button.disabled = (act === 'earlier' && i === 0) || (act === 'later' && last);
      button.hidden = act === 'crop' && !face.photo;
    }
    return item;
  }

  function tile(id) {
    const tool = (act, title, look = 'btn') => {
      const button = makeButton(look, '', () => use(id, act), { title });
      Object.assign(button.dataset, { act, id });
      button.innerHTML = `<svg viewBox="0 0 16 16" aria-hidden="true"><path d="${ICONS[act]}"/></svg>`;
      return button;
    };
    const tools = make(
      'div',
      { className: 'tools' },
      tool('earlier', 'Move earlier'),
      tool('remove', 'Remove'),
      tool('later', 'Move later'),
    );
    const place = make('span', { className: 'place' });
    const crop = tool('crop', 'Change the crop', 'recrop');
    const item = make('li', { draggable: true }, make('img'), place, crop, tools);
    item.dataset.face = id;
    on(item, 'dragstart', ({ dataTransfer }) => {
      held = id;
      dataTransfer.effectAllowed = 'move';
      dataTransfer.setData('text/plain', place.textContent);
      item.classList.add('held');
    });
    on(item, 'dragend', () => {
      held = null;
      item.classList.remove('held');
    });
    on(item, 'dragover', (event) => {
      if (held === null || held === id) return;
      event.preventDefault();
      const { left, width } = item.getBoundingClientRect(); // whatever of it the pointer is over
      const after = event.clientX > left + width / 2;
      item.classList.toggle('after', after);
      item.classList.toggle('before', !after);
    });
    on(item, 'dragleave', () => item.classList.remove('before', 'after'));
    on(item, 'drop', (event) => {
      if (held === null || held === id) return;
      event.preventDefault();
      event.stopPropagation();
      const rest = order().filter((other) => other !== held);
      const at = rest.indexOf(id) + (item.classList.contains('after') ? 1 : 0);
      arrange(rest.toSpliced(at, 0, held));
    });
    return item;
  }

  function use(id, act) {
    if (act === 'crop') return ask('crop', { face: id });
    const at = order().indexOf(id);
    const rest = order().toSpliced(at, 1);
    arrange(act === 'remove' ? rest : rest.toSpliced(act === 'earlier' ? at - 1 : at + 1, 0, id));
  }

  const arrange = (ids) => ask('arrange', { order: ids });

  /** Send an event to Python, unless another is under way. */
  function ask(event, more = {}, text = '') {
    if (running) return;
    beginWork(event, text);
    trigger(event, more);
  }

  function beginWork(event, text) {
    running = event;
    area.ariaBusy = 'true';
    if (text) note.textContent = text;
  }

  function endWork() {
    running = null;
    area.ariaBusy = null;
    longWork.end('photos');
    show();
  }

  async function send(files) {
    if (!files.length || running) return;
    const room = most() - faces().length;
    if (files.length > room) {
      const fit = room === 1 ? 'face fits' : 'faces fit';
      return trigger('error', `Only ${room} more ${fit} on this journey.`);
    }
    beginWork('photos', 'Finding faces…');
    if (!(await longWork.send('photos', files))) endWork();
  }

  onFiles(fileInput, send);
  onDrop(area, send, () => held === null);
  on(random, 'click', () => ask('draw', { seed: Math.floor(Math.random() * 1e6) }, 'Drawing…'));
  on(pair, 'click', () => ask('pair'));

  // 'ended' comes from the page when an event has ended, well or badly.
  on(area, 'ended', ({ detail }) => {
    if (detail === running) endWork();
  });
  watch('value', show);
  show();
}
