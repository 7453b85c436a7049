// Frames at full size: pulled from the server once the model's own are there, nearest to the
// slider first. server.full({key, frames, size}) -> {frames: [[number, data URI], …]} or {error}.

import { within } from './dom.js';
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

/** The pulling of one player's frames. */
export class FullFrames {
  /**
   * Args: the component's host, then what the player answers: `player` its element, `frames()` its
   * bitmaps, which are replaced in place, `place()` of the slider in frames, and `arrived()`,
   * called when frames have come.
   */
  constructor({ element, server, limits }, { player, frames, place, arrived }) {
    Object.assign(this, { server, limits, player, frames, place, arrived, pull: null });
    ({ far: this.text, stopFull: this.stopButton } = within(element).parts);
    this.stopButton.addEventListener('click', () => this.stop());
  }

  /** Other frames have come: forget what was pulled before. */
  reset() {
    this.stop();
    this.pull = null; // {key, size, missing: Set of numbers, running}
    delete this.player.dataset.full;
  }

  /** Begin to pull what is offered, {key, sizes} or null, or go on. */
  start(offer) {
    if (!offer || (this.pull && this.pull.running)) return;
    const frames = this.frames();
    this.pull ??= {
      key: offer.key,
      size: affordableSize(offer.sizes, frames.length),
      missing: new Set(frames.keys()),
    };
    if (this.pull.missing.size) this.pullAll(this.pull);
  }

  async pullAll(mine) {
    const goesOn = () => mine.running && this.player.isConnected;
    mine.running = true;
    this.stopButton.hidden = false;
    while (mine.missing.size && goesOn()) {
      const numbers = nearest(mine.missing, this.place(), this.limits.pull);
      const question = { key: mine.key, size: mine.size, frames: numbers };
      const answer = await retryWhileBusy(() => this.server.full(question), goesOn);
      const made = await Promise.all(
        ((answer && answer.frames) || []).map(async ([i, src]) => [i, await bitmapOf({ src })]),
      );
      if (!mine.running) {
        // stopped, or other frames meanwhile
        made.forEach(([, bitmap]) => bitmap.close());
        return;
      }
      const frames = this.frames();
      for (const [i, bitmap] of made) {
        frames[i].close();
        frames[i] = bitmap;
        mine.missing.delete(i);
      }
      this.player.dataset.full = frames.length - mine.missing.size;
      if (!made.length) mine.running = false; // it has expired
      this.arrived();
    }
    mine.running = false;
    this.stopButton.hidden = true;
  }

  /** Say how many frames are at full size, behind their number. */
  tell() {
    const { pull } = this;
    const done = pull ? this.frames().length - pull.missing.size : 0;
    this.text.textContent = !done
      ? ''
      : pull.missing.size
        ? `, ${done} at full size`
        : ' at full size';
  }

  /** Pull no more for now: the frames that have come stay. */
  stop() {
    if (this.pull) this.pull.running = false;
    this.stopButton.hidden = true;
  }
}
