"""Make the frame of a `Point` of a walk, at any size, from photos and flow.

    x = match( Σ w_i W_i + κ · mask · warp( band( g(z) - Σ w_i L_i ) ) ),   W_i = F_i warped to S

F_i are the photos, L_i their looks (crops warped to the mean shape, `looks.py`), w_i the weights
and S the shape of the frame. The photos carry the picture, the flow decides the change. At a
photo (w = 1, S = S_i, z = f(L_i)) the bracket vanishes, since g(f(L)) = L, and the frame is the
photo, byte for byte.

Only the face inside its outline is mixed like that. Hair, ears, neck, clothes and background come
from one photo at a time (the *ground*), and so does the inside of the mouth, where two photos on
top of each other would be seen.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

import cv2
import numpy as np

from glow_app.common.devices import cores
from glow_app.common.progress import Progress, Steps
from glow_app.editing import blending
from glow_app.editing.options import KAPPA
from glow_app.editing.walk import Point
from glow_app.faces import landmarks, regions
from glow_app.faces.coding import resized
from glow_app.faces.face import Face
from glow_app.faces.landmarks import INNER_LIPS, OUTER_LIPS, SHAPE_POINTS
from glow_app.faces.looks import Looks
from glow_app.faces.warp import Triangulation, between, reshaped

# Frames are made in parallel, one per core, which OpenCV's own threads would slow down.
cv2.setNumThreads(1)

_GRID: Final = 256  # pixels a side of masks and warps
_TEETH: Final = 0.02  # of the crop: lips farther apart than this show teeth
_OVERSHOOT: Final = (-0.05, 1.05)  # of a leg: shapes of cubic journeys go a little beyond
_SHUT: Final = 0.012  # of the crop: lips that are nearer show nothing between them
_STIFF: Final = 0.3  # of the crop: distance from glasses at which the warp is the usual one
_NEAR: Final = 0.45  # of the crop: how far from the face the ground's skin takes on its colour

_LIPS: Final = np.array(INNER_LIPS + OUTER_LIPS)
_UPPER_LIP: Final = (191, 80, 81, 82, 13, 312, 311, 310, 415)  # its inner border
_LIP_WEIGHTS: Final = np.where(np.isin(_LIPS, _UPPER_LIP), 3.0, 1.0)  # teeth move with the upper

# Pixels of a look: the band of the flow's correction between photos. Its specks are finer; broader
# changes are mostly that a picture half way between two codes is darker than both.
_FINEST: Final = 1.2
_BROADEST: Final = 8.0


@dataclass(eq=False)
class Renderer:
    """Makes the frames of one walk. Safe to call from several threads."""

    faces: tuple[Face, ...]  # of the walk
    looks: Looks  # of the model
    kappa: float = KAPPA  # how much of the change the flow decides, 0 (only the photos) to 1
    _meshes: dict[tuple[int, ...], Triangulation] = field(default_factory=dict, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @property
    def native(self) -> int:
        """Pixels a side up to which there is detail."""
        return max(face.native for face in self.faces)

    def frames(self, points: Sequence[Point], decoded: np.ndarray, size: int) -> np.ndarray:
        """Return the frames of T points: (T, size, size, 3) uint8.

        Args:
            decoded: (T, S, S, 3) uint8, g of the codes of the points.
            size: pixels a side. Above `native` they are enlarged, below the model's S reduced.
        """
        return np.stack([*self.each(points, decoded, size)])

    def each(
        self,
        points: Sequence[Point],
        decoded: Sequence[np.ndarray] | np.ndarray,
        size: int,
        progress: Progress | None = None,
    ) -> Iterator[np.ndarray]:
        """Yield `frames` one by one, (size, size, 3): only a few are in memory at a time."""
        side = max(min(size, self.native), self.looks.size)
        steps, rest = Steps(len(points), progress), iter(range(len(points)))

        def one(i: int) -> np.ndarray:
            photo = points[i].photo
            if photo is not None:
                return self.faces[photo].at(size)
            return resized(self._frame(points[i], decoded[i], side), size)

        workers = min(cores(), 8)
        with ThreadPoolExecutor(workers) as pool:
            ahead = deque(pool.submit(one, i) for i in islice(rest, 2 * workers))
            while ahead:
                frame = ahead.popleft().result()
                ahead.extend(pool.submit(one, i) for i in islice(rest, 1))
                steps.advance()
                yield frame

    def _frame(self, point: Point, decoded: np.ndarray, side: int) -> np.ndarray:
        scene = _Scene(self, point, decoded, side)
        shares = [share for _, share in point.grounds]
        mixed = _weighted(shares, [scene.on_ground(ground) for ground, _ in point.grounds])
        return (mixed + 0.5).clip(0, 255).astype(np.uint8)

    def mesh(self, chosen: tuple[int, ...], shape: np.ndarray) -> Triangulation:
        """Return triangles for these faces and a shape between them; those of two faces do not
        depend on the shape, so that all their frames share them."""
        own = [self.faces[i].known_shape[SHAPE_POINTS] for i in chosen]
        if len(own) != 2:
            return Triangulation([*own, shape[SHAPE_POINTS]])
        with self._lock:
            if chosen not in self._meshes:
                self._meshes[chosen] = between(own[0], own[1], *_OVERSHOOT)
            return self._meshes[chosen]


class _Scene:
    """The parts of one frame, all warped to its shape, float32; `on_ground` puts them together.

    Attributes:
        weights: of the faces that are blended, by number.
        chosen: numbers of all faces that are needed, those of the grounds included.
        single: whether that is one face: an edit, in which the flow changes one photo.
        photos, seen, skin: of each chosen face its photo (N, N, 3), where nothing covers it and
            where its skin is, (N, N) in [0, 1]; `skin` is empty where nothing is warped.
        outline, inside: (N, N) masks of the face, as wide as its outline and a little narrower.
        colour: 1 less the weights of the photos in black and white.
        tone: of the only photo, if it has one.
        change: what the flow changes, see `_change`.
        grey: luminance of each photo.
    """

    def __init__(self, renderer: Renderer, point: Point, decoded: np.ndarray, side: int) -> None:
        self.renderer, self.point, self.side = renderer, point, side
        faces, grounds = renderer.faces, [ground for ground, _ in point.grounds]
        self.weights = {i: w for i, w in enumerate(point.weights) if w > 0}
        mixed = () if point.bands is None else (0, 1)
        self.chosen = tuple(sorted({*self.weights, *grounds, *mixed}))
        self.single = len(self.chosen) == 1
        self.photos: dict[int, np.ndarray] = {}
        self.seen: dict[int, np.ndarray] = {}
        self.skin: dict[int, np.ndarray] = {}
        shape, grid = point.shape, min(_GRID, side)
        everything = np.ones((side, side), np.float32)
        for i, sources in self._sources(shape, grid):
            photo = faces[i].at(side)
            if sources is not None:
                photo = Triangulation.remap(photo, Triangulation.enlarged(sources, side))
            self.photos[i] = photo.astype(np.float32)
            if shape is None:
                self.seen[i] = everything
                continue
            for masks, mask in ((self.seen, faces[i].seen), (self.skin, faces[i].skin)):
                mask = _sized(mask, grid)
                if sources is not None:
                    mask = Triangulation.remap(mask, sources, linear=True)
                masks[i] = _sized(mask, side)
        if shape is None:
            self.outline = self.inside = everything
        else:
            self.outline = regions.face_mask(shape, side, shrink=1.0)
            self.inside = regions.face_mask(shape, side)
        # An edit of a photo without colours adds none. Between photos of which only some have
        # colours, those of the ground appear as evenly as those of the face.
        tones = {i: faces[i].tone for i in self.weights}
        grey = [i for i, tone in tones.items() if tone is not None and tone.is_grey]
        self.colour = 1.0 - sum(self.weights[i] for i in grey)
        self.tone = faces[self.chosen[0]].tone if self.single else None
        self.decoded = decoded.astype(np.float32) if self.tone is None else self.tone.of(decoded)
        self.change = self._change(self.decoded)
        self.grey = {i: blending.luminance(photo) for i, photo in self.photos.items()}

    def on_ground(self, ground: int) -> np.ndarray:
        """Return the frame with the hair, clothes and background of one face: (N, N, 3)."""
        photo = self.photos[ground]
        if self.single:
            if self.point.look is not None:  # its own look: only the shape has changed
                return self._with_lips_opened(photo, ground)
            inside = self.outline[..., None]
            frame = photo + self.change * inside
            if self.skin:  # a tint that stops at the jaw looks painted on
                frame += self._skin_tint(ground, self.change, self.point.everywhere) * (1 - inside)
            return self._with_lips_opened(frame, ground)
        # The others are differences to the ground, filled in where they or the ground are covered.
        others = [i for i in self.chosen if i != ground]
        seen = {i: self.seen[i] * self.seen[ground] for i in others}
        own = [blending.filled(self.photos[i] - photo, seen[i]) for i in others]
        weights, size = [self.weights.get(i, 0.0) for i in others], self.renderer.looks.size
        if self.point.bands is not None:  # a mix of two
            levels = [[b if ground == 0 else 1 - b for b in self.point.bands]]
            difference = blending.by_bands(own[0], levels[0], size)
        else:
            levels = [[w] for w in weights]
            difference = _weighted(weights, own)
        trusted = [max(w, 1e-3) for w in weights]
        trust = _weighted(trusted, [seen[i] for i in others]) / sum(trusted)
        greys = [self.grey[i] * seen[i] + self.grey[ground] * (1 - seen[i]) for i in others]
        mixed = photo + difference
        plain = blending.luminance(mixed)
        grey = plain + self.change * (self.outline * trust)
        rest = [1 - sum(column) for column in zip(*levels, strict=True)]
        light = blending.matched(grey, [self.grey[ground], *greys], [rest, *levels], size)
        face = mixed + (light - plain)[..., None]
        if self.point.shape is None:
            return face
        if self.colour < 1:  # the ground has gone as pale as the face already
            difference = np.repeat(blending.luminance(difference)[..., None], 3, axis=-1)
        under = self._coloured(photo) + self._skin_tint(ground, difference)
        frame = blending.joined(under, face - under, self.inside * self.seen[ground])
        return self._with_mouth(frame, ground, self.point.shape)

    def _sources(
        self, shape: np.ndarray | None, grid: int
    ) -> Iterator[tuple[int, np.ndarray | None]]:
        """Yield for each chosen face where its pixels come from, (G, G, 2) on a grid; None where
        nothing moves."""
        faces = self.renderer.faces
        if shape is None:
            yield from ((i, None) for i in self.chosen)
            return
        mesh = self.renderer.mesh(self.chosen, shape)
        goal = mesh.points(shape[SHAPE_POINTS])
        for i in self.chosen:
            own = mesh.points(faces[i].known_shape[SHAPE_POINTS])
            if np.array_equal(own, goal):
                yield i, None
                continue
            sources = mesh.sources(own, goal, grid)
            if faces[i].glasses and not self.single:
                sources = _with_stiff_glasses(sources, faces[i].known_shape, shape)
            yield i, sources

    def _change(self, decoded: np.ndarray) -> np.ndarray:
        """Return the flow's part, g(z) - Σ w_i L_i, warped to the frame.

        Between photos it is κ times a band of its luminance (N, N); for an edit all of it, limited
        (N, N, 3); () where it is 0.
        """
        kappa, looks = self.renderer.kappa, self.renderer.looks
        if (self.single and self.point.look is not None) or not (self.single or kappa):
            return np.zeros((), np.float32)
        base = np.zeros(decoded.shape, np.float32)
        for i, weight in self.weights.items():
            face = self.renderer.faces[i]
            own = face.pixels if self.point.shape is None else looks.of(face)
            base += np.float32(weight) * own
        change = decoded - (base if self.tone is None else self.tone.of(base))
        if self.single:
            change = blending.limited(change, base)
        else:
            grey = blending.luminance(change)
            fine, broad = (cv2.GaussianBlur(grey, (0, 0), blur) for blur in (_FINEST, _BROADEST))
            change = kappa * (fine - broad)
        return self._placed(change)

    def _placed(self, look: np.ndarray) -> np.ndarray:
        """Warp a picture from the mean shape to the frame, and enlarge it to its size."""
        if self.point.shape is not None:
            look = reshaped(look, self.renderer.looks.mean, self.point.shape, linear=True)
        return _sized(look, self.side, cv2.INTER_CUBIC)

    def _coloured(self, photo: np.ndarray) -> np.ndarray:
        """Return a photo (N, N, 3) with the share `colour` of its colours."""
        if self.colour >= 1:
            return photo
        grey = blending.luminance(photo)[..., None]
        return grey + np.float32(self.colour) * (photo - grey)

    def _skin_tint(
        self, ground: int, difference: np.ndarray, everywhere: float = 0.0
    ) -> np.ndarray:
        """Return the change that brings the ground's skin (ears, neck) nearer to the face's.

        A share `everywhere` of it goes to all of the picture, in proportion to its luminance, as
        light of another colour does.
        """
        mask = cv2.resize(self.outline, (64, 64), interpolation=cv2.INTER_AREA)
        small = cv2.resize(difference, (64, 64), interpolation=cv2.INTER_AREA)
        seen = cv2.resize(self.seen[ground], (64, 64), interpolation=cv2.INTER_AREA) * mask
        colour = (small * seen[..., None]).sum(axis=(0, 1)) / max(float(seen.sum()), 1e-6)
        away = cv2.distanceTransform((mask < 0.5).astype(np.uint8), cv2.DIST_L2, 5) / 64
        near = np.clip(1 - away / _NEAR, 0, 1).astype(np.float32)
        share = self.skin[ground] * _sized(near, self.side)
        if everywhere:
            grey, outline = self.grey[ground], self.outline
            face = float((grey * outline).sum() / max(float(outline.sum()), 1e-6))
            lit = np.minimum(grey / max(face, 1.0), 1.2)
            share = np.maximum(share, everywhere * lit)
        return share[..., None] * colour

    def _with_lips_opened(self, frame: np.ndarray, face: int) -> np.ndarray:
        """Show what the model draws between lips that are shut on the photo and open now."""
        shape = self.point.shape
        if shape is None:
            return frame
        own = self.renderer.faces[face].mouth
        opened = landmarks.mouth_opening(shape) - max(own, _SHUT)
        if own > _TEETH or opened <= 0:
            return frame
        mask = regions.inner_mouth_mask(shape, self.side)
        mask = mask * min(opened / _SHUT, 1.0)
        return frame + mask[..., None] * (self._placed(self.decoded) - frame)

    def _teeth(self, face: int, shape: np.ndarray, box: tuple[slice, slice]) -> np.ndarray:
        """Return a box (rows, columns, 3) of the photo of a face, moved as a whole with its lips,
        so that teeth stay straight."""
        own = self.renderer.faces[face].known_shape
        if np.array_equal(own[SHAPE_POINTS], shape[SHAPE_POINTS]):
            return self.photos[face][box]
        sources = _affine(own[_LIPS], shape[_LIPS], _LIP_WEIGHTS, self.side, box)
        photo = self.renderer.faces[face].at(self.side)
        return Triangulation.remap(photo, sources).astype(np.float32)

    def _with_mouth(self, frame: np.ndarray, ground: int, shape: np.ndarray) -> np.ndarray:
        """Show one photo inside the lips: the ground's, or one whose mouth is about as open."""
        faces, side = self.renderer.faces, self.side
        apart = landmarks.mouth_opening(shape)
        open_ = [i for i in self.chosen if faces[i].mouth > _TEETH]
        mouth = ground
        if apart > _SHUT and open_ and (ground not in open_ or len(self.chosen) > 2):
            mouth = min(open_, key=lambda i: abs(faces[i].mouth - apart))
        mask = regions.inner_mouth_mask(shape, side)
        rows, columns = np.flatnonzero(mask.max(axis=1)), np.flatnonzero(mask.max(axis=0))
        if not len(rows):
            return frame
        more = side // 16  # room for the bands
        box = (
            slice(max(rows[0] - more, 0), rows[-1] + more + 1),
            slice(max(columns[0] - more, 0), columns[-1] + more + 1),
        )
        own, mask = self._coloured(self._teeth(mouth, shape, box)), mask[box]
        # Colours lie half way between those of that photo and those of the frame.
        around = cv2.GaussianBlur(frame[box] - own, (0, 0), side / 40)
        frame[box] = blending.joined(frame[box], own + 0.5 * around - frame[box], mask)
        return frame


def _affine(
    own: np.ndarray,
    shape: np.ndarray,
    weights: np.ndarray,
    side: int,
    box: tuple[slice, slice] = (slice(None), slice(None)),
) -> np.ndarray:
    """Return where pixels of a box come from, (rows, columns, 2), by the affine map that fits best
    (weighted least squares).

    Args:
        own, shape: (P, 2), where points come from and where they lie, in fractions of the crop.
        weights: (P,) of the points.
        side: N, of the whole picture.
        box: rows and columns of it.
    """
    points = np.column_stack([shape, np.ones(len(shape))])
    affine = np.linalg.lstsq(weights[:, None] * points, weights[:, None] * own, rcond=None)[0]
    middles = (np.arange(side) + 0.5) / side
    x, y = middles[box[1]][None, :, None], middles[box[0]][:, None, None]
    return ((x * affine[0] + y * affine[1] + affine[2]) * side - 0.5).astype(np.float32)


def _with_stiff_glasses(sources: np.ndarray, own: np.ndarray, shape: np.ndarray) -> np.ndarray:
    """Return `sources` (G, G, 2) such that glasses stay straight: about the eyes the warp from
    `own` to `shape` (478, 2) becomes one affine map."""
    side = len(sources)
    worn = regions.eyewear_mask(shape, side) > 0.5
    away = cv2.distanceTransform((~worn).astype(np.uint8), cv2.DIST_L2, 5) / (_STIFF * side)
    share = regions.falling(away, 0, 1)
    points = shape[SHAPE_POINTS]
    places = np.clip((points * side).astype(int), 0, side - 1)
    stiff = _affine(own[SHAPE_POINTS], points, share[places[:, 1], places[:, 0]], side)
    return sources + share[..., None] * (stiff - sources)


def _weighted(weights: Sequence[float], pictures: Sequence[np.ndarray]) -> np.ndarray:
    """Return Σ w_i·picture_i, float32."""
    total = np.zeros_like(pictures[0])
    for weight, picture in zip(weights, pictures, strict=True):
        total += weight * picture
    return total


def _sized(picture: np.ndarray, side: int, how: int = cv2.INTER_LINEAR) -> np.ndarray:
    if len(picture) == side:
        return picture
    how = cv2.INTER_AREA if side < len(picture) else how
    return cv2.resize(picture, (side, side), interpolation=how)
