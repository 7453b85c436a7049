"""Convert pictures of any mode to 8-bit sRGB: more bits, transparency, colours of any kind.

Colours are converted by the embedded profile, or where there is none by numbers that say what the
levels mean: HEIC, AVIF and newer PNG files name primaries and curve by the code points of ITU-T
H.273 (nclx, cICP), older PNG files give them as numbers (cHRM, gAMA). Wide gamuts are converted to
sRGB. So are pictures with a high dynamic range (PQ and HLG, ITU-R BT.2100): their reference white
(BT.2408) is white, and what is brighter is rolled off by the curve of BT.2390 as far as the
picture needs it.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from PIL import Image, ImageCms, ImageFilter

from glow_app.common.errors import UserError

CODES: Final = "cicp"  # the key in a picture's info under which `code_points` is kept

Chromaticities = tuple[float, float, float, float, float, float, float, float]  # x, y each
Curve = Literal["srgb", "pq", "hlg"] | float  # a number is an exponent

_D65: Final = (0.3127, 0.3290)
_PRIMARIES: Final[Mapping[int, Chromaticities]] = {
    1: (*_D65, 0.640, 0.330, 0.300, 0.600, 0.150, 0.060),  # BT.709 and sRGB
    4: (0.310, 0.316, 0.67, 0.33, 0.21, 0.71, 0.14, 0.08),
    5: (*_D65, 0.64, 0.33, 0.29, 0.60, 0.15, 0.06),
    6: (*_D65, 0.630, 0.340, 0.310, 0.595, 0.155, 0.070),
    7: (*_D65, 0.630, 0.340, 0.310, 0.595, 0.155, 0.070),
    8: (0.310, 0.316, 0.681, 0.319, 0.243, 0.692, 0.145, 0.049),
    9: (*_D65, 0.708, 0.292, 0.170, 0.797, 0.131, 0.046),  # BT.2020
    11: (0.314, 0.351, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060),
    12: (*_D65, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060),  # Display P3
    22: (*_D65, 0.630, 0.340, 0.295, 0.605, 0.155, 0.077),
}
# The curves of BT.709, 601 and 2020 count as that of sRGB, as browsers have it: what they encode
# was meant for a screen.
_CURVES: Final[Mapping[int, Curve]] = {4: 2.2, 5: 2.8, 8: 1.0, 16: "pq", 17: 2.6, 18: "hlg"}
_SCREEN: Final = 2.2  # exponent that a gAMA chunk stands for if it was written without thought
_NO_MATTER: Final = 0.05  # relative: exponents that are nearer to it are not corrected (libpng)
_SAME: Final = 0.002  # in x and y: primaries that are nearer are the same

_WHITE: Final = 203.0  # cd/m²: reference white of PQ (BT.2408)
_HLG_WHITE: Final = 0.75  # code of reference white (BT.2408)
_BRIGHTEST: Final = 0.999  # share of the picture that is not brighter than its peak
_EVEN: Final = 2.4  # exponent of codes in even steps for the eye
_GRID: Final = 65  # colours a side of the table
_LOOK: Final = 256  # pixels: long side of the copy on which the peak is measured
_BAND = 1_000_000  # pixels

# ------------------------------------------------------------------------------ modes and profiles


def eight_bits(image: Image.Image, name: str) -> Image.Image:
    """Convert greys of more than 8 bits to mode L (or LA); Pillow's own conversion clips them.

    The range is the smallest usual one that holds the values; what fits none is stretched.
    """
    values = np.asarray(image)
    low, high = _range(values, name)
    top = next((top for top in _usual_tops(image) if high <= 1.05 * top), None)
    if top is not None and low >= -0.05 * top:  # resampling overshoots a little
        low, high = 0.0, top
    if values.dtype == np.uint16:  # a table is three times as fast
        grey = Image.fromarray(_scaled(np.arange(65536), low, high)[values])
    else:
        levels = np.empty(values.shape, np.uint8)
        for rows in _bands(values):
            levels[rows] = _scaled(values[rows], low, high)
        grey = Image.fromarray(levels)
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        grey.putalpha(Image.fromarray(np.where(values == transparent, 0, 255).astype(np.uint8)))
    return grey


def _scaled(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Return values of any shape as levels from 0 for `low` to 255 for `high`, uint8."""
    scaled = values.astype(np.float32)
    if values.dtype.kind == "f":
        np.nan_to_num(scaled, copy=False, nan=low, posinf=high, neginf=low)
    scaled -= low
    scaled *= 255 / max(high - low, 1e-30)
    np.clip(scaled, 0, 255, out=scaled)
    scaled += 0.5
    return scaled.astype(np.uint8)


def _bands(values: np.ndarray) -> list[slice]:
    """Split rows into those worked on together: in one piece 40 megapixels take a gigabyte."""
    step = max(1, _BAND // values.shape[1])
    return [slice(first, first + step) for first in range(0, len(values), step)]


def _range(values: np.ndarray, name: str) -> tuple[float, float]:
    """Return the smallest and the largest of the finite values (H, W)."""
    low, high = np.inf, -np.inf
    for rows in _bands(values):
        part = values[rows]
        if not np.isfinite([part.min(), part.max()]).all():  # a NaN makes both of them NaN
            part = part[np.isfinite(part)]
        if part.size:
            low, high = min(low, part.min()), max(high, part.max())
    if low > high:
        raise UserError(f"{name} holds no numbers.")
    return float(np.float32(low)), float(np.float32(high))


def _usual_tops(image: Image.Image) -> tuple[float, ...]:
    """Return the values that may stand for white, smallest first."""
    if image.mode == "F":
        return (1.0, 255.0, 65535.0)
    bits = getattr(image, "tag_v2", {}).get(258)  # BitsPerSample of a TIFF
    return (255.0, 4095.0) if bits == (12,) else (255.0, 65535.0)


def split_alpha(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """Return the colours, without alpha, and the alpha channel (mode L) if there is one."""
    if not image.has_transparency_data:
        return image, None
    if image.mode in ("1", "L", "LA", "La"):
        both = image if image.mode == "LA" else image.convert("LA")
        return both.convert("L"), both.getchannel("A")
    both = image if image.mode == "RGBA" else image.convert("RGBA")
    return both.convert("RGB"), both.getchannel("A")


def to_srgb(colour: Image.Image, info: Mapping[Any, Any]) -> Image.Image:
    """Convert colours of any mode without alpha to mode RGB.

    Args:
        colour: the picture without its alpha.
        info: what the decoder and `code_points` say of it. An embedded profile counts before all
            else, if it is of use.
    """
    profile, encoding = info.get("icc_profile"), _encoding_of(info)
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


def is_hdr(info: Mapping[Any, Any]) -> bool:
    """Say whether a picture has a high dynamic range, by what its decoder says of it."""
    encoding = None if info.get("icc_profile") else _encoding_of(info)
    return encoding is not None and encoding.curve in ("pq", "hlg")


def deep_to_srgb(codes: np.ndarray, info: Mapping[Any, Any]) -> Image.Image:
    """Convert a picture with a high dynamic range to mode RGB, without the steps of 8 bits.

    Where PQ has only 256 codes, one of them more or less is four levels of sRGB: skin and grey
    walls turn greenish.

    Args:
        codes: (H, W, 3) uint16, from 0 to 65535.
        info: of a picture that `is_hdr`.
    """
    encoding = _encoding_of(info)
    assert encoding is not None
    peak = encoding.peak(codes[:: _step(codes), :: _step(codes)] / 65535)
    # As 8 bits of a power the codes are in even steps for the eye; what is brighter than twice the
    # peak is white in the end.
    evenly = _Encoding(encoding.primaries, _EVEN, scale=2 * peak if peak > 1 else 1.0)
    light = encoding.light(np.arange(65536) / 65535) / evenly.scale
    table = _levels(light.clip(0, 1) ** (1 / _EVEN))
    return evenly.converted(Image.fromarray(table[codes]), peak)


def _step(codes: np.ndarray) -> int:
    return max(1, max(codes.shape) // _LOOK)


def _managed(colour: Image.Image, profile: bytes | None) -> Image.Image:
    """Convert to sRGB by a profile; pictures that are sRGB already stay as they are."""
    if colour.mode == "LAB":
        source = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB"))
    else:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile or b""))
        opened: Any = source.profile  # which the types of Pillow do not know
        if opened.xcolor_space.strip() == "RGB":
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
    """Say whether a conversion is sRGB to sRGB up to rounding.

    There are dozens of sRGB profiles; going through one would cost a level here and there.
    """
    steps = np.arange(0, 256, 17, dtype=np.uint8)
    probe = Image.fromarray(np.stack(np.meshgrid(steps, steps, steps), -1).reshape(64, 64, 3))
    probe = probe if mode == "RGB" else probe.convert(mode)
    after = ImageCms.applyTransform(probe, transform)
    before = np.asarray(probe.convert("RGB")).astype(int)
    return after is not None and int(np.abs(np.asarray(after) - before).max()) <= 2


# ------------------------------------------------------------------------------------- code points


@dataclass(frozen=True)
class _Encoding:
    """How the levels of a picture stand for colours."""

    primaries: Chromaticities = _PRIMARIES[1]  # x and y of white, red, green and blue
    curve: Curve = "srgb"  # or "pq" (SMPTE ST 2084), "hlg" (ARIB STD-B67), the exponent of a power
    full_range: bool = True  # whether 0 and 255 are black and white; else 16 and 235 are
    scale: float = 1.0  # the light of the last code of a power, in (reference) whites

    @property
    def is_srgb(self) -> bool:
        """Whether nothing has to be converted."""
        return self.curve == "srgb" and self.full_range and self._has_srgb_primaries

    @property
    def _has_srgb_primaries(self) -> bool:
        return bool(np.abs(np.subtract(self.primaries, _PRIMARIES[1])).max() <= _SAME)

    def to_srgb(self, image: Image.Image) -> Image.Image:
        """Convert a picture of mode RGB or L to sRGB, mode RGB.
        Raises ValueError: there are no such primaries."""
        if self.is_srgb:
            return image.convert("RGB")
        if isinstance(self.curve, float) and self._has_srgb_primaries:
            codes = np.arange(256) / 255
            levels = _levels(_srgb_code(self.light(codes)))  # exact, and grey stays grey
            return image.point(levels.tolist() * len(image.getbands())).convert("RGB")
        image = image.convert("RGB")
        peak = 1.0
        if self.curve in ("pq", "hlg"):
            peak = self.peak(np.asarray(image.reduce(max(1, max(image.size) // _LOOK))) / 255)
        return self.converted(image, peak)

    def converted(self, image: Image.Image, peak: float) -> Image.Image:
        """Convert a picture of mode RGB to sRGB by a table; `peak` as for `_converted`."""
        steps = np.linspace(0, 1, _GRID)
        blue, green, red = np.meshgrid(steps, steps, steps, indexing="ij")
        table = self._converted(np.stack([red, green, blue], -1), peak).astype(np.float32)
        return image.filter(ImageFilter.Color3DLUT(_GRID, table.ravel(), _copy_table=False))

    def _converted(self, codes: np.ndarray, peak: float) -> np.ndarray:
        """Convert codes (..., 3) from 0 to 1 to those of sRGB. `peak`: the brightness that becomes
        white, in reference whites; at least 1."""
        light = self.light(codes) @ _between(self.primaries, _PRIMARIES[1]).T
        if peak > 1:
            size = _brightness(light.clip(0))
            light = light * (_rolled_off(size, peak) / size.clip(1e-6))
        return _srgb_code(light)

    def peak(self, codes: np.ndarray) -> float:
        """Measure how bright codes (H, W, 3) from 0 to 1 get, in reference whites; at least 1."""
        light = self.light(codes) @ _between(self.primaries, _PRIMARIES[1]).T
        return max(1.0, float(np.quantile(_brightness(light.clip(0)), _BRIGHTEST)))

    def light(self, codes: np.ndarray) -> np.ndarray:
        """Convert codes from 0 to 1 to linear light; 1 is (reference) white.

        Of HLG it is the light of the scene: on a screen of 330 cd/m², about what most have, its
        system gamma is 1 (BT.2100, note 5f).
        """
        if not self.full_range:
            codes = ((codes * 255 - 16) / 219).clip(0, 1)
        if self.curve == "pq":
            return _pq_light(codes) / _WHITE
        if self.curve == "hlg":
            return _hlg_light(codes) / _hlg_light(np.array(_HLG_WHITE))
        if self.curve == "srgb":
            return np.where(codes <= 0.04045, codes / 12.92, ((codes + 0.055) / 1.055) ** 2.4)
        return self.scale * codes**self.curve


def _encoding_of(info: Mapping[Any, Any]) -> _Encoding | None:
    """Return how a picture was encoded by what its decoder and `code_points` say, None if unknown.

    Of a PNG its cICP chunk counts before all else, gAMA and cHRM only without an sRGB chunk.
    """
    if CODES in info:
        return _of_codes(*info[CODES])
    nclx = info.get("nclx_profile")
    if isinstance(nclx, Mapping):
        return _of_codes(nclx["color_primaries"], nclx["transfer_characteristics"], True)
    if "srgb" in info or not {"gamma", "chromaticity"} & set(info):
        return None
    primaries, gamma = info.get("chromaticity", _PRIMARIES[1]), info.get("gamma", 1 / _SCREEN)
    curve: Curve = "srgb"
    if gamma > 0 and abs(gamma * _SCREEN - 1) > _NO_MATTER:
        curve = float(np.clip(1 / gamma, 0.1, 10))
    return _Encoding(tuple(primaries), curve)


def _of_codes(primaries: int, curve: int, full: bool) -> _Encoding:
    known = _PRIMARIES.get(primaries, _PRIMARIES[1])
    return _Encoding(known, _CURVES.get(curve, "srgb"), full)


# ------------------------------------------------------------------------------------- reading


def code_points(data: bytes) -> tuple[int, int, bool] | None:
    """Read primaries, curve (both by H.273) and whether the range is full from a PNG or AVIF file.

    Pillow tells them of neither. None where the file does not say.
    """
    if data.startswith(b"\x89PNG"):
        return _of_png(data)
    if data[4:8] == b"ftyp":
        return _of_avif(data)
    return None


def _of_png(data: bytes) -> tuple[int, int, bool] | None:
    place = 8
    while place + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, place)
        if kind == b"cICP" and length == 4 and place + 12 <= len(data):
            primaries, curve, _, full = data[place + 8 : place + 12]
            return primaries, curve, bool(full)
        if kind == b"IDAT":
            return None
        place += length + 12
    return None


def _of_avif(data: bytes) -> tuple[int, int, bool] | None:
    """Read those of its primary item (ISO/IEC 23008-12): pitm names it, ipma its properties."""
    try:
        meta = dict(_boxes(data, *dict(_boxes(data, 0, len(data)))[b"meta"], skip=4))
        place, _ = meta[b"pitm"]
        primary = int.from_bytes(data[place + 4 : place + (8 if data[place] else 6)], "big")
        inside = dict(_boxes(data, *meta[b"iprp"]))
        properties = list(_boxes(data, *inside[b"ipco"]))
        for number in _associated(data, inside[b"ipma"][0], primary):
            kind, (place, _) = properties[number - 1]
            if number and kind == b"colr" and data[place : place + 4] == b"nclx":
                primaries, curve = struct.unpack_from(">HH", data, place + 4)
                return primaries, curve, True  # pixels come in the full range
    except (KeyError, IndexError, struct.error):
        pass  # whatever is wrong with it, the decoder will say so
    return None


def _boxes(
    data: bytes, first: int, last: int, skip: int = 0
) -> Iterator[tuple[bytes, tuple[int, int]]]:
    """Yield the kind, and first and last byte inside, of the boxes between two places."""
    place = first + skip
    while place + 8 <= last:
        size, kind = struct.unpack_from(">I4s", data, place)
        head = 8
        if size == 1:
            size, head = struct.unpack_from(">Q", data, place + 8)[0], 16
        end = last if size == 0 else min(place + size, last)
        yield kind, (place + head, end)
        if end < place + head:
            return
        place = end


def _associated(data: bytes, place: int, item: int) -> list[int]:
    """Return which properties an item has by an ipma box, counted from 1."""
    version, wide = data[place], data[place + 3] & 1
    (count,) = struct.unpack_from(">I", data, place + 4)
    place += 8
    for _ in range(count):
        (this,) = struct.unpack_from(">I" if version else ">H", data, place)
        place += 4 if version else 2
        many, step = data[place], 2 if wide else 1
        if this == item:
            numbers = struct.unpack_from(f">{many}{'H' if wide else 'B'}", data, place + 1)
            return [number & (0x7FFF if wide else 0x7F) for number in numbers]
        place += 1 + many * step
    return []


# ------------------------------------------------------------------------------------- colours

_A: Final = 0.17883277  # of HLG
_B: Final = 1 - 4 * _A
_C: Final = 0.5 - _A * np.log(4 * _A)
_M1, _M2 = 2610 / 16384, 2523 / 32  # of PQ
_C1, _C2, _C3 = 3424 / 4096, 2413 / 128, 2392 / 128

_BRADFORD: Final = np.array(
    [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
)


def _hlg_light(codes: np.ndarray) -> np.ndarray:
    """Convert codes from 0 to 1 to light of the scene, 0 to 1."""
    return np.where(codes <= 0.5, codes**2 / 3, (np.exp((codes - _C) / _A) + _B) / 12)


def _pq_light(codes: np.ndarray) -> np.ndarray:
    """Convert codes from 0 to 1 to cd/m²."""
    root = np.asarray(codes) ** (1 / _M2)
    return 10_000 * ((root - _C1).clip(0) / (_C2 - _C3 * root)) ** (1 / _M1)


def _pq_code(light: np.ndarray | float) -> np.ndarray:
    """Convert cd/m² to codes from 0 to 1."""
    power = (np.asarray(light) / 10_000).clip(0) ** _M1
    return ((_C1 + _C2 * power) / (1 + _C3 * power)) ** _M2


def _rolled_off(light: np.ndarray, peak: float) -> np.ndarray:
    """Bend light by the curve of BT.2390 that brings `peak` to 1, both in reference whites; what
    is dark stays as it is."""
    top = _pq_code(peak * _WHITE)
    code, most = _pq_code(light * _WHITE) / top, _pq_code(_WHITE) / top
    knee = 1.5 * most - 0.5
    t = ((code - knee) / (1 - knee)).clip(0, 1)
    bent = (2 * t**3 - 3 * t**2 + 1) * knee + (t**3 - 2 * t**2 + t) * (1 - knee)
    bent += (3 * t**2 - 2 * t**3) * most
    return np.where(code < knee, light, _pq_light(bent * top) / _WHITE)


def _brightness(light: np.ndarray) -> np.ndarray:
    """Reduce (..., 3) to (..., 1): near the largest, but smooth about grey, as tables need it."""
    return (light**3).sum(axis=-1, keepdims=True) / np.square(light).sum(
        axis=-1, keepdims=True
    ).clip(1e-12)


def _srgb_code(light: np.ndarray) -> np.ndarray:
    light = light.clip(0, 1)
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


def _levels(codes: np.ndarray) -> np.ndarray:
    return (codes * 255 + 0.5).astype(np.uint8)


def _to_xyz(primaries: Chromaticities) -> np.ndarray:
    """Return (3, 3), from linear light of these primaries to XYZ, white having Y = 1."""
    white, *rest = np.reshape(primaries, (4, 2)).astype(float)
    columns = np.stack([_xyz(*one) for one in rest], axis=1)
    try:
        return columns * np.linalg.solve(columns, _xyz(*white))
    except np.linalg.LinAlgError as error:
        raise ValueError("these primaries span no space") from error


def _xyz(x: float, y: float) -> np.ndarray:
    if y <= 0:
        raise ValueError("a chromaticity must be above zero")
    return np.array([x / y, 1, (1 - x - y) / y])


def _between(one: Chromaticities, other: Chromaticities) -> np.ndarray:
    """Return (3, 3), from light of some primaries to that of others, white to white (Bradford)."""
    whites = [_BRADFORD @ _xyz(*primaries[:2]) for primaries in (one, other)]
    adapted = np.linalg.inv(_BRADFORD) @ np.diag(whites[1] / whites[0]) @ _BRADFORD
    return np.linalg.inv(_to_xyz(other)) @ adapted @ _to_xyz(one)
