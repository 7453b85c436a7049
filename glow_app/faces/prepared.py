"""Prepared faces on the disk: write those of a photo, and record which photo it was.

Each picture stores its `Record` (in a text chunk of a PNG, the comment of a JPEG). From these
another run knows what is done, what has to be done again, and which pictures show the same faces
under an older name, however many machines wrote into the folder.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path, PurePath
from typing import Any, Final

from PIL import Image, PngImagePlugin

from glow_app.common.errors import UserError
from glow_app.common.files import replacing
from glow_app.faces.coding import Coding, coding_at
from glow_app.faces.face import FULL, Face, prepare, prepare_all
from glow_app.faces.looks import CROPS, Looks, ReferenceFrame
from glow_app.faces.opening import name_of

_KEY: Final = "photo"  # of the text in a PNG
_MOST: Final = 60_000  # characters of it


@dataclass(frozen=True)
class Plan:
    """How faces are to be written."""

    size: int = 128  # pixels a side; looks of 128 are the JPEGs that models learn from
    format: str = "png"  # or "jpg" of quality 95, 4:4:4; not of coded looks
    all_faces: bool = False  # all of a photo and not only the largest
    shape: str = "crop"  # "crop": as they are cut out; "mean": looks, warped to the mean shape
    aligned: bool = False  # the photos are aligned crops already

    @property
    def frame(self) -> ReferenceFrame:
        """That of the pictures."""
        return CROPS if self.shape == "crop" else ReferenceFrame.looks()

    @property
    def coding(self) -> Coding | None:
        """The coding of the files themselves."""
        return coding_at(Coding(), self.size) if self.shape == "mean" else None

    @property
    def suffix(self) -> str:
        """The ending of the pictures, without a dot."""
        return "jpg" if self.coding is not None else self.format


@dataclass(frozen=True)
class Record:
    """Which photo a picture was made of, and how."""

    photo: str  # its path below the folder of photos, with slashes
    picture: str  # that of the picture below the folder of pictures, when it was written
    size: int  # of the photo, bytes
    changed: int  # time of change of the photo, ns
    digest: str  # of its bytes, 32 hexadecimal digits
    plan: dict[str, Any]  # the `Plan` as a dict

    @classmethod
    def read(cls, path: Path) -> Record | None:
        """Read it from a picture; None if that is missing or not written by this program."""
        try:
            with Image.open(path, formats=["PNG", "JPEG"]) as image:
                text = image.info.get(_KEY) or image.info.get("comment", b"")
            if isinstance(text, bytes):
                text = text.decode("ascii")
            record = cls(**json.loads(text[:_MOST]))
        except (OSError, ValueError, TypeError, SyntaxError, Image.DecompressionBombError):
            return None
        names = (record.photo, record.picture, record.digest)
        return record if all(isinstance(name, str) for name in names) else None

    def text(self) -> str:
        """Return it as ASCII, whatever characters the names have."""
        return json.dumps(asdict(self))


@dataclass(frozen=True)
class Job:
    """One photo, and where its faces go."""

    path: Path  # where the photo lies
    photo: Path  # its path below the folder of photos
    out: Path  # the folder of pictures
    picture: Path  # the path of the (first) face below that
    plan: Plan  # how they are written


@dataclass(frozen=True)
class Outcome:
    """The result for one photo."""

    pictures: tuple[Path, ...] = ()  # of its faces, relative to the folder of pictures
    new: bool = False  # whether they were written now and not by an earlier run
    digest: str = ""  # of the photo's bytes; "" if it could not be read
    left_out: str = ""  # a sentence why there are none
    outdated: tuple[Path, ...] = ()  # pictures of another photo that had this name before
    turned: int = 0  # how many of its new pictures show a face that lay on its side or head
    missed: int = 0  # how many more faces it may show


def write_faces(job: Job) -> Outcome:
    """Write the faces of a photo, unless an earlier run did and the photo is the same.
    Raises OSError: the disk is full, or the folder may not be written to."""
    size, changed, digest = 0, 0, ""
    done = Record.read(job.out / job.picture)
    try:
        status = os.stat(job.path)  # before it is read, so that the next run sees later changes
        size, changed = status.st_size, status.st_mtime_ns
        if done is not None and _is_of(done, job) and (done.size, done.changed) == (size, changed):
            return Outcome(_faces_there(job, done), digest=done.digest)
        digest = digest_of(job.path)
        if done is not None and _is_of(done, job) and done.digest == digest:  # copied, touched
            return Outcome(_faces_there(job, done), digest=digest)
    except OSError:
        pass  # `prepare` has a sentence for it
    try:
        found, missed = _found(job)
        names = [job.picture, *(_sibling(job.picture, k) for k in range(2, len(found) + 1))]
        # Face 1 comes last: its file marks this photo as done.
        for name, face in reversed(list(zip(names, found, strict=True))):
            named = job.photo.as_posix(), name.as_posix()
            record = Record(*named, size, changed, digest, asdict(job.plan))
            _save(face, job.out / name, job.plan, record)
    except UserError as error:
        # If the photo merely cannot be read now, its picture is still right.
        older = done is not None and _is_named(done, job) and digest not in ("", done.digest)
        outdated = (job.picture,) if older else ()
        return Outcome(digest=digest, left_out=str(error), outdated=outdated)
    turned = sum(face.turned for face in found)
    return Outcome(tuple(names), True, digest, turned=turned, missed=missed)


class Leftovers:
    """Pictures that this program wrote under names it would not choose now, except copies of them.

    Args:
        out: the folder of pictures.
        pictures: its files, relative to it.
        names: the picture of the first face of each photo, relative to their folders.
    """

    def __init__(self, out: Path, pictures: Iterable[Path], names: Mapping[Path, Path]) -> None:
        self._photos = {photo.as_posix() for photo in names}
        self._by_photo: dict[str, list[Record]] = {}
        self._by_digest: dict[str, list[Record]] = {}
        for picture in set(pictures) - set(names.values()):
            record = Record.read(out / picture)
            if record is not None and record.picture == picture.as_posix():
                self._by_photo.setdefault(record.photo, []).append(record)
                self._by_digest.setdefault(record.digest, []).append(record)

    def of(self, photo: Path, outcome: Outcome) -> set[Path]:
        """Return the pictures to delete after this outcome of a photo: its faces under other
        names, those of an earlier photo of its name, those under an older name of its own."""
        if not outcome.digest:
            return set()
        named = self._by_photo.get(photo.as_posix(), ())
        old = {r.picture for r in named if outcome.pictures or r.digest != outcome.digest}
        if outcome.pictures:
            same = self._by_digest.get(outcome.digest, ())
            old |= {r.picture for r in same if r.photo not in self._photos}
        return {*map(Path, old), *outcome.outdated} - set(outcome.pictures)


# ------------------------------------------------------------------------------------- inside


def _found(job: Job) -> tuple[list[Face], int]:
    """Return the faces of a photo and how many more there may be."""
    plan = job.plan
    full = FULL if plan.shape == "mean" else 0  # as the page has it
    if plan.all_faces:
        return prepare_all(job.path, plan.size, plan.coding, full)
    align = "center" if plan.aligned else "face"
    face = prepare(job.path, plan.size, align, plan.coding, full)
    if plan.shape == "mean" and face.shape is None:
        raise UserError(f"{name_of(job.path)} shows no face that could be found.")
    return [face], 0


def _save(face: Face, path: Path, plan: Plan, record: Record) -> None:
    """Write a picture atomically, in a folder that names its frame."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        frame, coding = plan.frame, plan.coding
        if frame.mean is None:
            pixels = face.pixels
        else:
            pixels = Looks(plan.size, coding, frame.mean).uncoded(face)
            frame.write(path.parent)
        with replacing(path) as temporary:
            if coding is not None:
                temporary.write_bytes(coding.encoded(pixels, record.text()))
            elif plan.format == "jpg":
                options = {"quality": 95, "subsampling": 0, "comment": record.text()}
                Image.fromarray(pixels).save(temporary, "JPEG", **options)
            else:
                text = PngImagePlugin.PngInfo()
                text.add_text(_KEY, record.text())
                Image.fromarray(pixels).save(temporary, "PNG", pnginfo=text)
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise UserError("The name is too long to be written.") from error
        raise


def _is_named(record: Record, job: Job) -> bool:
    """Say whether a picture was made of a photo of this name, and was not moved."""
    return (record.photo, record.picture) == (job.photo.as_posix(), job.picture.as_posix())


def _is_of(record: Record, job: Job) -> bool:
    """Say whether it also was made by the same plan."""
    return _is_named(record, job) and record.plan == asdict(job.plan)


def _faces_there(job: Job, first: Record) -> tuple[Path, ...]:
    """Return the pictures of a photo that is done."""
    pictures = [job.picture]
    while job.plan.all_faces:
        sibling = _sibling(job.picture, len(pictures) + 1)
        record = Record.read(job.out / sibling)
        if record is None or (record.photo, record.digest) != (first.photo, first.digest):
            break
        pictures.append(sibling)
    return tuple(pictures)


def _sibling(first: PurePath, number: int) -> Path:
    """Return NAME-face3.png for NAME-face1.png."""
    return Path(first.with_name(f"{first.stem.removesuffix('1')}{number}{first.suffix}"))


def digest_of(path: Path) -> str:
    """Return a hash of the bytes of a file, 32 hexadecimal digits."""
    digest = hashlib.blake2b(digest_size=16)
    with open(path, "rb") as file:
        while part := file.read(1 << 20):
            digest.update(part)
    return digest.hexdigest()
