"""Data and weights in small files, and the recipe for a rented machine that is made of them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import models
from benchmarks import rental
from benchmarks.rental import join_file, pack_pictures, split_file
from glow_app.common import cli
from glow_app.common.errors import UserError
from glow_app.faces.looks import CROPS, ReferenceFrame
from glow_app.training import from_source


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    for i in range(40):
        small = Image.fromarray(rng.integers(0, 256, (4, 4, 3), dtype=np.uint8))
        (folder / f"part {i % 2}").mkdir(exist_ok=True)
        small.resize((24, 24)).save(folder / f"part {i % 2}" / f"ä{i:02d}.png")
    return folder


def test_packed_parts_hold_the_very_pixels(pictures: Path, tmp_path: Path) -> None:
    folder = from_source(pictures, 16, tmp_path / "a", lambda _: None)
    entries = zip(folder.names, folder.pixels, strict=True)
    parts = pack_pictures(entries, tmp_path / "parts", 8000)
    assert len(parts) > 2 and all(part.stat().st_size <= 8000 for part in parts)
    packed = from_source(tmp_path / "parts", 16, tmp_path / "b", lambda _: None)
    assert packed.names == folder.names
    assert np.array_equal(packed.pixels, folder.pixels)


def test_packed_looks_say_that_they_are(pictures: Path, tmp_path: Path) -> None:
    looks, packed = tmp_path / "looks", tmp_path / "packed"
    shutil.copytree(pictures, looks)
    for folder, frame in ((looks, ReferenceFrame.looks()), (pictures, CROPS)):
        frame.write(folder)
        rental.main(["pack", "--data", str(folder), "--out", str(packed), "--size", "16"])
        again = from_source(packed, 16, tmp_path / "cache", lambda _: None)
        assert again.frame.same_as(frame)


def bit_flipped(content: bytes) -> bytes:
    """The list of its pictures is sound, one of them is not."""
    return content[:150] + bytes([content[150] ^ 1]) + content[151:]


@pytest.mark.parametrize("damage", [bit_flipped, lambda content: content[:500]])
def test_a_damaged_part_is_one_sentence(pictures: Path, tmp_path: Path, damage) -> None:
    folder = from_source(pictures, 16, tmp_path / "a", lambda _: None)
    parts = pack_pictures(zip(folder.names, folder.pixels, strict=True), tmp_path / "parts", 10**6)
    parts[0].write_bytes(damage(parts[0].read_bytes()))
    with pytest.raises(UserError, match=rf"^{parts[0].name} is damaged: copy it again\.$"):
        from_source(tmp_path / "parts", 16, tmp_path / "b", lambda _: None)


def test_pieces_join_to_the_same_file_or_to_none(tmp_path: Path) -> None:
    content = np.random.default_rng(0).bytes(10_000)
    whole = tmp_path / "whole.bin"
    whole.write_bytes(content)
    pieces = split_file(whole, tmp_path / "pieces", 3000)
    assert [p.stat().st_size for p in pieces] == [3000, 3000, 3000, 1000]
    target = tmp_path / "again.bin"
    assert join_file(tmp_path / "pieces", "whole.bin", target).read_bytes() == content
    pieces[1].write_bytes(b"x" * 3000)
    target.unlink()
    with pytest.raises(UserError, match="not those"):
        join_file(tmp_path / "pieces", "whole.bin", target)
    pieces[1].unlink()
    with pytest.raises(UserError, match="missing"):
        join_file(tmp_path / "pieces", "whole.bin", target)
    assert not list(tmp_path.glob("*again*")) and not list(tmp_path.glob(".again*"))


def test_a_rented_machine_goes_on_where_another_stopped(
    pictures: Path, tmp_path: Path, monkeypatch, capfd
) -> None:
    """Pack, train, carry the pieces to an empty folder, go on there: exactly, or by weights."""

    def run(*arguments: str, cwd: Path) -> str:
        monkeypatch.chdir(cwd)
        capfd.readouterr()
        assert cli.run(rental.main, argv=list(arguments)) == 0
        return capfd.readouterr().out

    run("pack", "--data", str(pictures), "--out", "packed", "--size", "16", cwd=tmp_path)
    common = ["--data", str(tmp_path / "packed"), "--val", str(tmp_path / "packed")]
    model = ["--", "--preset", "tiny", "--batch", "8", "--device", "cpu", "--warmup-steps", "5"]
    first, second, third = (tmp_path / name for name in ("first", "second", "third"))
    for folder in (first, second, third):
        folder.mkdir()
    run("train", *common, "--minutes", "0.02", "--out", "out", "--state", *model, cwd=first)
    left = json.loads((first / "out/stats.jsonl").read_text().splitlines()[-1])
    assert max(f.stat().st_size for f in (first / "out").iterdir()) < 16 * 2**20
    for name, half in (("model.safetensors", False), ("model-half.safetensors", True)):
        joined = models.load(join_file(first / "out", name, first / name))
        assert joined.facts["steps"] == left["step"], half
    carried = shutil.copytree(first / "out", tmp_path / "carried")
    more = ["--minutes", "0.02", "--out", "out", "--from", str(carried)]
    said = run("train", *common, *more, *model, cwd=second)
    assert f"from step {left['step']:,}." in said
    records = [json.loads(r) for r in (second / "out/stats.jsonl").read_text().splitlines()]
    assert records[-1]["step"] > left["step"] and records[-1]["minutes"] > left["minutes"]
    for piece in carried.glob("state*"):
        piece.unlink()
    assert "from step 0." in run("train", *common, *more, *model, cwd=third)
