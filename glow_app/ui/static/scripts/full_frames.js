// Frames at full size: pulled from the server once the model's own are there, nearest to the
// slider first. server.full({key, frames, size}) -> {frames: [[number, data URI], …]} or {error}.

import { on, within } from './dom.js';
import { bitmapOf, sizeForScreen } from './pictures.js';
import { retryWhileBusy } from './requests.js';

const MOST_BYTES = 160e6; // of all frames in the browser; where that is too little, a smaller size

/** The size to ask for: the largest one only where the screen shows it and there is room. */
export function affordableSize(sizes, count) {
  const fit = sizes.filter((size) => 4 * size * size * count <= MOST_BYTES);
  return fit.length ? sizeForScreen(fit) : sizes[0];
}

/** The frames `missing` of which `most` are asked for next: those nearest to the place `at`. */
export const nearest = (missing, at, most) =>
  [...missing].sort((a, b) => Math.abs(a - at) - Math.abs(b - at)).slice(0, most);

/**
 * The pulling of one player's frames. `frames()` are its bitmaps, which are replaced in place,
 * `place()` is that of the slider in frames, and `arrived()` is called when frames have come.
 */
export function fullFrames({ element, server, limits }, { player, frames, place, arrived }) {
  const { far, stopFull } = within(element).parts;
  let pull = null; // {key, size, missing: Set of numbers, running}

  /** Other frames have come: forget what was pulled before. */
  function reset() {
    stop();
    pull = null;
    delete player.dataset.full;
  }

  /** Begin to pull what is offered, {key, sizes} or null, or go on. */
  async function start(offer) {
    if (!offer || pull?.running) return;
    pull ??= {
      key: offer.key,
      size: affordableSize(offer.sizes, frames().length),
      missing: new Set(frames().keys()),
    };
    const mine = pull;
    const goesOn = () => mine.missing.size && mine.running && player.isConnected;
    mine.running = true;
    while (goesOn()) {
      stopFull.hidden = false;
      const numbers = nearest(mine.missing, place(), limits.pull);
      const question = { key: mine.key, size: mine.size, frames: numbers };
      const answer = await retryWhileBusy(() => server.full(question), goesOn);
      const made = await Promise.all(
        (answer?.frames ?? []).map(async ([i, src]) => [i, await bitmapOf({ src })]),
      );
      if (!mine.running) return made.forEach(([, bitmap]) => bitmap.close()); // stopped meanwhile
      for (const [i, bitmap] of made) {
        frames()[i].close();
        frames()[i] = bitmap;
        mine.missing.delete(i);
      }
      player.dataset.full = frames().length - mine.missing.size;
      if (!made.length) break; // it has expired
      arrived();
    }
    mine.running = false;
    if (mine === pull) stopFull.hidden = true;
  }

  /** Show how many frames are at full size, behind their number. */
  function showCount() {
    const done = pull ? frames().length - pull.missing.size : 0;
    const some = pull?.missing.size ? `, ${done} at full size` : ' at full size';
    far.textContent = done ? some : '';
  }

  /** Pull no more for now: the frames that have come stay. */
  function stop() {
    if (pull) pull.running = false;
    stopFull.hidden = true;
  }
  on(stopFull, 'click', stop);

  return { reset, start, stop, showCount };
}
