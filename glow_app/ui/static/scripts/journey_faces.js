// The faces of a journey in their order. The value: journey_faces_value in
// components/faces.py. Events to Python: photos {paths, job}, draw {seed}, pair {}, arrange
// {order: [ids]}, crop {face: id}.

import { flag, make, makeButton, onFiles, within } from './dom.js';
import { LongWork, newJob } from './long_work.js';

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
  const { faceList: area, row: list, note, count } = parts;
  const fileInput = find('.upload input');

  const tiles = new Map(); // by id: they stay, so that focus comes back to their buttons
  let held = null; // the id that is dragged

  const faces = () => (props.value ? props.value.faces : []);
  const order = () => faces().map((face) => face.id);
  const busy = () => running !== null;
  let running = null; // the event that is under way

  function show() {
    const focused = element.contains(document.activeElement) ? document.activeElement.dataset : {};
    const most = props.value ? props.value.most : limits.faces;
    area.dataset.count = faces().length;
    area.dataset.rev = props.value ? props.value.rev : 0;
    count.textContent = faces().length ? `${faces().length} of ${most}` : '';
    if (!busy()) note.textContent = (props.value && props.value.note) || '';
    for (const id of tiles.keys()) if (!order().includes(id)) tiles.delete(id);
    const items = faces().map(placed);
    if (
      items.some((item, i) => item !== list.children[i]) ||
      items.length !== list.children.length
    )
      list.replaceChildren(...items);
    const full = faces().length >= most;
    find('.upload').classList.toggle('off', full);
    fileInput.disabled = find('.random').disabled = full;
    find('.pair').disabled = faces().length > most - 2;
    if (focused.act) {
      const again = list.querySelector(
        `[data-act="${focused.act}"][data-id="${focused.id}"]:not(:disabled)`,
      );
      (
        again ||
        list.querySelector(`[data-id="${focused.id}"]:not(:disabled)`) ||
        fileInput
      ).focus();
    }
  }

  /** The tile of a face, as it is at place i. */
  function placed(face, i) {
    if (!tiles.has(face.id)) tiles.set(face.id, tile(face.id));
    const item = tiles.get(face.id);
    const picture = item.querySelector('img');
    Object.assign(picture, { src: face.src, alt: `Face ${i + 1}: ${face.label.toLowerCase()}` });
    item.querySelector('.place').textContent = i + 1;
    item.classList.remove('held', 'before', 'after');
    for (const button of item.querySelectorAll('button')) {
      const { act } = button.dataset;
      button.ariaLabel = `${button.title} ${act === 'crop' ? 'of ' : ''}face ${i + 1}`;
      button.disabled =
        (act === 'earlier' && i === 0) || (act === 'later' && i === faces().length - 1);
      button.hidden = act === 'crop' && !face.photo;
    }
    return item;
  }

  function tile(id) {
    const item = make('li');
    item.draggable = true;
    item.dataset.face = id;
    const tools = make('div', 'tools');
    const tool = (act, title, click) => {
      const look = act === 'crop' ? 'recrop' : 'btn';
      const button = makeButton(look, '', () => click(id, act), { title });
      Object.assign(button.dataset, { act, id });
      button.innerHTML = `<svg viewBox="0 0 16 16" aria-hidden="true"><path d="${ICONS[act]}"/></svg>`;
      return button;
    };
    tools.append(
      tool('earlier', 'Move earlier', move),
      tool('remove', 'Remove', move),
      tool('later', 'Move later', move),
    );
    const crop = tool('crop', 'Change the crop', recrop);
    item.append(make('img'), make('span', 'place'), crop, tools);
    item.addEventListener('dragstart', (event) => {
      held = id;
      event.dataTransfer.effectAllowed = 'move';
      event.dataTransfer.setData('text/plain', item.querySelector('.place').textContent);
      item.classList.add('held');
    });
    item.addEventListener('dragend', () => {
      held = null;
      item.classList.remove('held');
    });
    item.addEventListener('dragover', (event) => {
      if (held === null || held === id) return;
      event.preventDefault();
      const { left, width } = item.getBoundingClientRect(); // whatever of it the pointer is over
      const after = event.clientX > left + width / 2;
      item.classList.toggle('after', after);
      item.classList.toggle('before', !after);
    });
    item.addEventListener('dragleave', () => item.classList.remove('before', 'after'));
    item.addEventListener('drop', (event) => {
      if (held === null || held === id) return;
      event.preventDefault();
      event.stopPropagation();
      const rest = order().filter((other) => other !== held);
      const at = rest.indexOf(id) + (item.classList.contains('after') ? 1 : 0);
      arrange([...rest.slice(0, at), held, ...rest.slice(at)]);
    });
    return item;
  }

  function move(id, act) {
    const ids = order();
    const at = ids.indexOf(id);
    ids.splice(at, 1);
    if (act !== 'remove') ids.splice(act === 'earlier' ? at - 1 : at + 1, 0, id);
    arrange(ids);
  }

  const recrop = (id) => ask('crop', { face: id }); // for the editor of a photo's crop
  const arrange = (ids) => ask('arrange', { order: ids });

  /** Send an event to Python, unless another is under way. */
  function ask(event, more = {}, text = '') {
    if (busy()) return;
    work(event, text);
    trigger(event, more);
  }

  function work(event, text = '') {
    running = event;
    flag(area, 'aria-busy', true, 'true');
    if (text) note.textContent = text;
  }

  function rest() {
    running = null;
    flag(area, 'aria-busy', false);
    longWork.end('photos');
    show();
  }

  async function send(files) {
    if (!files.length || busy()) return;
    const room = (props.value ? props.value.most : limits.faces) - faces().length;
    if (files.length > room)
      return trigger(
        'error',
        `Only ${room} more ${room === 1 ? 'face fits' : 'faces fit'} on this journey.`,
      );
    work('photos', 'Finding faces…');
    const paths = await longWork.uploadAll('photos', files);
    if (!paths.length) return rest();
    const job = newJob();
    longWork.begin('photos', 'Finding faces', job);
    trigger('photos', { paths, job });
  }

  onFiles(fileInput, send);
  area.addEventListener('dragover', (event) => {
    event.preventDefault();
    if (held === null) area.classList.add('over');
  });
  area.addEventListener('dragleave', (event) => {
    if (!area.contains(event.relatedTarget)) area.classList.remove('over');
  });
  area.addEventListener('drop', (event) => {
    event.preventDefault();
    area.classList.remove('over');
    if (held === null) send([...event.dataTransfer.files]);
  });
  find('.random').addEventListener('click', () =>
    ask('draw', { seed: Math.floor(Math.random() * 1e6) }, 'Drawing…'),
  );
  find('.pair').addEventListener('click', () => ask('pair'));

  // 'ended' comes from the page when an event has ended, well or badly.
  area.addEventListener('ended', ({ detail }) => {
    if (detail === running) rest();
  });
  watch('value', show);
  show();
}
