"""Pictures of any mode become 8-bit sRGB: more bits, transparency, colours of any kind."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, ImageCms

from glow_app.common.errors import UserError
from glow_app.faces.code_points import Encoding

__all__ = ["eight_bits", "split_alpha", "to_srgb"]

_BAND = 1_000_000  # pixels


def eight_bits(image: Image.Image, name: str) -> Image.Image:
    """Greys of more than 8 bits as mode L (or LA); Pillow's own conversion clips them to white.

    The range is the smallest usual one that holds the values; what fits none is stretched.
    """
    values = np.asarray(image)
    low, high = _range(values, name)
    top = next((top for top in _usual_tops(image) if high <= 1.05 * top), None)
    if top is not None and low >= -0.05 * top:  # resampling overshoots a little
        low, high = 0.0, top
    levels = np.empty(values.shape, np.uint8)
    for rows in _bands(values):
        part = np.nan_to_num(values[rows].astype(np.float32), nan=low, posinf=high, neginf=low)
        part = np.clip((part - low) * (255 / max(high - low, 1e-30)), 0, 255)
        levels[rows] = (part + 0.5).astype(np.uint8)
    grey = Image.fromarray(levels)
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        grey.putalpha(Image.fromarray(np.where(values == transparent, 0, 255).astype(np.uint8)))
    return grey


def _bands(values: np.ndarray) -> list[slice]:
    """Rows that are worked on together: in one piece 40 megapixels would take a gigabyte."""
    step = max(1, _BAND // values.shape[1])
    return [slice(first, first + step) for first in range(0, len(values), step)]


def _range(values: np.ndarray, name: str) -> tuple[float, float]:
    """The smallest and the largest of the finite values (H, W)."""
    low, high = np.inf, -np.inf
    for rows in _bands(values):
        part = values[rows].astype(np.float32)
        part = part[np.isfinite(part)]
        if part.size:
            low, high = min(low, float(part.min())), max(high, float(part.max()))
    if low > high:
        raise UserError(f"{name} holds no numbers.")
    return low, high


def _usual_tops(image: Image.Image) -> tuple[float, ...]:
    """Values that stand for white, smallest first."""
    if image.mode == "F":
        return (1.0, 255.0, 65535.0)
    bits = getattr(image, "tag_v2", {}).get(258)  # BitsPerSample of a TIFF
    return (255.0, 4095.0) if bits == (12,) else (255.0, 65535.0)


def split_alpha(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """The colours, without alpha, and the alpha channel (mode L) if there is one."""
    if not image.has_transparency_data:
        return image, None
    if image.mode in ("1", "L", "LA", "La"):
        both = image if image.mode == "LA" else image.convert("LA")
        return both.convert("L"), both.getchannel("A")
    both = image if image.mode == "RGBA" else image.convert("RGBA")
    return both.convert("RGB"), both.getchannel("A")


def to_srgb(
    colour: Image.Image, profile: bytes | None, encoding: Encoding | None = None
) -> Image.Image:
    """Colours of any mode without alpha to mode RGB.

    Args:
        profile: the embedded one, which counts if it is of use.
        encoding: what the picture says of its colours without a profile.
    """
    if colour.mode not in ("1", "L", "RGB", "CMYK", "LAB"):
        colour = colour.convert("RGB")
    if profile or colour.mode == "LAB":
        try:
            return _managed(colour, profile)
        except (ImageCms.PyCMSError, OSError, ValueError, TypeError, AttributeError):
            pass  # a broken profile, or a Pillow without LittleCMS
    if encoding is not None and colour.mode in ("L", "RGB"):
        try:
            return encoding.to_srgb(colour)
        except ValueError:
            pass  # primaries that make no sense
    return colour.convert("RGB")


def _managed(colour: Image.Image, profile: bytes | None) -> Image.Image:
    """Convert to sRGB by a profile; pictures that are sRGB already stay as they are."""
    if colour.mode == "LAB":
        source = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB"))
    else:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile or b""))
        if source.profile.xcolor_space.strip() == "RGB":
            colour = colour.convert("RGB")  # greys are often tagged with an RGB profile
    transform = ImageCms.buildTransform(
        source,
        ImageCms.createProfile("sRGB"),
        colour.mode,
        "RGB",
        ImageCms.Intent.RELATIVE_COLORIMETRIC,
        ImageCms.Flags.BLACKPOINTCOMPENSATION,
    )
    if colour.mode in ("L", "RGB") and _changes_nothing(transform, colour.mode):
        return colour.convert("RGB")
    converted = ImageCms.applyTransform(colour, transform)
    if converted is None:
        raise ValueError("the profile could not be applied")
    return converted


def _changes_nothing(transform: ImageCms.ImageCmsTransform, mode: str) -> bool:
    """Whether a conversion is sRGB to sRGB up to rounding.

    There are dozens of sRGB profiles; going through one would cost a level here and there.
    """
    steps = np.arange(0, 256, 17, dtype=np.uint8)
    probe = Image.fromarray(np.stack(np.meshgrid(steps, steps, steps), -1).reshape(64, 64, 3))
    probe = probe if mode == "RGB" else probe.convert(mode)
    after = ImageCms.applyTransform(probe, transform)
    before = np.asarray(probe.convert("RGB")).astype(int)
    return after is not None and int(np.abs(np.asarray(after) - before).max()) <= 2
