// Example faces to try. Event to Python: pick {index}.

import { on, within } from './dom.js';

export default function examples({ element, trigger }) {
  const { find, findAll } = within(element);
  const row = find('.examples');
  const faces = findAll('.face');

  faces.forEach((face, index) =>
    on(face, 'click', () => {
      if (row.ariaBusy) return;
      row.ariaBusy = 'true';
      face.classList.add('picked');
      trigger('pick', { index });
    }),
  );

  // 'ended' comes from the page when the event has ended, well or badly.
  on(row, 'ended', () => {
    row.ariaBusy = null;
    faces.forEach((face) => face.classList.remove('picked'));
  });
}
