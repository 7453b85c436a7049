"""Find faces and their landmarks. The only module that knows MediaPipe.

The finder is `find_faces(image) -> list[FoundFace]`, and `find_landmarks(image)` gives the mesh of
the one face that fills a picture. Write others with the same signatures, and nothing else has to
change but the names of the points in `mesh`.

Coordinates are in pixels with y pointing down, and (0, 0) is the outer corner of the first pixel,
not its centre.
"""

from __future__ import annotations

import importlib
import math
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np
from PIL import Image

from glow_app.faces.alignment import FoundFace, Point, rot90, template_square

__all__ = ["LANDMARKS", "MISSING", "available", "find_faces", "find_landmarks"]

MISSING: Final = "Finding faces needs mediapipe: pip install mediapipe==0.10.21."

LANDMARKS: Final = 478  # points of the face mesh with its irises

# Face mesh points: the two iris centres and the two mouth corners make the template; the outer
# corners of the eyes lie on bone, so their depth tells the yaw whatever the mouth does.
_IRISES: Final = (468, 473)
_MOUTH: Final = (61, 291)
_EYE_CORNERS: Final = (33, 263)

_OVERVIEW: Final = 1280  # pixels: faces are looked for on a copy with at most this long a side
_WINDOW: Final = 256  # pixels: side of the picture that the mesh gets, about one face
_PAD: Final = 0.25  # of the long side: the short-range detector misses faces that fill the picture
_SMALL: Final = 0.25  # of the long side: below this, look again in tiles
_MAX_FACES: Final = 32

# Sides of the windows, in those of the picture, in which the mesh of a face that fills it is
# looked for: the first shows it as `find_faces` does at last, the others find what that misses.
_CLOSE_UPS: Final = (1.3, 1.6, 2.0, 1.0)


def available() -> bool:
    """Whether faces can be found here: mediapipe is installed and can be imported.

    The first call imports it, which takes about two seconds.
    """
    return _face_mesh_module() is not None


def find_faces(image: Image.Image) -> list[FoundFace]:
    """All faces in a picture, largest first.

    Args:
        image: mode RGB, any size.

    Raises:
        RuntimeError: mediapipe is not installed; ask `available` first.
    """
    if not available():
        raise RuntimeError(MISSING)
    with _lock:  # neither the models nor the muting of stderr can be shared by threads
        return _finder().find(image)


def find_landmarks(image: Image.Image) -> tuple[FoundFace, np.ndarray] | None:
    """The face that fills a picture, such as an aligned crop, and all points of its mesh.

    Args:
        image: mode RGB, any size; small ones are enlarged.

    Returns:
        The face, and (LANDMARKS, 2) float32 points (x, y) in pixels, which may lie outside the
        picture: MediaPipe's canonical face model, then five points for each iris. None if the mesh
        finds no face about the middle.

    Raises:
        RuntimeError: mediapipe is not installed; ask `available` first.
    """
    if not available():
        raise RuntimeError(MISSING)
    with _lock:
        return _finder().close_up(image)


# -------------------------------------------------------------------------------------- the finder

_lock = threading.RLock()


@lru_cache(maxsize=1)
def _face_mesh_module() -> Any:
    """MediaPipe's module of the face mesh, or None where it cannot be imported."""
    with _lock, suppress(Exception):  # a broken installation raises more than ImportError
        return importlib.import_module("mediapipe.python.solutions.face_mesh")
    return None


@lru_cache(maxsize=1)
def _finder() -> _Finder:
    return _Finder()


class _Finder:
    """Two detectors propose squares, the face mesh says whether and where a face is in each.

    The short-range detector knows large faces, the full-range one those below about a third of
    the picture. The models lie in mediapipe's wheel; nothing is downloaded.
    """

    def __init__(self) -> None:
        detection = importlib.import_module("mediapipe.python.solutions.face_detection")
        self._muted = True  # the libraries write notices until the first face has gone through
        with _muted_stderr():
            self._near, self._far = (
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
            for model in (self._near, self._far, self._mesh):
                model.process(blank)

    def find(self, image: Image.Image) -> list[FoundFace]:
        return self._quietly(self._find, image)

    def close_up(self, image: Image.Image) -> tuple[FoundFace, np.ndarray] | None:
        return self._quietly(self._close_up, image)

    def _quietly(self, find: Callable[[Image.Image], Any], image: Image.Image) -> Any:
        if not self._muted:
            return find(image)
        with _muted_stderr():
            found = find(image)
        self._muted = not found
        return found

    def _close_up(self, image: Image.Image) -> tuple[FoundFace, np.ndarray] | None:
        views, (width, height) = _Views(image), image.size
        for side in _CLOSE_UPS:
            view = views.window(width / 2, height / 2, side * max(width, height))
            found = self._landmarks(view)
            if found is not None:
                return found, found.mesh.astype(np.float32)
        return None

    def _find(self, image: Image.Image) -> list[FoundFace]:
        views = _Views(image)
        long = max(image.size)
        faces: list[FoundFace] = []
        self._add(faces, views, self._detect(self._near, views.whole(_PAD)))
        self._add(faces, views, self._detect(self._far, views.whole(0.0)))
        if all(face.size < _SMALL * long for face in faces):
            for tile in views.tiles():
                self._add(faces, views, self._detect(self._far, tile))
        return sorted(faces, key=lambda face: -face.size)[:_MAX_FACES]

    def _detect(self, detector: Any, view: _View) -> list[Square]:
        """Squares about each face that a detector sees."""
        result = detector.process(view.pixels)
        boxes = [d.location_data.relative_bounding_box for d in result.detections or ()]
        return [
            view.square(b.xmin + b.width / 2, b.ymin + b.height / 2, max(b.width, b.height))
            for b in boxes
        ]

    def _add(self, faces: list[FoundFace], views: _Views, squares: list[Square]) -> None:
        for x, y, side in squares:
            if len(faces) >= 2 * _MAX_FACES or any(_near(face, x, y, 0.25) for face in faces):
                continue
            found = self._landmarks(views.window(x, y, 2 * side))
            if found is None:
                continue
            # Landmarks depend a little on the window, so the last one is set by the face itself:
            # then the same face gives the same points however it was come by.
            (x, y), *_ = template_square(found)
            face = self._landmarks(views.window(x, y, 1.3 * found.size)) or found
            (x, y), *_ = template_square(face)
            if not any(_near(other, x, y, 0.25) for other in faces):
                faces.append(face)

    def _landmarks(self, view: _View) -> FoundFace | None:
        """The face nearest to the middle of a view, if the mesh finds one near there."""
        found = self._mesh.process(view.pixels).multi_face_landmarks or ()
        faces = [_face_of(view, mesh.landmark) for mesh in found]
        x, y, _ = view.square(0.5, 0.5, 1.0)
        near = [face for face in faces if _near(face, x, y, 0.4)]
        return min(near, key=lambda face: _distance(face, x, y), default=None)


Square = tuple[float, float, float]  # centre x, y and side, in pixels of the picture


@dataclass(frozen=True)
class _View:
    """Part of a picture as a model gets it: (H, W, 3) uint8; pixel p lies at origin + p·scale."""

    pixels: np.ndarray
    origin: Point
    scale: float

    def square(self, x: float, y: float, side: float) -> Square:
        """From fractions of the view (side: of its width) to pixels of the picture."""
        px, py = self.point(x, y)
        return px, py, side * self.pixels.shape[1] * self.scale

    def point(self, x: float, y: float) -> Point:
        height, width = self.pixels.shape[:2]
        return self.origin[0] + x * width * self.scale, self.origin[1] + y * height * self.scale


class _Views:
    """Cuts square views out of a picture, antialiased, from a reduced copy if that is enough."""

    def __init__(self, image: Image.Image) -> None:
        self.width, self.height = image.size
        self._factor = max(1, math.ceil(max(image.size) / _OVERVIEW))
        self._copy = image.reduce(self._factor) if self._factor > 1 else image
        self._image = image

    def whole(self, pad: float) -> _View:
        """The whole picture with `pad` of its long side added on each side."""
        long = max(self.width, self.height)
        return self.window(self.width / 2, self.height / 2, long * (1 + 2 * pad))

    def tiles(self) -> Iterator[_View]:
        """Overlapping squares of half the long side that cover the picture."""
        side = max(self.width, self.height) / 2
        for y in _centres(self.height, side):
            for x in _centres(self.width, side):
                yield self.window(x, y, side)

    def window(self, x: float, y: float, side: float) -> _View:
        """A square about (x, y), in pixels of the picture, as _WINDOW x _WINDOW pixels.

        What lies outside repeats the nearest pixel of the border: a reflection would be one more
        face to find.
        """
        coarse = side >= _WINDOW * self._factor
        source, factor = (self._copy, self._factor) if coarse else (self._image, 1)
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
        scale = factor * step * n / _WINDOW
        return _View(np.asarray(square), (left * factor, top * factor), scale)


def _inside(start: int, n: int, step: int, length: int) -> tuple[int, int]:
    """Which of n cells of `step` pixels from `start` lie within 0..length; one at least."""
    first = min(max(0, math.ceil(-start / step)), (length - step - start) // step)
    return max(0, first), max(first + 1, min(n, (length - start) // step))


def _centres(length: int, side: float) -> np.ndarray:
    """Centres of windows of `side` that cover `length` and overlap by half at least."""
    if length <= side:
        return np.array([length / 2])
    return np.linspace(side / 2, length - side / 2, math.ceil((length - side) / (side / 2)) + 1)


def _face_of(view: _View, landmarks: Any) -> FoundFace:
    def point(k: int) -> np.ndarray:
        return np.array(view.point(landmarks[k].x, landmarks[k].y))

    eyes, mouth = [point(k) for k in _IRISES], [point(k) for k in _MOUTH]
    down = sum(mouth) / 2 - sum(eyes) / 2
    # "Right" is where the mouth lies a quarter turn clockwise of it. For every face tilted by less
    # than 90 degrees this is the order of x; beyond that x alone would turn it upside down.
    if rot90(eyes[1] - eyes[0]) @ down < 0:
        eyes.reverse()
    if (mouth[1] - mouth[0]) @ (eyes[1] - eyes[0]) < 0:
        mouth.reverse()
    a, b = (landmarks[k] for k in _EYE_CORNERS)
    flat = math.hypot(b.x - a.x, b.y - a.y)  # views are square, and z is in units of their width
    yaw = math.degrees(math.atan2(b.z - a.z, flat))
    points = [(float(p[0]), float(p[1])) for p in (*eyes, *mouth)]
    mesh = np.array([view.point(p.x, p.y) for p in landmarks])
    return FoundFace(*points, yaw=yaw, mesh=mesh)


def _distance(face: FoundFace, x: float, y: float) -> float:
    centre, *_ = template_square(face)
    return math.hypot(centre[0] - x, centre[1] - y)


def _near(face: FoundFace, x: float, y: float, fraction: float) -> bool:
    """Whether (x, y) lies within `fraction` of the face's square from its centre."""
    return _distance(face, x, y) < fraction * face.size


@contextmanager
def _muted_stderr() -> Iterator[None]:
    """Send the process's stderr to nowhere: TFLite and absl write there whatever they are told."""
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
