// One face of the page: choose a photo (file, drop, paste, camera) or draw a face by seed.
// Events to Python: photo {path}, draw {seed}, crop {}, remove {}. The value: card_value in
// components/faces.py.

import { makeButton, make, on, onDrop, onFiles, within } from './dom.js';
import { refusal } from './long_work.js';

export default function card(host) {
  const { element, trigger, props, upload, watch, limits } = host;
  const { find, parts } = within(element);
  const { card, crop, seen, see, live, busy, camera, notes, bits, trip, webcam } = parts;
  const { remove: removeButton, recrop: recropButton } = parts;
  const [fileInput, seedInput] = ['.upload input', '.seed input'].map(find);

  let seedTyped = false; // the seed was typed since the last face was drawn
  let stream = null; // the running camera
  let running = 0; // events under way, each with its upload

  // ---- what the server said -----------------------------------------------------------------

  function show() {
    const value = props.value || null;
    if (!running) setBusy('');
    card.dataset.kind = value ? value.kind : 'empty';
    for (const one of [crop, removeButton, bits, trip]) one.hidden = !value;
    parts.none.hidden = Boolean(value);
    see.hidden = !value?.full;
    recropButton.hidden = (value?.recrop ?? null) === null;
    showSeen(false);
    parts.source.textContent = value ? value.source : '';
    if (value) {
      const source = value.source.toLowerCase();
      crop.src = value.full || value.plain;
      crop.alt = `Photo ${card.dataset.name}: ${source}`;
      seen.src = value.seen;
      seen.alt = `Photo ${card.dataset.name} as the model sees it, in the mean shape: ${source}`;
      parts.seeSize.textContent = `${value.size} × ${value.size}`;
      bits.firstElementChild.textContent = value.bits;
      bits.lastElementChild.textContent = value.phrase;
      bits.dataset.tone = value.tone;
      trip.textContent = value.roundtrip;
      trip.dataset.exact = value.exact;
    } else {
      crop.removeAttribute('src');
      seen.removeAttribute('src');
    }
    const seed = value?.seed ?? '';
    if (seed !== '' || !seedTyped) {
      // a photo has no seed, but one being typed stays
      seedInput.value = seed;
      seedTyped = false;
    }
    notes.replaceChildren(...(value?.notes ?? []).map((text) => make('li', {}, text)));
    // The first note says what is amiss.
    if (value?.recrop) notes.firstChild?.append(makeButton('btn', value.recrop, recrop));
  }

  /** Show what the model sees in place of what the photo has. */
  function showSeen(on) {
    see.ariaPressed = on;
    seen.hidden = !on;
  }
  on(see, 'click', () => showSeen(seen.hidden));

  function setBusy(text) {
    card.ariaBusy = text ? 'true' : null;
    busy.hidden = !text;
    if (text) parts.busyText.textContent = text;
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
    showSeen(false);
    const preview = URL.createObjectURL(file);
    crop.src = preview; // at once, before the server answers; formats the browser can't show stay hidden
    crop.hidden = false;
    const free = () => URL.revokeObjectURL(preview);
    crop.decode().then(free, free);
    try {
      const { path } = await upload(file);
      trigger('photo', { path });
    } catch {
      end(); // Gradio has shown its own message about the upload
    }
  }

  on(crop, 'error', () => (crop.hidden = true));
  onFiles(fileInput, ([file]) => send(file));
  on(parts.well, 'click', ({ target }) => {
    if (!target.closest('button, video')) fileInput.click();
  });

  // The whole card is the target.
  onDrop(card, ([file]) => {
    if (file) send(file);
    else fail('Only a picture file can be dropped here, not a link: save the picture first.');
  });

  // ---- paste --------------------------------------------------------------------------------

  /** The card that a paste belongs to: focused, else under the mouse, else one without a photo. */
  function pasteTarget() {
    const cards = [...document.querySelectorAll('.card')].filter((c) => c.offsetParent);
    const first = (selector) => cards.find((c) => c.matches(selector));
    return (
      first(':focus-within') || first(':hover') || first(':not([data-kind=photo])') || cards[0]
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
  on(document, 'paste', onPaste);

  on(parts.paste, 'click', async () => {
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

  on(webcam, 'click', async () => {
    if (stream) return stopCamera();
    if (!navigator.mediaDevices) return fail('The camera needs a page on this computer or https.');
    try {
      const wanted = { facingMode: 'user', width: { ideal: 1280 }, height: { ideal: 960 } };
      stream = await navigator.mediaDevices.getUserMedia({ video: wanted });
    } catch ({ name }) {
      const none = name === 'NotFoundError';
      return fail(none ? 'No camera was found.' : 'The browser did not allow the camera.');
    }
    live.srcObject = stream;
    live.hidden = false;
    card.classList.add('filming');
    await live.play(); // from here on there is a picture to take
    if (!stream) return; // ended meanwhile
    camera.hidden = false;
    parts.snap.focus();
  });
  on(parts.cancel, 'click', () => {
    stopCamera();
    webcam.focus();
  });
  on(parts.snap, 'click', () => {
    const still = make('canvas', { width: live.videoWidth, height: live.videoHeight });
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
  on(seedInput, 'input', () => (seedTyped = true));
  on(seedInput, 'keydown', (event) => {
    if (event.key !== 'Enter' || event.ctrlKey || event.metaKey) return;
    seedTyped = true;
    draw();
  });
  on(parts.random, 'click', draw);

  /** Ask for the editor of the crop. */
  function recrop() {
    if (running) return;
    recropButton.focus({ preventScroll: true }); // where the editor returns to: notes are made anew
    begin('Opening the photo…');
    trigger('crop', {});
  }
  on(recropButton, 'click', recrop);

  on(removeButton, 'click', () => {
    trigger('remove', {});
    fileInput.focus();
  });

  // 'ended' comes from the page when an event has ended, well or badly: go back to the last value.
  on(card, 'ended', end);
  watch('value', show);
  show();
}
