// One face of the page: choose a photo (file, drop, paste, camera) or draw a face by seed.
// Events to Python: photo {path}, draw {seed}, crop {}, remove {}. The value: card_value in
// components/faces.py.

import { flag, makeButton, make, onFiles, within } from './dom.js';
import { refusal } from './long_work.js';

export default function card(host) {
  const { element, trigger, props, upload, watch, limits } = host;
  const { find, parts } = within(element);
  const { card, crop, seen, see, live, busy, camera, notes } = parts;
  const { remove: removeButton, recrop: recropButton } = parts;
  const [fileInput, seedInput] = ['.upload input', '.seed input'].map(find);

  let preview = null; // object URL of a picture on its way to the server
  let seedTyped = false; // the seed was typed since the last face was drawn
  let stream = null; // the running camera
  let running = 0; // events under way, each with its upload

  // ---- what the server said -----------------------------------------------------------------

  function show() {
    const value = props.value || null;
    if (!running) setBusy(null);
    card.dataset.kind = value ? value.kind : 'empty';
    crop.hidden = !value;
    if (value) {
      seen.src = value.seen;
      seen.alt = `Photo ${card.dataset.name} as the model sees it, in the mean shape: ${value.source.toLowerCase()}`;
      crop.src = value.full || value.plain;
      crop.alt = `Photo ${card.dataset.name}: ${value.source.toLowerCase()}`;
      find('.see-size').textContent = `${value.size} × ${value.size}`;
    } else {
      crop.removeAttribute('src');
      seen.removeAttribute('src');
    }
    see.hidden = !(value && value.full);
    look(false);
    removeButton.hidden = !value;
    recropButton.hidden = !value || value.recrop === null;
    find('.source').textContent = value ? value.source : '';
    find('.none').hidden = !!value;
    find('.bits').hidden = find('.trip').hidden = !value;
    if (value) {
      find('.bits b').textContent = value.bits;
      find('.bits span').textContent = value.phrase;
      find('.bits').dataset.tone = value.tone;
      find('.trip').textContent = value.roundtrip;
      find('.trip').dataset.exact = value.exact;
    }
    const seed = value && value.seed !== null ? value.seed : '';
    if (seed !== '' || !seedTyped) {
      // a photo has no seed, but one being typed stays
      seedInput.value = seed;
      seedTyped = false;
    }
    notes.replaceChildren(...(value ? value.notes : []).map((text) => make('li', '', text)));
    // The first note says what is amiss.
    if (value && value.recrop) notes.firstChild?.append(makeButton('btn', value.recrop, recrop));
  }

  /** Show what the model sees in place of what the photo has. */
  function look(on) {
    see.setAttribute('aria-pressed', on);
    seen.hidden = !on;
  }
  see.addEventListener('click', () => look(seen.hidden));

  function setBusy(text) {
    flag(card, 'aria-busy', text, 'true');
    busy.hidden = !text;
    if (text) find('.busy-text').textContent = text;
    if (!text && preview) {
      URL.revokeObjectURL(preview);
      preview = null;
    }
  }

  const fail = (sentence) => {
    show();
    trigger('error', sentence);
  };
  function begin(text) {
    running += 1;
    setBusy(text);
  }

  /** One event has ended; a photo that was dropped on top of it may still be under way. */
  function end() {
    running = Math.max(0, running - 1);
    show();
  }

  // ---- a photo ------------------------------------------------------------------------------

  async function send(file) {
    stopCamera();
    const refused = refusal(file, limits.upload_mb);
    if (refused) return fail(refused);
    begin('Finding the face…');
    look(false);
    preview = URL.createObjectURL(file);
    crop.src = preview; // at once, before the server answers; formats the browser can't show stay hidden
    crop.hidden = false;
    try {
      const { path } = await upload(file);
      trigger('photo', { path });
    } catch {
      end(); // Gradio has shown its own message about the upload
    }
  }

  crop.addEventListener('error', () => {
    crop.hidden = true;
  });
  onFiles(fileInput, ([file]) => send(file));
  find('.well').addEventListener('click', (event) => {
    if (!event.target.closest('button, video')) fileInput.click();
  });

  // ---- drag and drop: the whole card is the target ------------------------------------------

  let inside = 0; // enter and leave also fire for every child
  card.addEventListener('dragenter', () => {
    inside += 1;
    card.classList.add('over');
  });
  card.addEventListener('dragleave', () => {
    inside -= 1;
    if (inside <= 0) card.classList.remove('over');
  });
  card.addEventListener('dragover', (event) => event.preventDefault());
  card.addEventListener('drop', (event) => {
    event.preventDefault();
    inside = 0;
    card.classList.remove('over');
    const file = event.dataTransfer.files[0];
    if (file) send(file);
    else fail('Only a picture file can be dropped here, not a link: save the picture first.');
  });

  // ---- paste --------------------------------------------------------------------------------

  /** The card that a paste belongs to: focused, else under the mouse, else one without a photo. */
  function pasteTarget() {
    const cards = [...document.querySelectorAll('.card')].filter((c) => c.offsetParent);
    return (
      cards.find((c) => c.matches(':focus-within')) ||
      cards.find((c) => c.matches(':hover')) ||
      cards.find((c) => c.dataset.kind !== 'photo') ||
      cards[0]
    );
  }

  function onPaste(event) {
    if (!card.isConnected) return document.removeEventListener('paste', onPaste);
    const file = [...event.clipboardData.files].find((f) => f.type.startsWith('image/'));
    if (file && pasteTarget() === card) {
      event.preventDefault();
      send(file);
    }
  }
  document.addEventListener('paste', onPaste);

  find('.paste').addEventListener('click', async () => {
    try {
      for (const item of await navigator.clipboard.read()) {
        const type = item.types.find((t) => t.startsWith('image/'));
        if (type) return send(new File([await item.getType(type)], 'pasted.png', { type }));
      }
      fail('There is no picture on the clipboard: copy one first.');
    } catch {
      fail('The browser did not allow reading the clipboard: press Ctrl+V here instead.');
    }
  });

  // ---- camera -------------------------------------------------------------------------------

  find('.webcam').addEventListener('click', async () => {
    if (stream) return stopCamera();
    if (!navigator.mediaDevices) return fail('The camera needs a page on this computer or https.');
    try {
      const wanted = { facingMode: 'user', width: { ideal: 1280 }, height: { ideal: 960 } };
      stream = await navigator.mediaDevices.getUserMedia({ video: wanted });
    } catch (error) {
      return fail(
        error.name === 'NotFoundError'
          ? 'No camera was found.'
          : 'The browser did not allow the camera.',
      );
    }
    live.srcObject = stream;
    live.hidden = false;
    card.classList.add('filming');
    await live.play(); // from here on there is a picture to take
    if (!stream) return; // ended meanwhile
    camera.hidden = false;
    find('.snap').focus();
  });
  find('.cancel').addEventListener('click', () => {
    stopCamera();
    find('.webcam').focus();
  });
  find('.snap').addEventListener('click', () => {
    const still = document.createElement('canvas');
    still.width = live.videoWidth;
    still.height = live.videoHeight;
    still.getContext('2d').drawImage(live, 0, 0); // not mirrored, unlike the live picture
    still.toBlob((blob) => send(new File([blob], 'camera.png', { type: 'image/png' })));
  });

  function stopCamera() {
    if (!stream) return;
    stream.getTracks().forEach((track) => track.stop());
    stream = live.srcObject = null;
    live.hidden = camera.hidden = true;
    card.classList.remove('filming');
  }

  // ---- a drawn face -------------------------------------------------------------------------

  /** A typed seed is used once as it stands; otherwise each click draws a new one. */
  function draw() {
    if (running) return;
    stopCamera();
    const typed = seedTyped && seedInput.value !== '';
    const seed = typed ? seedInput.value : Math.floor(Math.random() * 1e6);
    begin('Drawing…');
    trigger('draw', { seed });
  }
  seedInput.addEventListener('input', () => {
    seedTyped = true;
  });
  seedInput.addEventListener('keydown', (event) => {
    if (event.key !== 'Enter' || event.ctrlKey || event.metaKey) return;
    seedTyped = true;
    draw();
  });
  find('.random').addEventListener('click', draw);

  /** Ask for the editor of the crop. */
  function recrop() {
    if (running) return;
    recropButton.focus({ preventScroll: true }); // where the editor returns to: notes are made anew
    begin('Opening the photo…');
    trigger('crop', {});
  }
  recropButton.addEventListener('click', recrop);

  removeButton.addEventListener('click', () => {
    trigger('remove', {});
    fileInput.focus();
  });

  // 'ended' comes from the page when an event has ended, well or badly: go back to the last value.
  card.addEventListener('ended', end);
  watch('value', show);
  show();
}
