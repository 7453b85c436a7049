// What the scripts of all components share; each begins with it. Gradio hands in: element,
// trigger(event, data), props, server, upload(file), watch(prop, callback).

const LIMITS = [[limits]]; // of the page, as Python has them: see components/templates.py

const find = (selector) => element.querySelector(selector);
const findAll = (selector) => [...element.querySelectorAll(selector)];

/** An element with a class and a text. */
function make(tag, className, text = '') {
  const node = document.createElement(tag);
  if (className) node.className = className;
  node.textContent = text;
  return node;
}

// ---- asking Python ------------------------------------------------------------------------

/** Latest wins: while `work(wish)` is under way only the newest wish is remembered. */
class Pump {
  constructor(work, atRest = () => {}) {
    Object.assign(this, { work, atRest, busy: false, waiting: null });
  }

  async want(wish) {
    this.waiting = { wish };
    if (this.busy) return;
    this.busy = true;
    try {
      while (this.waiting) {
        const { wish: now } = this.waiting;
        this.waiting = null;
        await this.work(now);
      }
    } finally {
      this.busy = false;
    }
    this.atRest();
  }

  /** What waits is not wanted any more. */
  forget() {
    this.waiting = null;
  }
}

const pause = (ms) => new Promise((done) => setTimeout(done, ms));

/** What Python answers to `call()`. While it is busy or out of reach, `waits(answer)` is told and it
 * is asked again, ever more seldom, until it answers or nobody wants it any more. */
async function persist(call, wanted, waits = () => {}) {
  for (let ms = 500; ; ms = Math.min(2 * ms, 8000)) {
    const answer = await call().catch(() => null);
    if ((answer && !answer.busy) || !wanted()) return answer;
    waits(answer);
    for (let left = ms; left > 0 && wanted(); left -= 100) await pause(100);
    if (!wanted()) return answer;
  }
}

// ---- what Python sends --------------------------------------------------------------------

const bytesOf = (base64) => Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));

/** A whole object from Python, its arrays {f32, shape} as a Float32Array each. */
function unpack(value) {
  if (Array.isArray(value)) return value.map(unpack);
  if (value === null || typeof value !== 'object') return value;
  if ('f32' in value) return new Float32Array(bytesOf(value.f32).buffer);
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, unpack(item)]));
}

/** A picture {src} or {rgb, size}, as a bitmap. */
async function bitmapOf({ src, rgb, size }) {
  if (src) return createImageBitmap(await (await fetch(src)).blob());
  const bytes = bytesOf(rgb);
  const image = new ImageData(size, size);
  for (let i = 0, j = 0; j < bytes.length; i += 4, j += 3) {
    image.data[i] = bytes[j];
    image.data[i + 1] = bytes[j + 1];
    image.data[i + 2] = bytes[j + 2];
    image.data[i + 3] = 255;
  }
  return createImageBitmap(image);
}

/** The pictures of a sheet {sheet, n, cols, size}, one bitmap each. */
async function cutSheet({ sheet, n, cols, size }) {
  const image = await bitmapOf({ src: sheet });
  const cut = await Promise.all(
    Array.from({ length: n }, (_, i) =>
      createImageBitmap(image, (i % cols) * size, Math.floor(i / cols) * size, size, size),
    ),
  );
  image.close();
  return cut;
}

// ---- sizes --------------------------------------------------------------------------------

const [ORDINARY, DENSE] = LIMITS.full_sizes; // pixels a side worth having on a screen

/** Pixels a side of a canvas, sharp on dense screens, too. */
const backing = () => Math.round(Math.min(DENSE, ORDINARY * Math.max(1, devicePixelRatio)));

/** Of the sizes that are offered, smallest first, the one for this screen. */
const forScreen = (sizes) => (devicePixelRatio > 1 ? sizes[sizes.length - 1] : sizes[0]);

/** Let a select of sizes offer what the photos have, too; null or 0: they have no more. */
function offerNative(select, native) {
  select.querySelector('.native')?.remove();
  if (!native || [...select.options].some((option) => option.value === String(native))) return;
  const option = make('option', 'native', native);
  option.title = 'As large as the photos have it';
  select.append(option);
}
