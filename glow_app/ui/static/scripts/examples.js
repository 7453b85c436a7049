// Example faces to try. Event to Python: pick {index}.

import { flag, within } from './dom.js';

export default function examples(host) {
  const { element, trigger } = host;
  const { find, findAll } = within(element);
  const row = find('.examples');
  const faces = findAll('.face');

  faces.forEach((face, index) =>
    face.addEventListener('click', () => {
      if (row.getAttribute('aria-busy')) return;
      flag(row, 'aria-busy', true, 'true');
      face.classList.add('picked');
      trigger('pick', { index });
    }),
  );

  // 'ended' comes from the page when the event has ended, well or badly.
  row.addEventListener('ended', () => {
    flag(row, 'aria-busy', false);
    faces.forEach((face) => face.classList.remove('picked'));
  });
}
