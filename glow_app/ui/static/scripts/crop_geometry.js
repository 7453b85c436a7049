// Where a crop of a photo lies. A crop is {x, y, side, turn}: its middle and side in long sides of
// the photo, its turn in degrees clockwise. Points are [x, y] in the same unit.

export const radians = (degrees) => (degrees * Math.PI) / 180;
const degrees = (angle) => (angle * 180) / Math.PI;

/** The crop with its middle on the photo and its side and turn in range. */
export function limited({ x, y, side, turn }, { width, height, smallest, largest }) {
  return {
    x: Math.min(width, Math.max(0, x)),
    y: Math.min(height, Math.max(0, y)),
    side: Math.min(largest, Math.max(smallest, side)),
    turn: ((turn % 360) + 360) % 360,
  };
}

/** Whether two crops look the same. */
export const isNear = (a, b) =>
  Math.hypot(a.x - b.x, a.y - b.y) < 0.01 * b.side &&
  Math.abs(a.side / b.side - 1) < 0.01 &&
  Math.abs(((a.turn - b.turn + 540) % 360) - 180) < 1;

/** Two fingers: one rests, the other goes from `from` to `to`. The crop is moved, sized and turned. */
export function pinched(crop, rest, from, to) {
  const [before, after] = [from, to].map(([x, y]) => [x - rest[0], y - rest[1]]);
  const [was, is] = [before, after].map(([x, y]) => Math.max(1e-6, Math.hypot(x, y)));
  return {
    x: crop.x + (to[0] - from[0]) / 2,
    y: crop.y + (to[1] - from[1]) / 2,
    side: (crop.side * is) / was,
    turn: crop.turn + degrees(Math.atan2(after[1], after[0]) - Math.atan2(before[1], before[0])),
  };
}

/**
 * Where the eyes of a face that fills the crop are. `apart` is their distance and `below` how far
 * the middle of the crop lies below them, both in sides of the crop.
 */
export function eyesOf({ x, y, side, turn }, { apart, below }) {
  const [cos, sin] = [Math.cos(radians(turn)), Math.sin(radians(turn))];
  return [-1, 1].map((sign) => {
    const [dx, dy] = [(sign * apart * side) / 2, -below * side];
    return [x + dx * cos - dy * sin, y + dx * sin + dy * cos];
  });
}

/** The crop whose eyes these are, two points in either order; null where they are the same. */
export function cropOfEyes(eyes, { apart, below }) {
  const [[x0, y0], [x1, y1]] = [...eyes].sort((a, b) => a[0] - b[0]);
  const distance = Math.hypot(x1 - x0, y1 - y0);
  if (distance < 1e-4) return null;
  const side = distance / apart;
  const [cos, sin] = [(x1 - x0) / distance, (y1 - y0) / distance];
  return {
    x: (x0 + x1) / 2 - sin * below * side,
    y: (y0 + y1) / 2 + cos * below * side,
    side,
    turn: degrees(Math.atan2(sin, cos)),
  };
}
