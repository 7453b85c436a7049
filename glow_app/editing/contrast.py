"""How far inside the shell a path should run, so that frames keep the contrast of their photos.

One dip for all pairs of faces is a compromise: between sharp photos frames come out too hard,
between soft ones too flat. Contrast grows with the length of a code, so the frame half way is
decoded at a few lengths, and the one whose contrast is the mean of both photos' is taken.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from glow_app.editing.codec import Coded
from glow_app.editing.shell import Shell
from glow_app.editing.walk import MARGIN
from glow_app.pictures.appearance import contrast
from models import StateRange

__all__ = ["fitted", "fitted_journey"]

_DIPS = (0.86, 0.94, 1.02)  # shares of the typical length that are tried; in between by a line


def fitted(
    shell: Shell,
    a: Tensor,
    b: Tensor,
    within: StateRange,
    photos: np.ndarray,
    decode: Callable[[Coded], np.ndarray],
) -> Shell:
    """``shell`` with the dip that suits the faces of two codes.

    Args:
        a, b: (1, D).
        within: one row, in which the codes between them are decoded.
        photos: (2, S, S, 3) uint8, the pictures whose contrast is wanted.
        decode: codes to pictures (N, S, S, 3) uint8.
    """
    t = torch.tensor([0.5])
    middle = (a + b) / 2
    tried = [replace(shell, dip=dip).put(middle, a, b, t) for dip in _DIPS]
    reached = contrast(decode(Coded(torch.cat(tried), within)))
    wanted = contrast(photos).mean()
    # Where contrast does not grow with the length, the shorter of two is as good.
    dip = np.interp(wanted, np.maximum.accumulate(reached), _DIPS)
    return replace(shell, dip=float(dip))


def fitted_journey(
    shell: Shell,
    coded: Coded,
    photos: np.ndarray,
    loop: bool,
    decode: Callable[[Coded], np.ndarray],
) -> Shell:
    """``shell`` with the mean of the dips that suit the legs of a way through K ≥ 2 faces.

    Args:
        coded: K codes and their ranges.
        photos: (K, S, S, 3) uint8.
        loop: there is a leg from the last face to the first.
        decode: as for :func:`fitted`.
    """
    count, dips = len(photos), []
    for a in range(count if loop and count > 2 else count - 1):
        ends = [a, (a + 1) % count]
        within = coded.within[ends].merged().widened(MARGIN)
        dips.append(fitted(shell, *coded.z[ends].split(1), within, photos[ends], decode).dip)
    return replace(shell, dip=sum(dips) / len(dips))
