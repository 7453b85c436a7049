// Frames at full size: pulled from the server once the model's own are there, nearest to the
// slider first. server.full({key, frames, size}) -> {frames: [[number, data URI], …]} or {error}.
// player.js comes after: it owns frames, shown, player, canvas, inFrames() and ask().

const MOST_BYTES = 160e6; // of all frames in the browser; where that is too little, a smaller size
const [far, stopFull] = ['.far', '.stop-full'].map(find);

let pull = null; // {key, size, missing: Set of numbers, running} of the frames that are shown

/** The size to ask for: the largest one only where the screen shows it and there is room. */
function sizeOf(sizes) {
  const fit = sizes.filter((size) => 4 * size * size * frames.length <= MOST_BYTES);
  return fit.length ? forScreen(fit) : sizes[0];
}

/** New frames have come: what was pulled before goes with the old ones. */
function endPull() {
  stopPull();
  pull = null;
  delete player.dataset.full;
}

/** Begin to pull what `shown` offers, or go on. */
function startPull() {
  const offer = shown.full;
  if (!offer || (pull && pull.running)) return;
  if (!pull) pull = { key: offer.key, size: sizeOf(offer.sizes), missing: new Set(frames.keys()) };
  if (pull.missing.size) pullAll(pull);
}

async function pullAll(mine) {
  mine.running = true;
  stopFull.hidden = false;
  while (mine.running && mine.missing.size && player.isConnected) {
    const at = inFrames();
    const near = [...mine.missing].sort((a, b) => Math.abs(a - at) - Math.abs(b - at));
    const question = { key: mine.key, size: mine.size, frames: near.slice(0, LIMITS.pull) };
    const goesOn = () => mine.running && player.isConnected;
    const answer = await persist(() => server.full(question), goesOn);
    const made = await Promise.all(
      ((answer && answer.frames) || []).map(async ([i, src]) => [i, await bitmapOf({ src })]),
    );
    if (!mine.running) {
      // stopped, or other frames meanwhile
      made.forEach(([, bitmap]) => bitmap.close());
      return;
    }
    for (const [i, bitmap] of made) {
      frames[i].close();
      frames[i] = bitmap;
      mine.missing.delete(i);
    }
    player.dataset.full = frames.length - mine.missing.size;
    if (!made.length) mine.running = false; // it has expired
    if (status.textContent === shown.status) tellFull(); // else there is something else to say
    ask();
  }
  mine.running = false;
  stopFull.hidden = true;
}

/** How many frames are at full size, in words behind their number. */
function tellFull() {
  const done = pull ? frames.length - pull.missing.size : 0;
  far.textContent = !done ? '' : pull.missing.size ? `, ${done} at full size` : ' at full size';
}

/** No more for now: the frames that have come stay. */
function stopPull() {
  if (pull) pull.running = false;
  stopFull.hidden = true;
}
stopFull.addEventListener('click', stopPull);
