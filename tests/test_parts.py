"""Pictures for training in a few archives instead of many files."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from glow_app.common.errors import UserError
from glow_app.faces.looks import CROPS, ReferenceFrame
from glow_app.training import PackedPictures, from_source


@pytest.fixture
def packed(tmp_path: Path) -> PackedPictures:
    """A nested folder of pictures, packed; the same pixels lie as WebP in archives in parts/."""
    rng, folder = np.random.default_rng(0), tmp_path / "pictures"
    for i in range(10):
        file = folder / f"part {i % 2}" / f"ä{i:02d}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        small = Image.fromarray(rng.integers(0, 256, (4, 4, 3), dtype=np.uint8))
        small.resize((24, 24)).save(file)
    pictures = from_source(folder, 16, tmp_path / "cache", lambda _: None)
    entries = list(zip(pictures.names, pictures.pixels, strict=True))
    (tmp_path / "parts").mkdir()
    for k, chosen in enumerate((entries[:6], entries[6:])):
        with zipfile.ZipFile(tmp_path / "parts" / f"part-{k:03d}.zip", "w") as archive:
            for name, pixels in chosen:
                content = io.BytesIO()
                Image.fromarray(pixels).save(content, "WEBP", lossless=True)
                archive.writestr(f"{name}.webp", content.getvalue())
    return pictures


@pytest.mark.parametrize("frame", [CROPS, ReferenceFrame.looks()], ids=["crops", "looks"])
def test_archives_hold_the_very_pixels(packed: PackedPictures, tmp_path: Path, frame) -> None:
    frame.write(tmp_path / "parts")
    again = from_source(tmp_path / "parts", 16, tmp_path / "cache", lambda _: None)
    assert again.names == packed.names and again.frame.same_as(frame)
    assert np.array_equal(again.pixels, packed.pixels)


def bit_flipped(content: bytes) -> bytes:
    """The list of its pictures is sound, one of them is not."""
    return content[:150] + bytes([content[150] ^ 1]) + content[151:]


@pytest.mark.parametrize("damage", [bit_flipped, lambda content: content[:500]])
def test_a_damaged_archive_is_one_sentence(packed, tmp_path: Path, damage) -> None:
    part = tmp_path / "parts" / "part-000.zip"
    part.write_bytes(damage(part.read_bytes()))
    with pytest.raises(UserError, match=rf"^{part.name} is damaged: copy it again\.$"):
        from_source(tmp_path / "parts", 16, tmp_path / "b", lambda _: None)
