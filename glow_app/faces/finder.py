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
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, Final

import numpy as np
from PIL import Image

from glow_app.faces.alignment import FoundFace, rot90, template_square
from glow_app.faces.views import Spot, View, Views

__all__ = [
    "DOUBTFUL", "LANDMARKS", "MISSING", "Search", "available", "find_faces", "find_landmarks",
    "search",
]  # fmt: skip

MISSING: Final = "Finding faces needs mediapipe: pip install mediapipe==0.10.21."

LANDMARKS: Final = 478  # points of the face mesh with its irises

# Face mesh points: the two iris centres and the two mouth corners make the template; the outer
# corners of the eyes lie on bone, so their depth tells the yaw whatever the mouth does.
_IRISES: Final = (468, 473)
_MOUTH: Final = (61, 291)
_EYE_CORNERS: Final = (33, 263)

_PAD: Final = 0.25  # of the long side: the short-range detector misses faces that fill the picture
# Shares of the long side: where all faces are below the first, look again in tiles of the second,
# if those have so many pixels: smaller ones show hardly more than larger ones do.
_TILES: Final = ((0.25, 0.5, 0), (0.125, 0.25, 300), (0.0625, 0.125, 300))
_MAX_FACES: Final = 128

# How sure it is that a face was taken the right way up, from 0 to 1: what the detector thinks of
# it once it is upright and turned a little both ways, less how far its landmarks wander then. Of
# 60 photos the upright ones have 0.79 to 0.93, those on their head up to 0.76 and always 0.12
# less than the same face upright; on its side a face is either taken rightly or has next to none.
_TURNS: Final = (-15.0, 15.0)  # degrees
_PLAIN: Final = 0.8  # above this no other turn is tried
DOUBTFUL: Final = 0.6  # below this it is not known which way up the face is
_WANDER: Final = 4.0  # for landmarks that are off by the whole side of the face's square
_LOST: Final = 0.2  # of that side: as far off as landmarks can be

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
    return list(search(image).faces)


@dataclass(frozen=True)
class Search:
    """What a search for faces brought.

    Attributes:
        faces: largest first, and last those that are not known to be taken the right way up
            (`FoundFace.sure` below `DOUBTFUL`).
        left: how many more places there may be that show a face.
    """

    faces: tuple[FoundFace, ...]
    left: int


def search(image: Image.Image) -> Search:
    """All faces in a picture, whichever way up they are. Arguments and errors as `find_faces`.

    Where a face was not plainly taken the right way up the picture is looked at in all four turns,
    and of what is seen in one place that is kept which stays the same when it is turned a little.
    """
    if not available():
        raise RuntimeError(MISSING)
    with _lock:  # neither the models nor the muting of stderr can be shared by threads
        return _finder().search(image)


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


@dataclass(eq=False)
class _Look:
    """What was seen in one turn of a picture, or in several."""

    faces: list[FoundFace] = field(default_factory=list)
    missed: list[Spot] = field(default_factory=list)  # a detector sees a face, the mesh does not

    def join(self, other: _Look) -> None:
        """Of what both see in one place the surer; what only the other sees if that is sure."""
        enough = _PLAIN if self.any(_PLAIN) else DOUBTFUL
        for face in other.faces:
            (x, y), *_ = template_square(face)
            same = [one for one in self.faces if _near(one, x, y, 0.5) or _covers(face, one)]
            if all(face.sure > one.sure for one in same) if same else face.sure >= enough:
                self.faces = [one for one in self.faces if one not in same] + [face]

    def any(self, sure: float) -> bool:
        """Whether there is a face that is as sure as that."""
        return any(face.sure >= sure for face in self.faces)

    def left(self) -> int:
        """How many places may show a face that was not found."""
        places: list[Spot] = []
        for x, y, side in self.missed:
            known = any(_near(face, x, y, 0.5) for face in self.faces)
            if not known and all(math.dist((x, y), other[:2]) > side / 2 for other in places):
                places.append((x, y, side))
        return len(places)


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

    def search(self, image: Image.Image) -> Search:
        return self._quietly(self._search, image)

    def close_up(self, image: Image.Image) -> tuple[FoundFace, np.ndarray] | None:
        return self._quietly(self._close_up, image)

    def _quietly(self, find: Callable[[Image.Image], Any], image: Image.Image) -> Any:
        if not self._muted:
            return find(image)
        with _muted_stderr():
            found = find(image)
        self._muted = not (found.faces if isinstance(found, Search) else found)
        return found

    def _close_up(self, image: Image.Image) -> tuple[FoundFace, np.ndarray] | None:
        views, (width, height) = Views(image), image.size
        for side in _CLOSE_UPS:
            view = views.window(width / 2, height / 2, side * max(width, height))
            found = self._landmarks(view)
            if found is not None:
                return found, found.mesh.astype(np.float32)
        return None

    def _search(self, image: Image.Image) -> Search:
        views = Views(image)
        look = self._look(views, patience=2)
        if not look.faces or any(face.sure < _PLAIN for face in look.faces):
            patience = 1 if look.faces else 0  # where nothing is seen there seldom is a face
            for quarters in (1, 2, 3):
                look.join(self._look(views.turned(quarters), patience))
        look.faces.sort(key=lambda face: (face.sure < DOUBTFUL, -face.size))
        left = look.left() + max(0, len(look.faces) - _MAX_FACES)
        return Search(tuple(look.faces[:_MAX_FACES]), left)

    def _look(self, views: Views, patience: int) -> _Look:
        """What is seen in one turn of the picture.

        Args:
            patience: how many sizes of tiles are tried while no face is seen that is one surely.
        """
        look = _Look()
        self._add(look, views, self._detect(self._near, views.whole(_PAD)))
        self._add(look, views, self._detect(self._far, views.whole(0.0)))
        for size, (small, share, pixels) in enumerate(_TILES):
            if share * views.long < pixels or (size >= patience and not look.any(DOUBTFUL)):
                break
            if all(face.size < small * views.long for face in look.faces):
                for tile in views.tiles(share):
                    self._add(look, views, self._detect(self._far, tile))
        return look

    def _detect(self, detector: Any, view: View) -> list[Spot]:
        """Squares about each face that a detector sees."""
        result = detector.process(view.pixels)
        boxes = [d.location_data.relative_bounding_box for d in result.detections or ()]
        return [
            view.spot(b.xmin + b.width / 2, b.ymin + b.height / 2, max(b.width, b.height))
            for b in boxes
        ]

    def _add(self, look: _Look, views: Views, spots: list[Spot]) -> None:
        faces = look.faces
        for x, y, side in spots:
            if len(faces) >= 2 * _MAX_FACES or any(_near(face, x, y, 0.25) for face in faces):
                continue
            found = self._landmarks(views.window(x, y, 2 * side))
            if found is None:
                look.missed.append((x, y, side))
                continue
            # Landmarks depend a little on the window, so the last one is set by the face itself:
            # then the same face gives the same points however it was come by and however it lies.
            (x, y), *_ = template_square(found)
            upright = views.turned(round(found.tilt / 90))
            face = self._landmarks(upright.window(x, y, 1.3 * found.size)) or found
            (x, y), *_ = template_square(face)
            if not any(_near(other, x, y, 0.25) for other in faces):
                faces.append(replace(face, sure=self._sureness(views, face)))

    def _sureness(self, views: Views, face: FoundFace) -> float:
        """How sure it is that a face was taken the right way up; see `_PLAIN`."""
        (x, y), *_ = template_square(face)
        around = views.turned(0).window(x, y, 1.5 * 1.3 * face.size)
        marks = []
        for more in _TURNS:
            view = around.turned(face.tilt + more, 1 / 1.5)
            seen = self._near.process(view.pixels).detections or ()
            score = max((one.score[0] for one in seen), default=0.0)
            again = self._landmarks(view)
            off = _LOST if again is None else _wandered(face, again)
            marks.append(score - _WANDER * min(off, _LOST))
        return float(np.clip(np.mean(marks), 0, 1))

    def _landmarks(self, view: View) -> FoundFace | None:
        """The face nearest to the middle of a view, if the mesh finds one near there."""
        found = self._mesh.process(view.pixels).multi_face_landmarks or ()
        faces = [_face_of(view, mesh.landmark) for mesh in found]
        x, y, _ = view.spot(0.5, 0.5, 1.0)
        near = [face for face in faces if _near(face, x, y, 0.4)]
        return min(near, key=lambda face: _distance(face, x, y), default=None)


def _face_of(view: View, landmarks: Any) -> FoundFace:
    mesh = view.points(np.array([(p.x, p.y) for p in landmarks]))
    eyes, mouth = [mesh[k] for k in _IRISES], [mesh[k] for k in _MOUTH]
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
    return FoundFace(*points, yaw=yaw, mesh=mesh)


def _wandered(face: FoundFace, again: FoundFace) -> float:
    """How far the landmarks are from where they were, in sides of the face's square."""
    return float(np.sqrt(np.square(again.mesh - face.mesh).sum(axis=1).mean())) / face.size


def _covers(face: FoundFace, other: FoundFace) -> bool:
    """Whether the middle of another face lies in the middle of this one."""
    (x, y), *_ = template_square(other)
    return _near(face, x, y, 0.5)


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
