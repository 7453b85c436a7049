// What the server answers for a live picture, as a bitmap: {rgb, size} or {src}.

async function unpacked({ rgb, src, size }) {
  if (src) return createImageBitmap(await (await fetch(src)).blob());
  const bytes = Uint8Array.from(atob(rgb), (letter) => letter.charCodeAt(0));
  const image = new ImageData(size, size);
  for (let i = 0, j = 0; j < bytes.length; i += 4, j += 3) {
    image.data[i] = bytes[j];
    image.data[i + 1] = bytes[j + 1];
    image.data[i + 2] = bytes[j + 2];
    image.data[i + 3] = 255;
  }
  return createImageBitmap(image);
}
