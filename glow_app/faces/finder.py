"""Find faces and their landmarks. The only module that knows MediaPipe.

`search(image)` finds all faces of a picture, `find_landmarks(image)` the one face that fills it.
Another finder needs the same two functions and the numbers of its points in `landmarks`. Two
detectors propose squares, and the face mesh decides whether and where there is a face in each; all
get small square parts of the picture (`View`), turned if need be.

Coordinates are in pixels with y pointing down, and (0, 0) is the outer corner of the first pixel,
not its centre.
"""

from __future__ import annotations

import importlib
import math
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, Final

import numpy as np
from PIL import Image

from glow_app.faces.alignment import FoundFace, Point, rot90

MISSING: Final = "Finding faces needs mediapipe: pip install mediapipe==0.10.21."

# Points of the face mesh: iris centres and mouth corners make the template; the outer corners of
# the eyes lie on bone, so their depth gives the yaw whatever the mouth does.
_IRISES: Final = (468, 473)
_MOUTH: Final = (61, 291)
_EYE_CORNERS: Final = (33, 263)

_PAD: Final = 0.25  # of the long side: the short-range detector misses faces that fill the picture
# Shares of the long side: while all faces are below the first, search tiles of the second, if
# those have so many pixels: smaller ones show hardly more than larger ones do.
_TILES: Final = ((0.25, 0.5, 0), (0.125, 0.25, 300), (0.0625, 0.125, 300))
_MAX_FACES: Final = 128

# The confidence, 0 to 1, that a face was found the right way up is the score of the detector on
# the upright face, turned a little both ways, less how far its landmarks move then. Of 60 photos
# the upright ones have 0.79 to 0.93, those upside down at most 0.76 and always 0.12 less than the
# same face upright; a face on its side is either found upright or has next to none.
_TURNS: Final = (-15.0, 15.0)  # degrees
_CERTAIN: Final = 0.8  # from here on no other turn is tried
DOUBTFUL: Final = 0.6  # below this it is not known which way up the face is
_MOVE_COST: Final = 4.0  # of landmarks that move by the whole side of the face's square
_MAX_MOVE: Final = 0.2  # of that side: what landmarks are taken to move by if they are not found

# Sides of windows, in those of the picture, in which the mesh of a face that fills it is searched:
# the first shows it as `search` does in the end, the others are for faces that this misses.
_CLOSE_UPS: Final = (1.3, 1.6, 2.0, 1.0)

_OVERVIEW: Final = 1280  # pixels: largest side of the copy on which large faces are searched
_WINDOW: Final = 256  # pixels: side of the picture that the mesh gets, about one face

Spot = tuple[float, float, float]  # centre x, y and side of an upright square, in pixels


@dataclass(frozen=True)
class Search:
    """The result of a search for faces.

    Attributes:
        faces: largest first, and after the others those of which it is not clear which way up
            they are (`FoundFace.confidence` below `DOUBTFUL`).
        unconfirmed: how many places look like a face to a detector but gave no landmarks.
    """

    faces: tuple[FoundFace, ...]
    unconfirmed: int


def available() -> bool:
    """Say whether mediapipe can be imported. The first call imports it: about two seconds."""
    return _face_mesh_module() is not None


def find_faces(image: Image.Image) -> list[FoundFace]:
    """Return the faces of `search`; arguments and errors are the same."""
    return list(search(image).faces)


def search(image: Image.Image) -> Search:
    """Find all faces in a picture, whichever way up they are.

    Unless all faces are certain to be upright, the picture is searched in all four turns, and of
    several results in one place the one of the highest confidence is kept.

    Args:
        image: mode RGB, any size.

    Raises:
        RuntimeError: mediapipe is not installed; ask `available` first.
    """
    views = Views.of(image)
    with _finder() as finder:
        found = finder.scan(views, min_tilings=2)
        if not found.faces or any(face.confidence < _CERTAIN for face in found.faces):
            tilings = 1 if found.faces else 0  # a picture without a result seldom has a face
            for quarters in (1, 2, 3):
                found.join(finder.scan(views.turned(quarters), tilings))
    found.faces.sort(key=lambda face: (face.confidence < DOUBTFUL, -face.size))
    more = found.count_unconfirmed() + max(0, len(found.faces) - _MAX_FACES)
    return Search(tuple(found.faces[:_MAX_FACES]), more)


def find_landmarks(image: Image.Image) -> FoundFace | None:
    """Find the face that fills a picture, such as an aligned crop; None if there is none about the
    middle.

    Args:
        image: mode RGB, any size; small ones are enlarged.

    Raises:
        RuntimeError: mediapipe is not installed; ask `available` first.
    """
    views = Views.of(image)
    with _finder() as finder:
        found = (finder.landmarks(views.whole(side)) for side in _CLOSE_UPS)
        return next((face for face in found if face is not None), None)


# ------------------------------------------------------------------------------ parts of a picture


@dataclass(frozen=True)
class View:
    """A square part of a picture.

    Attributes:
        pixels: (N, N, 3) uint8.
        origin: where the outer corner of its first pixel lies in the picture.
        across: (2,), from one of its pixels to the next on the right, in pixels of the picture;
            the next below lies a quarter turn clockwise of that.
    """

    pixels: np.ndarray
    origin: Point
    across: np.ndarray

    def points(self, inside: np.ndarray) -> np.ndarray:
        """Convert fractions (..., 2) of the view, x and y, to pixels of the picture."""
        n, inside = len(self.pixels), np.asarray(inside)
        down = rot90(self.across)
        return self.origin + inside[..., :1] * n * self.across + inside[..., 1:] * n * down

    def spot(self, x: float, y: float, side: float) -> Spot:
        """Convert fractions of the view to pixels of the picture."""
        px, py = self.points(np.array([x, y])).tolist()
        return px, py, side * len(self.pixels) * math.hypot(*self.across)

    def quarters(self, count: int) -> View:
        """Return the same part, turned counterclockwise by so many quarters."""
        origin, across = np.asarray(self.origin), self.across
        for _ in range(count % 4):
            origin, across = origin + len(self.pixels) * across, rot90(across)
        pixels = np.ascontiguousarray(np.rot90(self.pixels, count))
        return View(pixels, (origin[0], origin[1]), across)

    def turned(self, degrees: float, share: float) -> View:
        """Return the middle of it, turned counterclockwise. `share`: of its side; above 0.7 its
        corners may be empty."""
        n, side = len(self.pixels), round(share * len(self.pixels))
        angle = math.radians(degrees)
        right = np.array([math.cos(angle), math.sin(angle)])
        down = rot90(right)
        corner = n / 2 - (right + down) * side / 2
        pixels = Image.fromarray(self.pixels).transform(
            (side, side),
            Image.Transform.AFFINE,
            (right[0], down[0], corner[0], right[1], down[1], corner[1]),
            Image.Resampling.BILINEAR,
        )
        origin = self.origin + corner[0] * self.across + corner[1] * rot90(self.across)
        across = right[0] * self.across + right[1] * rot90(self.across)
        return View(np.asarray(pixels), (origin[0], origin[1]), across)


@dataclass(frozen=True)
class Views:
    """Cuts square views out of a picture, antialiased, from a reduced copy if that suffices."""

    image: Image.Image  # mode RGB, any size
    overview: Image.Image  # the same reduced by `factor`
    factor: int
    quarters: int = 0  # by which all views are turned counterclockwise

    @classmethod
    def of(cls, image: Image.Image) -> Views:
        factor = max(1, math.ceil(max(image.size) / _OVERVIEW))
        return cls(image, image.reduce(factor) if factor > 1 else image, factor)

    @property
    def long(self) -> int:
        """The long side of the picture in pixels."""
        return max(self.image.size)

    def turned(self, quarters: int) -> Views:
        """Return views turned by this many quarters in all."""
        return replace(self, quarters=quarters)

    def whole(self, side: float) -> View:
        """Cut out a square about the middle of the picture; side: in long sides of it."""
        return self.window(self.image.width / 2, self.image.height / 2, self.long * side)

    def tiles(self, share: float) -> Iterator[View]:
        """Yield overlapping squares of this share of the long side that cover the picture."""
        side = self.long * share
        for y in _centres(self.image.height, side):
            for x in _centres(self.image.width, side):
                yield self.window(x, y, side)

    def window(self, x: float, y: float, side: float) -> View:
        """Cut out a square about (x, y), in pixels of the picture, as _WINDOW x _WINDOW pixels.

        Beyond the border its nearest pixel is repeated: a reflection could show one more face.
        """
        coarse = side >= _WINDOW * self.factor
        source, factor = (self.overview, self.factor) if coarse else (self.image, 1)
        step = max(1, int(side / factor / _WINDOW))
        n = max(8, math.ceil(side / factor / step))
        left, top = (round((v - side / 2) / factor) for v in (x, y))
        columns = _inside(left, n, step, source.width)
        rows = _inside(top, n, step, source.height)
        box = (
            left + columns[0] * step, top + rows[0] * step,
            left + columns[1] * step, top + rows[1] * step,
        )  # fmt: skip
        pixels = np.asarray(source.reduce(step, box) if step > 1 else source.crop(box))
        borders = ((rows[0], n - rows[1]), (columns[0], n - columns[1]), (0, 0))
        square = Image.fromarray(np.pad(pixels, borders, mode="edge"))
        if n != _WINDOW:
            square = square.resize((_WINDOW, _WINDOW), Image.Resampling.BILINEAR)
        across = np.array([factor * step * n / _WINDOW, 0.0])
        view = View(np.asarray(square), (left * factor, top * factor), across)
        return view.quarters(self.quarters)


def _inside(start: int, n: int, step: int, length: int) -> tuple[int, int]:
    """Return which of n cells of `step` pixels from `start` lie in 0..length, at least one."""
    first = min(max(0, math.ceil(-start / step)), (length - step - start) // step)
    return max(0, first), max(first + 1, min(n, (length - start) // step))


def _centres(length: int, side: float) -> np.ndarray:
    """Return centres of windows of `side` that cover `length` and overlap by half at least."""
    if length <= side:
        return np.array([length / 2])
    return np.linspace(side / 2, length - side / 2, math.ceil((length - side) / (side / 2)) + 1)


# -------------------------------------------------------------------------------------- the finder

_lock = threading.RLock()


@contextmanager
def _finder() -> Iterator[_Finder]:
    if not available():
        raise RuntimeError(MISSING)
    with _lock:  # neither the models nor the muting of stderr can be shared by threads
        finder = _load_finder()
        with _muted_stderr() if finder.noisy else nullcontext():
            yield finder


@lru_cache(maxsize=1)
def _face_mesh_module() -> Any:
    """Import MediaPipe's face mesh; None where that fails."""
    with _lock, suppress(Exception):  # a broken installation raises more than ImportError
        return importlib.import_module("mediapipe.python.solutions.face_mesh")
    return None


@lru_cache(maxsize=1)
def _load_finder() -> _Finder:
    return _Finder()


@dataclass(eq=False)
class _Found:
    """The faces found so far in one turn of a picture, or in several."""

    faces: list[FoundFace] = field(default_factory=list)
    unconfirmed: list[Spot] = field(default_factory=list)  # detected, but without a mesh

    def join(self, other: _Found) -> None:
        """Keep the more confident of two faces in one place; add others if they are certain, or
        not doubtful where none is certain."""
        least = _CERTAIN if self.any(_CERTAIN) else DOUBTFUL
        for face in other.faces:
            same = [
                one
                for one in self.faces
                if _near(one, *face.square.centre, 0.5) or _near(face, *one.square.centre, 0.5)
            ]
            rivals = [one.confidence for one in same]
            if face.confidence > max(rivals) if rivals else face.confidence >= least:
                self.faces = [one for one in self.faces if one not in same] + [face]

    def any(self, confidence: float) -> bool:
        """Say whether there is a face of at least this confidence."""
        return any(face.confidence >= confidence for face in self.faces)

    def count_unconfirmed(self) -> int:
        """Count the different places where something was detected but no face was found."""
        places: list[Spot] = []
        for x, y, side in self.unconfirmed:
            found = any(_near(face, x, y, 0.5) for face in self.faces)
            if not found and all(math.dist((x, y), other[:2]) > side / 2 for other in places):
                places.append((x, y, side))
        return len(places)


class _Finder:
    """MediaPipe's models: the face mesh, and two detectors that propose where to use it.

    The short-range detector knows large faces, the full-range one those below about a third of
    the picture. The models lie in mediapipe's wheel; nothing is downloaded.
    """

    def __init__(self) -> None:
        detection = importlib.import_module("mediapipe.python.solutions.face_detection")
        self.noisy = True  # the libraries write notices until the first face has gone through
        with _muted_stderr():
            self._short, self._full = (
                detection.FaceDetection(model_selection=k, min_detection_confidence=0.5)
                for k in (0, 1)
            )
            self._mesh = _face_mesh_module().FaceMesh(
                static_image_mode=True,
                refine_landmarks=True,
                max_num_faces=2,
                min_detection_confidence=0.3,
            )
            blank = np.zeros((64, 64, 3), np.uint8)
            for model in (self._short, self._full, self._mesh):
                model.process(blank)

    def scan(self, views: Views, min_tilings: int) -> _Found:
        """Search the picture in one turn. `min_tilings`: how many sizes of tiles are searched even
        if all faces are doubtful."""
        found = _Found()
        self._add(found, views, self._short, views.whole(1 + 2 * _PAD))
        self._add(found, views, self._full, views.whole(1.0))
        for size, (small, share, pixels) in enumerate(_TILES):
            if share * views.long < pixels or (size >= min_tilings and not found.any(DOUBTFUL)):
                break
            if all(face.size < small * views.long for face in found.faces):
                for tile in views.tiles(share):
                    self._add(found, views, self._full, tile)
        return found

    def _add(self, found: _Found, views: Views, detector: Any, part: View) -> None:
        """Add the new faces that the mesh finds where a detector sees one in a part."""
        for detection in detector.process(part.pixels).detections or ():
            box = detection.location_data.relative_bounding_box
            x, y, side = part.spot(
                box.xmin + box.width / 2, box.ymin + box.height / 2, max(box.width, box.height)
            )
            faces = found.faces
            if len(faces) >= 2 * _MAX_FACES or any(_near(face, x, y, 0.25) for face in faces):
                continue
            face = self.landmarks(views.window(x, y, 2 * side))
            if face is None:
                found.unconfirmed.append((x, y, side))
                continue
            # Landmarks depend a little on the window. The last one is set by the face itself, so
            # that one face always has the same points, however it was detected and turned.
            upright = views.turned(round(face.square.turn / 90))
            again = upright.window(*face.square.centre, 1.3 * face.size)
            face = self.landmarks(again) or face
            if not any(_near(other, *face.square.centre, 0.25) for other in faces):
                faces.append(replace(face, confidence=self._confidence(views, face)))

    def _confidence(self, views: Views, face: FoundFace) -> float:
        """Measure the confidence that a face was found the right way up; see `_CERTAIN`."""
        around = views.turned(0).window(*face.square.centre, 1.5 * 1.3 * face.size)
        marks = []
        for turn in _TURNS:
            view = around.turned(face.square.turn + turn, 1 / 1.5)
            detections = self._short.process(view.pixels).detections or ()
            score = max((one.score[0] for one in detections), default=0.0)
            again = self.landmarks(view)
            move = _MAX_MOVE if again is None else _moved(face, again)
            marks.append(score - _MOVE_COST * min(move, _MAX_MOVE))
        return float(np.clip(np.mean(marks), 0, 1))

    def landmarks(self, view: View) -> FoundFace | None:
        """Return the face nearest to the middle of a view, if the mesh finds one near there."""
        found = self._mesh.process(view.pixels).multi_face_landmarks or ()
        self.noisy = self.noisy and not found
        faces = [_face_of(view, mesh.landmark) for mesh in found]
        x, y, _ = view.spot(0.5, 0.5, 1.0)
        near = [face for face in faces if _near(face, x, y, 0.4)]
        return min(near, key=lambda face: math.dist(face.square.centre, (x, y)), default=None)


def _face_of(view: View, landmarks: Any) -> FoundFace:
    mesh = view.points(np.array([(p.x, p.y) for p in landmarks]))
    eyes, mouth = [mesh[k] for k in _IRISES], [mesh[k] for k in _MOUTH]
    down = sum(mouth) / 2 - sum(eyes) / 2
    # The mouth lies a quarter turn clockwise of "right", which holds for any tilt of the face. The
    # order of x would turn faces upside down that are tilted by more than 90 degrees.
    if rot90(eyes[1] - eyes[0]) @ down < 0:
        eyes.reverse()
    if (mouth[1] - mouth[0]) @ (eyes[1] - eyes[0]) < 0:
        mouth.reverse()
    a, b = (landmarks[k] for k in _EYE_CORNERS)
    flat = math.hypot(b.x - a.x, b.y - a.y)  # views are square, and z is in units of their width
    yaw = math.degrees(math.atan2(b.z - a.z, flat))
    left, right, mouth_left, mouth_right = ((float(p[0]), float(p[1])) for p in (*eyes, *mouth))
    return FoundFace(left, right, mouth_left, mouth_right, yaw=yaw, mesh=mesh)


def _moved(face: FoundFace, again: FoundFace) -> float:
    """Measure how far the landmarks moved, in sides of the face's square."""
    moved = np.asarray(again.mesh) - np.asarray(face.mesh)
    return float(np.sqrt(np.square(moved).sum(axis=1).mean())) / face.size


def _near(face: FoundFace, x: float, y: float, fraction: float) -> bool:
    """Say whether (x, y) lies within `fraction` of the face's square from its centre."""
    return math.dist(face.square.centre, (x, y)) < fraction * face.size


@contextmanager
def _muted_stderr() -> Iterator[None]:
    """Redirect the process's stderr to nowhere: no setting stops TFLite and absl from writing."""
    try:
        sys.stderr.flush()
        saved = os.dup(2)
    except (AttributeError, OSError, ValueError):  # a process without stderr
        yield
        return
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
