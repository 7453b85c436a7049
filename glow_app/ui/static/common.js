// What the components' scripts share; each begins with it. Gradio hands in element and server.

const find = (selector) => element.querySelector(selector);

/** An element with a class and a text. */
function make(tag, className, text = '') {
  const node = document.createElement(tag);
  if (className) node.className = className;
  node.textContent = text;
  return node;
}

/** Let a select of sizes offer what the photos have, too; null or 0: they have no more. */
function offerNative(select, native) {
  select.querySelector('.native')?.remove();
  if (!native || [...select.options].some((option) => option.value === String(native))) return;
  const option = make('option', 'native', native);
  option.title = 'As large as the photos have it';
  select.append(option);
}

/** The pictures of a sheet {sheet, n, cols, size}, one ImageBitmap each. */
async function cutSheet({ sheet, n, cols, size }) {
  const image = await createImageBitmap(await (await fetch(sheet)).blob());
  const cut = await Promise.all(Array.from({ length: n }, (_, i) => createImageBitmap(
    image, (i % cols) * size, Math.floor(i / cols) * size, size, size,
  )));
  image.close();
  return cut;
}
