"""Convert pictures of any mode to 8-bit sRGB: more bits, transparency, colours of any kind.

Colours are converted by the embedded profile. Without one HEIC, AVIF and newer PNG files name
primaries and curve by the code points of ITU-T H.273 (nclx, cICP), and older PNG files give them
as numbers (cHRM, gAMA). In a high dynamic range (PQ and HLG, ITU-R BT.2100) the reference white
(BT.2408) becomes white, and brighter light is rolled off by the curve of BT.2390 as far as the
picture needs it.
"""

from __future__ import annotations

import io
import re
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
# As in browsers, the curves of BT.709, 601 and 2020 count as that of sRGB.
_CURVES: Final[Mapping[int, Curve]] = {4: 2.2, 5: 2.8, 8: 1.0, 16: "pq", 17: 2.6, 18: "hlg"}
_SCREEN: Final = 2.2  # exponent of the usual gAMA chunk
_SAME_GAMMA: Final = 0.05  # relative: exponents nearer to it are not corrected (libpng)
_SAME: Final = 0.002  # in x and y: primaries that are nearer are the same

_WHITE: Final = 203.0  # cd/m²: reference white of PQ (BT.2408)
_HLG_WHITE: Final = 0.75  # code of reference white (BT.2408)
_BRIGHTEST: Final = 0.999  # share of the picture that is not brighter than its peak
_EVEN: Final = 2.4  # exponent that makes steps of 8 bits even for the eye
_ROWS: Final = 256  # of greys that are scaled together: all of 40 megapixels take 600 MB
_GRID: Final = 65  # colours a side of the table
_PEAK_SIDE: Final = 256  # pixels: long side of the copy on which the peak is measured

# ------------------------------------------------------------------------------ modes and profiles


def to_rgb(image: Image.Image, name: str) -> tuple[Image.Image, Image.Image | None]:
    """Convert any mode to RGB: greys to 8 bits, colours to sRGB, transparency on white, without
    metadata. Also return the alpha channel (mode L) where the picture is transparent."""
    info, alpha = image.info, None
    if image.mode == "F" or image.mode.startswith("I"):
        image = eight_bits(image, name)
    if image.has_transparency_data:
        mode = "L" if image.mode in ("1", "L", "LA", "La") else "RGB"
        both = image if image.mode == f"{mode}A" else image.convert(f"{mode}A")
        image, alpha = both.convert(mode), both.getchannel("A")
    colour = _to_srgb(image, info)
    if alpha is None or alpha.getextrema()[0] == 255:
        alpha = None
    else:
        background = Image.new("RGB", colour.size, (255, 255, 255))
        background.paste(colour, mask=alpha)
        colour = background
    # A profile or an orientation that stays would be applied once more by the next reader.
    colour.info = {}
    return colour, alpha


def eight_bits(image: Image.Image, name: str) -> Image.Image:
    """Convert greys of more than 8 bits to mode L (or LA); Pillow's own conversion clips them.

    The range is the smallest usual one that holds the values, or else that of the values.
    """
    values = np.asarray(image)
    low, high = values.min(), values.max()
    if not np.isfinite([low, high]).all():  # a NaN makes both of them NaN
        finite = np.isfinite(values)
        low = values.min(where=finite, initial=np.inf)
        high = values.max(where=finite, initial=-np.inf)
    if low > high:
        raise UserError(f"{name} holds no numbers.")
    low, high = float(np.float32(low)), float(np.float32(high))
    top = next((top for top in _usual_tops(image) if high <= 1.05 * top), None)
    if top is not None and low >= -0.05 * top:  # resampling overshoots a little
        low, high = 0.0, top
    if values.dtype == np.uint16:  # a table is three times as fast
        levels = _scaled(np.arange(65536), low, high)[values]
    else:
        levels = np.empty(values.shape, np.uint8)
        for row in range(0, len(values), _ROWS):
            levels[row : row + _ROWS] = _scaled(values[row : row + _ROWS], low, high)
    grey = Image.fromarray(levels)
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        grey.putalpha(Image.fromarray(np.where(values == transparent, 0, 255).astype(np.uint8)))
    return grey


def _scaled(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Return values as levels from 0 for `low` to 255 for `high`, uint8; NaN is black."""
    scaled = values.astype(np.float32)
    if values.dtype.kind == "f":
        np.nan_to_num(scaled, copy=False, nan=low, posinf=high, neginf=low)
    scaled -= low
    scaled *= 255 / max(high - low, 1e-30)
    np.clip(scaled, 0, 255, out=scaled)
    scaled += 0.5
    return scaled.astype(np.uint8)


def _usual_tops(image: Image.Image) -> tuple[float, ...]:
    """Return the usual values of white, smallest first."""
    if image.mode == "F":
        return (1.0, 255.0, 65535.0)
    bits = getattr(image, "tag_v2", {}).get(258)  # BitsPerSample of a TIFF
    return (255.0, 4095.0) if bits == (12,) else (255.0, 65535.0)


def _to_srgb(colour: Image.Image, info: Mapping[Any, Any]) -> Image.Image:
    """Convert colours of any mode without alpha to mode RGB, by the `info` of their file. A usable
    embedded profile has precedence over `code_points`."""
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
    """Say whether a picture with this info of its decoder has a high dynamic range."""
    encoding = None if info.get("icc_profile") else _encoding_of(info)
    return encoding is not None and encoding.curve in ("pq", "hlg")


def deep_to_srgb(codes: np.ndarray, info: Mapping[Any, Any]) -> Image.Image:
    """Convert a picture with a high dynamic range to mode RGB from all its bits.

    Among only 256 codes of PQ neighbours are four levels of sRGB apart, which tints skin and grey
    walls.

    Args:
        codes: (H, W, 3) uint16, from 0 to 65535.
        info: of a picture that `is_hdr`.
    """
    encoding = _encoding_of(info)
    assert encoding is not None
    step = max(1, max(codes.shape) // _PEAK_SIDE)
    peak = encoding.peak(codes[::step, ::step] / 65535)
    # As 8 bits of a power the steps are even for the eye; light above twice the peak is white.
    evenly = _Encoding(encoding.primaries, _EVEN, scale=2 * peak if peak > 1 else 1.0)
    light = encoding.light(np.arange(65536) / 65535) / evenly.scale
    table = _levels(light.clip(0, 1) ** (1 / _EVEN))
    return evenly.by_table(Image.fromarray(table[codes]), peak)


def _managed(colour: Image.Image, profile: bytes | None) -> Image.Image:
    """Convert to sRGB by a profile; pictures that are sRGB already stay as they are."""
    if colour.mode == "LAB":
        source = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB"))
    else:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile or b""))
        opened: Any = source.profile  # Pillow does not declare its type
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
    """Say whether a conversion is sRGB to sRGB up to rounding, of which there are dozens."""
    steps = np.arange(0, 256, 17, dtype=np.uint8)
    probe = Image.fromarray(np.stack(np.meshgrid(steps, steps, steps), -1).reshape(64, 64, 3))
    probe = probe if mode == "RGB" else probe.convert(mode)
    after = ImageCms.applyTransform(probe, transform)
    before = np.asarray(probe.convert("RGB")).astype(int)
    return after is not None and int(np.abs(np.asarray(after) - before).max()) <= 2


# ------------------------------------------------------------------------------------- code points


@dataclass(frozen=True)
class _Encoding:
    """What the levels of a picture mean."""

    primaries: Chromaticities = _PRIMARIES[1]  # x and y of white, red, green and blue
    curve: Curve = "srgb"  # or "pq" (SMPTE ST 2084), "hlg" (ARIB STD-B67), the exponent of a power
    full_range: bool = True  # whether 0 and 255 are black and white; else 16 and 235 are
    scale: float = 1.0  # the light of the last code of a power, in (reference) whites

    def to_srgb(self, image: Image.Image) -> Image.Image:
        """Convert a picture of mode RGB or L to sRGB, mode RGB.
        Raises ValueError: the primaries are invalid."""
        same_primaries = np.abs(np.subtract(self.primaries, _PRIMARIES[1])).max() <= _SAME
        if same_primaries and self.curve == "srgb" and self.full_range:
            return image.convert("RGB")
        if same_primaries and isinstance(self.curve, float):
            codes = np.arange(256) / 255
            levels = _levels(_srgb_code(self.light(codes)))  # exact, and grey stays grey
            return image.point(levels.tolist() * len(image.getbands())).convert("RGB")
        image = image.convert("RGB")
        peak = 1.0
        if self.curve in ("pq", "hlg"):
            small = image.reduce(max(1, max(image.size) // _PEAK_SIDE))
            peak = self.peak(np.asarray(small) / 255)
        return self.by_table(image, peak)

    def by_table(self, image: Image.Image, peak: float) -> Image.Image:
        """Convert a picture of mode RGB to sRGB. `peak`: the brightness that becomes white, in
        reference whites, at least 1."""
        steps = np.linspace(0, 1, _GRID)
        blue, green, red = np.meshgrid(steps, steps, steps, indexing="ij")
        light = self._srgb_light(np.stack([red, green, blue], -1))
        if peak > 1:
            size = _brightness(light.clip(0))
            light = light * (_rolled_off(size, peak) / size.clip(1e-6))
        table = _srgb_code(light).astype(np.float32).ravel()
        return image.filter(ImageFilter.Color3DLUT(_GRID, table, _copy_table=False))

    def peak(self, codes: np.ndarray) -> float:
        """Measure how bright codes (H, W, 3) from 0 to 1 get, in reference whites, at least 1."""
        light = self._srgb_light(codes)
        return max(1.0, float(np.quantile(_brightness(light.clip(0)), _BRIGHTEST)))

    def _srgb_light(self, codes: np.ndarray) -> np.ndarray:
        """Convert codes (..., 3) from 0 to 1 to linear light of the primaries of sRGB."""
        return self.light(codes) @ _between(self.primaries, _PRIMARIES[1]).T

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
    """Return the encoding by the info of the decoder and `code_points`, None if unknown. gAMA and
    cHRM count only without an sRGB chunk."""
    if CODES in info:
        return _of_codes(*info[CODES])
    nclx = info.get("nclx_profile")
    if isinstance(nclx, Mapping):
        return _of_codes(nclx["color_primaries"], nclx["transfer_characteristics"], True)
    if "srgb" in info or not {"gamma", "chromaticity"} & set(info):
        return None
    primaries, gamma = info.get("chromaticity", _PRIMARIES[1]), info.get("gamma", 1 / _SCREEN)
    curve: Curve = "srgb"
    if gamma > 0 and abs(gamma * _SCREEN - 1) > _SAME_GAMMA:
        curve = float(np.clip(1 / gamma, 0.1, 10))
    return _Encoding(tuple(primaries), curve)


def _of_codes(primaries: int, curve: int, full: bool) -> _Encoding:
    points = _PRIMARIES.get(primaries, _PRIMARIES[1])
    return _Encoding(points, _CURVES.get(curve, "srgb"), full)


_CICP: Final = re.compile(rb"\0\0\0\x04cICP(.)(.).(.)", re.DOTALL)


def code_points(data: bytes) -> tuple[int, int, bool] | None:
    """Read primaries, curve (both by H.273) and whether the range is full from a PNG or AVIF file,
    of which Pillow reads none. None where the file has none."""
    if not data.startswith(b"\x89PNG"):
        return _of_avif(data)
    found = _CICP.search(data, 0, data.find(b"IDAT"))
    return found and (found[1][0], found[2][0], found[3] != b"\0")


def _of_avif(data: bytes) -> tuple[int, int, bool] | None:
    """Read those of the picture that is shown, of several such as a photo and its gain map: pitm
    has its number, and ipma the numbers of its properties (ISO/IEC 23008-12)."""
    try:
        meta = dict(_boxes(data, *dict(_boxes(data, 0, len(data)))[b"meta"], skip=4))
        place, _ = meta[b"pitm"]
        primary = int.from_bytes(data[place + 4 : place + (8 if data[place] else 6)], "big")
        inside = dict(_boxes(data, *meta[b"iprp"]))
        properties = list(_boxes(data, *inside[b"ipco"]))
        for number in _properties_of(data, inside[b"ipma"][0], primary):
            kind, (place, _) = properties[number - 1]
            if number and kind == b"colr" and data[place : place + 4] == b"nclx":
                primaries, curve = struct.unpack_from(">HH", data, place + 4)
                return primaries, curve, True  # pixels come in the full range
    except (KeyError, IndexError, struct.error):
        pass  # the decoder says what is wrong with the file
    return None


def _boxes(
    data: bytes, first: int, last: int, skip: int = 0
) -> Iterator[tuple[bytes, tuple[int, int]]]:
    """Yield kind, and first and last byte of the content, of the boxes between two places."""
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


def _properties_of(data: bytes, place: int, item: int) -> list[int]:
    """Return the numbers of the properties of an item from an ipma box, counted from 1."""
    version, wide = data[place], data[place + 3] & 1
    (count,) = struct.unpack_from(">I", data, place + 4)
    place += 8
    for _ in range(count):
        (this,) = struct.unpack_from(">I" if version else ">H", data, place)
        place += 4 if version else 2
        many = data[place]
        if this == item:
            numbers = struct.unpack_from(f">{many}{'H' if wide else 'B'}", data, place + 1)
            return [number & (0x7FFF if wide else 0x7F) for number in numbers]
        place += 1 + many * (2 if wide else 1)
    return []


# ------------------------------------------------------------------------------------------ curves

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
    """Compress light by the curve of BT.2390 so that `peak` becomes 1, both in reference whites;
    dark light stays as it is."""
    top = _pq_code(peak * _WHITE)
    code, most = _pq_code(light * _WHITE) / top, _pq_code(_WHITE) / top
    knee = 1.5 * most - 0.5
    t = ((code - knee) / (1 - knee)).clip(0, 1)
    bent = (2 * t**3 - 3 * t**2 + 1) * knee + (t**3 - 2 * t**2 + t) * (1 - knee)
    bent += (3 * t**2 - 2 * t**3) * most
    return np.where(code < knee, light, _pq_light(bent * top) / _WHITE)


def _brightness(light: np.ndarray) -> np.ndarray:
    """Reduce (..., 3) to (..., 1): near the maximum, but smooth about grey, as tables need it."""
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
