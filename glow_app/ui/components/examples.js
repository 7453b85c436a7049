// Example faces to try. Gradio hands in: element, trigger(event, data). Event to Python:
// 'pick' {index}. kit.js comes first.

const row = find('.examples');
const faces = findAll('.face');

faces.forEach((face, index) =>
  face.addEventListener('click', () => {
    if (row.getAttribute('aria-busy')) return;
    row.setAttribute('aria-busy', 'true');
    face.classList.add('picked');
    trigger('pick', { index });
  }),
);

// 'settle' comes from the page when the event has ended, well or badly.
row.addEventListener('settle', () => {
  row.removeAttribute('aria-busy');
  faces.forEach((face) => face.classList.remove('picked'));
});
