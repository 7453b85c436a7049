"""An independent judge of edits, which uses neither the flow nor its directions.

It measures four things:

- Shape, on landmarks that dense optical flow (DIS, Kroeger et al. 2016) follows from the untouched
  picture into the edited one (`tracked`). Landmarks found anew are less faithful: the finders of
  MediaPipe and dlib are regressions towards a usual face and see about half of what moved, of
  brows, lids and noses less.
- Pose, on the landmarks.
- Looks (attributes and age), by ridge regression on histograms of oriented gradients (Dalal &
  Triggs 2005) and mean colours of 16×16 cells of the aligned crop, fitted on unedited faces.
- Light, on the pixels.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from PIL import Image

from glow_app.common.errors import UserError
from glow_app.editing.labels import read_table
from glow_app.faces.landmarks import MEASURES, find_shape, mean_shape, measured, pose
from glow_app.faces.warp import reshaped

_SIDE: Final = 128
_CELL: Final = 16
_RIDGE: Final = 0.3
YEARS: Final = 16.0  # deviation of age over the labelled training faces
LIGHT: Final = ("light side", "contrast", "warmth", "texture", "redness", "brightness")
_HOG = cv2.HOGDescriptor((_SIDE, _SIDE), (32, 32), (16, 16), (16, 16), 9)

JUDGED: Final = (
    "Eyeglasses", "Smiling", "Wearing_Lipstick", "No_Beard", "Bags_Under_Eyes", "Male", "age",
)  # fmt: skip


def light(look: np.ndarray) -> np.ndarray:
    """Return the six numbers of `LIGHT` for a face in the mean shape, (128, 128, 3) uint8.

    Lightness of the right cheek less that of the left one; deviation of lightness; b*; logarithm
    of the contrast of fine structure of cheeks and forehead; a*; mean lightness (CIELAB).
    """
    lab = cv2.cvtColor(look.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    grey = lab[..., 0]
    low, fine = cv2.GaussianBlur(grey, (0, 0), 3), grey - cv2.GaussianBlur(grey, (0, 0), 1.5)
    patches = fine[66:92, 20:46], fine[66:92, 82:108], fine[8:24, 40:88]
    texture = np.sqrt(sum(np.square(patch).mean() for patch in patches))
    face, skin = low[20:112, 20:108], lab[60:96, 20:108]
    side = low[66:96, 84:110].mean() - low[66:96, 18:44].mean()
    colours = skin[..., 2].mean(), np.log(texture + 0.3), skin[..., 1].mean()
    return np.array([side, face.std(), *colours, face.mean()], float)


def tracked(own: np.ndarray, shape: np.ndarray, edited: np.ndarray) -> np.ndarray:
    """Return where landmarks of a picture lie in an edited one, (478, 2), by dense optical flow.

    Args:
        own, edited: (N, N, 3) uint8.
        shape: (478, 2) in `own`, in fractions of the crop.
    """
    flow = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    flow.setFinestScale(0)
    flow.setPatchStride(3)
    greys = (cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) for picture in (own, edited))
    x, y = (len(own) * np.asarray(shape, np.float32) - np.float32(0.5)).T
    moved = cv2.remap(
        flow.calc(*greys, None), x[None], y[None], cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )  # fmt: skip
    return np.asarray(shape, float) + moved[0] / len(own)


@dataclass(frozen=True, eq=False)
class Judge:
    """Measures faces, in standard deviations over the faces it was fitted on.

    Attributes:
        names: of its A numbers: attributes, then `MEASURES`, pose and `LIGHT`.
        weights: of the regression, a row for each attribute.
        middle, spread: mean and deviation (A,) of the numbers.
    """

    names: tuple[str, ...]
    weights: np.ndarray
    middle: np.ndarray
    spread: np.ndarray

    @classmethod
    def fitted(
        cls,
        crops: Sequence[np.ndarray],
        shapes: Sequence[np.ndarray],
        attributes: Mapping[str, np.ndarray],
    ) -> Judge:
        """Return a judge fitted on unedited faces.

        Args:
            crops: N aligned crops (128, 128, 3) uint8.
            shapes: their landmarks (478, 2).
            attributes: (N,) of each attribute by name; NaN where it is not known.
        """
        features = np.stack([_features(crop) for crop in crops])
        weights = []
        for values in attributes.values():
            known = np.isfinite(values)
            x, y = features[known], values[known]
            x, y = np.column_stack([x, np.ones(len(x))]), (y - y.mean()) / y.std()
            penalty = np.eye(x.shape[1]) * _RIDGE * len(x)
            penalty[-1, -1] = 0
            weights.append(np.linalg.solve(x.T @ x + penalty, x.T @ y))
        weights = np.stack(weights) if weights else np.empty((0, features.shape[1] + 1))
        names = (*attributes, *MEASURES, "turn", "nod", "tilt", *LIGHT)
        judge = cls(names, weights, np.zeros(len(names)), np.ones(len(names)))
        seen = np.concatenate([judge._raw(c, [s]) for c, s in zip(crops, shapes, strict=True)])
        return cls(names, weights, seen.mean(axis=0), seen.std(axis=0))

    def __call__(self, crop: np.ndarray, shape: np.ndarray) -> np.ndarray:
        """Return the numbers (A,) of an aligned crop (N, N, 3) with these landmarks (478, 2)."""
        return self.measure(crop, [shape])[0]

    def measure(self, crop: np.ndarray, shapes: Sequence[np.ndarray]) -> np.ndarray:
        """Return the numbers (K, A) of a crop for each of K landmarks; attributes are those of
        the crop alone and measured once."""
        if len(crop) != _SIDE:
            crop = cv2.resize(crop, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
        return (self._raw(crop, shapes) - self.middle) / self.spread

    def _raw(self, crop: np.ndarray, shapes: Sequence[np.ndarray]) -> np.ndarray:
        looks = self.weights @ np.append(_features(crop), 1.0)
        rows = []
        for shape in (np.asarray(s, float) for s in shapes):
            look = reshaped(crop, shape, mean_shape())
            rows.append(np.concatenate([looks, measured(shape), pose(shape), light(look)]))
        return np.stack(rows)


def fitted_on(
    data: Path, count: int, shapes: Mapping[str, np.ndarray] | None = None
) -> tuple[Judge, list[str]]:
    """Return a judge fitted on `count` random pictures, and the names of the others.

    Args:
        data: folder with both tables, see `read_tables`.
        shapes: landmarks by name, where they are known already.
    """
    table = read_tables(data)
    names = sorted(table) if shapes is None else list(shapes)
    order = np.random.default_rng(1).permutation(len(names))
    crops, found, rows = [], [], []
    for i in order[:count]:
        crop = np.asarray(Image.open(data / names[i]).convert("RGB"))
        shape = find_shape(crop) if shapes is None else shapes[names[i]]
        if shape is not None:
            crops.append(crop)
            found.append(np.asarray(shape, float))
            rows.append(table[names[i]])
    attributes = {c: np.array([row.get(c, math.nan) for row in rows]) for c in JUDGED}
    attributes = {c: values for c, values in attributes.items() if np.isfinite(values).any()}
    return Judge.fitted(crops, found, attributes), [names[i] for i in order[count:]]


def read_tables(data: Path) -> dict[str, dict[str, float]]:
    """Return the numbers of each training picture by its path: logits of attributes, age in
    years, gender as -1 or 1; NaN where it is not known.

    Raises:
        UserError: one of the tables is missing, damaged, or holds no numbers.
    """
    table: dict[str, dict[str, float]] = {}
    try:
        for row in read_table(data / "attributes.tsv"):
            name = row.pop("file")
            if name.startswith("train/"):
                table[name] = {key: _logit(float(value)) for key, value in row.items()}
        for row in read_table(data / "sources.tsv"):
            if row["file"] in table:
                known = table[row["file"]]
                known["age"] = float(row["age"]) if row["age"] else math.nan
                known["gender"] = {"m": -1.0, "f": 1.0}.get(row["gender"], math.nan)
    except UserError:
        raise
    except (ValueError, KeyError) as error:
        sentence = f"The tables in {data} are not as the judge needs them: {error}."
        raise UserError(sentence) from error
    return table


def _logit(p: float) -> float:
    p = min(max(p, 0.01), 0.99)
    return math.log(p / (1 - p))


def _features(crop: np.ndarray) -> np.ndarray:
    """Return gradients and colours (F,) of a crop (128, 128, 3), scaled to about -1 to 1."""
    gradients = _HOG.compute(cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY)).ravel()
    lab = cv2.cvtColor(crop.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    cells = cv2.resize(lab, (_SIDE // _CELL, _SIDE // _CELL), interpolation=cv2.INTER_AREA)
    colours = (cells - np.array([60, 10, 15], np.float32)) / np.array([60, 20, 20], np.float32)
    return np.concatenate([4 * gradients - 1, colours.ravel()])
