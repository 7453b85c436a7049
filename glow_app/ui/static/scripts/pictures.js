// Pictures from Python, and the sizes at which a screen shows them.

import { make } from './dom.js';
import { bytesOf } from './requests.js';

/** A picture {src} or {rgb, size}, as a bitmap. */
export async function bitmapOf({ src, rgb, size }) {
  if (src) return createImageBitmap(await (await fetch(src)).blob());
  const image = new ImageData(size, size);
  image.data.fill(255); // opaque
  bytesOf(rgb).forEach((level, i) => (image.data[i + Math.floor(i / 3)] = level));
  return createImageBitmap(image);
}

/** The pictures of a sheet {sheet, n, cols, size}, one bitmap each. */
export async function cutSheet({ sheet, n, cols, size }) {
  const image = await bitmapOf({ src: sheet });
  const cut = await Promise.all(
    Array.from({ length: n }, (_, i) =>
      createImageBitmap(image, (i % cols) * size, Math.floor(i / cols) * size, size, size),
    ),
  );
  image.close();
  return cut;
}

/** Paint pictures over the whole of a canvas, each [picture, opacity]. */
export function cover(paper, ...pictures) {
  paper.imageSmoothingQuality = 'high';
  for (const [picture, globalAlpha] of pictures) {
    paper.globalAlpha = globalAlpha;
    paper.drawImage(picture, 0, 0, paper.canvas.width, paper.canvas.height);
  }
}

/** Set the side of a square canvas; what it shows goes where it changes. */
export function setSide(canvas, side) {
  if (canvas.width !== side) canvas.width = canvas.height = side;
}

/**
 * Make a square canvas as large as this screen can show, sharp on dense screens, too.
 * `sizes`: pixels a side that are enough on an ordinary and on a dense screen.
 */
export const fitCanvas = (canvas, [ordinary, dense]) =>
  setSide(canvas, Math.round(Math.min(dense, ordinary * Math.max(1, devicePixelRatio))));

/** Of the sizes that are offered, smallest first, the one for this screen. */
export const sizeForScreen = (sizes) => (devicePixelRatio > 1 ? sizes.at(-1) : sizes[0]);

/** Let a select of sizes offer what the photos have, too; null or 0: they have no more. */
export function offerNativeSize(select, native) {
  select.querySelector('.native')?.remove();
  if (!native || [...select.options].some((option) => option.value === String(native))) return;
  const title = 'As large as the photos have it';
  select.append(make('option', { className: 'native', title }, native));
}

/** Show the mark of clipped colours where the share of them is above `least`. */
export function showClipped(mark, share, least) {
  mark.hidden = !(share > least);
  mark.querySelector('b').textContent = `${Math.round(100 * share)} %`;
}
