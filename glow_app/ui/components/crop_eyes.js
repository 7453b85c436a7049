// The crop of a photo by its eyes: two markers, clicked, dragged or moved by keys. crop.js comes first.

/** Show the markers of the eyes, or (null) the square alone. */
function mode(next) {
  marks = next;
  eyesButton.setAttribute('aria-pressed', Boolean(marks));
  if (marks) dialog.dataset.eyes = '';
  else delete dialog.dataset.eyes;
  hint.textContent = marks ? HINTS.eyes : HINTS.square;
}

/** Where the eyes of a face that fills the crop are. */
function eyesOf({ x, y, side, turn }) {
  const { apart, below } = props.value.eyes;
  const [cos, sin] = [Math.cos(radians(turn)), Math.sin(radians(turn))];
  return [-1, 1].map((sign) => {
    const [dx, dy] = [(sign * apart * side) / 2, -below * side];
    return [x + dx * cos - dy * sin, y + dx * sin + dy * cos];
  });
}

/** The crop whose eyes these are: two points in either order. */
function followEyes() {
  const { apart, below } = props.value.eyes;
  const [[x0, y0], [x1, y1]] = [...marks].sort((a, b) => a[0] - b[0]);
  const distance = Math.hypot(x1 - x0, y1 - y0);
  if (distance < 1e-4) return draw();
  const side = distance / apart;
  const [cos, sin] = [(x1 - x0) / distance, (y1 - y0) / distance];
  change({
    x: (x0 + x1) / 2 - sin * below * side,
    y: (y0 + y1) / 2 + cos * below * side,
    side,
    turn: (Math.atan2(sin, cos) * 180) / Math.PI,
  });
}

eyesButton.addEventListener('click', (event) => {
  step();
  placed = 0;
  mode(marks ? null : eyesOf(crop));
  draw();
  if (marks && !event.detail) eyes[0].focus(); // pressed by a key: arrows go on from here
});

function placeEye(event) {
  const at = inPhoto(event);
  const away = marks.map((mark) => Math.hypot(mark[0] - at[0], mark[1] - at[1]));
  const which = placed < 2 ? placed : away.indexOf(Math.min(...away));
  step();
  marks[which] = at;
  placed += 1;
  if (placed === 1)
    draw(); // the other one is still to come
  else followEyes();
}

eyes.forEach((eye, i) => {
  eye.addEventListener('pointerdown', (event) => {
    event.stopPropagation();
    eye.setPointerCapture(event.pointerId);
    moved = false;
  });
  eye.addEventListener('pointermove', (event) => {
    if (!eye.hasPointerCapture(event.pointerId)) return;
    if (!moved) step(); // a tap alone is none
    moved = true;
    placed = 2;
    marks[i] = inPhoto(event);
    followEyes();
  });
  eye.addEventListener('keydown', (event) => {
    const by = arrow(event);
    if (!by) return;
    event.preventDefault();
    event.stopPropagation();
    step(`eye ${i}`);
    placed = 2;
    marks[i] = marks[i].map((value, axis) => value + by[axis] * (event.shiftKey ? 0.02 : 0.004));
    followEyes();
  });
});
