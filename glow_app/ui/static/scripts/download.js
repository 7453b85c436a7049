// A download that the server has prepared starts by itself. The value: {rev, file, name}.

import { make } from './dom.js';

export default function download({ props, watch }) {
  watch('value', () => {
    const { file, name } = props.value ?? {};
    if (file) make('a', { href: file.url, download: name }).click();
  });
}
