// Pictures from Python, and the sizes at which a screen shows them.

import { make } from './dom.js';
import { bytesOf } from './requests.js';

/** A picture {src} or {rgb, size}, as a bitmap. */
export async function bitmapOf({ src, rgb, size }) {
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

/**
 * Make a square canvas as large as this screen can show, sharp on dense screens, too.
 * `sizes`: pixels a side that are enough on an ordinary and on a dense screen.
 */
export function fitCanvas(canvas, [ordinary, dense]) {
  const side = Math.round(Math.min(dense, ordinary * Math.max(1, devicePixelRatio)));
  if (canvas.width !== side) canvas.width = canvas.height = side;
}

/** Of the sizes that are offered, smallest first, the one for this screen. */
export const sizeForScreen = (sizes) => (devicePixelRatio > 1 ? sizes.at(-1) : sizes[0]);

/** Let a select of sizes offer what the photos have, too; null or 0: they have no more. */
export function offerNativeSize(select, native) {
  select.querySelector('.native')?.remove();
  if (!native || [...select.options].some((option) => option.value === String(native))) return;
  const option = make('option', 'native', native);
  option.title = 'As large as the photos have it';
  select.append(option);
}

/** Show the mark of clipped colours where the share of them is above `least`. */
export function showClipped(mark, share, least) {
  mark.hidden = !(share > least);
  mark.querySelector('b').textContent = `${Math.round(100 * share)} %`;
}
