"""Hostile files, and the tools that count them; `python -m benchmarks.faults` does far more."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest

from benchmarks.faults import Row, uploads
from benchmarks.faults import __main__ as faults
from benchmarks.faults.hostile import Case, code_points, encoded, picture, wholes
from benchmarks.faults.uploads import Reader, fuzz, hostile
from glow_app.common.errors import UserError
from glow_app.faces import opening
from glow_app.faces.opening import MAX_SCANS, open_picture

SOUND = {"outcome": "works", "says": "", "cpu_s": 0.1, "peak_mib": 99.0}


@pytest.fixture(scope="module", autouse=True)
def one_process() -> Iterator[None]:
    """For all files that are read in another process, which takes seconds to start."""
    with Reader() as reader, pytest.MonkeyPatch.context() as patch:
        patch.setattr(uploads, "Reader", lambda: nullcontext(reader))
        yield


def test_mutated_files_are_pictures_or_one_sentence(tmp_path):
    rows, findings = fuzz(tmp_path, 60, seed=1)
    assert not findings
    assert sum(row.tried for row in rows) == 60 and len(rows) >= 10
    assert 0 < sum(row.seen["refused"] for row in rows) < 60  # not all of them are beyond hope


def test_tricks_end_as_they_should(tmp_path, monkeypatch):
    """Without those that take long to make, most of which test_images.py has as well."""
    (tmp_path / "whole.png").write_bytes(encoded(picture(), "PNG"))
    for maker in ("_damaged", "_modes", "_metadata", "code_points"):
        monkeypatch.setattr(f"benchmarks.faults.hostile.{maker}", lambda: [])
    rows, findings = hostile(tmp_path, huge=False)
    assert not findings
    kinds = {"bomb", "link", "folder", "pipe", "device", "no file", "shape", "name"}
    assert {row.fault.removeprefix("Upload: ") for row in rows} == kinds


def test_senseless_code_points_are_no_error_of_the_program():
    for _, name, data, wants in code_points():
        try:
            outcome = "works" if open_picture(data).size == (96, 80) else "failed"
        except UserError:
            outcome = "refused"
        assert outcome in (("works", "refused") if wants == "either" else (wants,)), name


def test_what_fails_is_left_in_its_smallest_form(tmp_path, monkeypatch):
    """A decoder that dislikes every file but the whole one: the first flipped bit is enough."""
    whole = wholes()["png"]

    def read(self: Reader, path: Path) -> dict:
        return SOUND if path.read_bytes() == whole else SOUND | {"outcome": "failed"}

    monkeypatch.setattr(uploads, "wholes", lambda: {"png": whole})
    monkeypatch.setattr(Reader, "read", read)
    (row,), (finding,) = fuzz(tmp_path, 20, seed=1)
    assert row.lost == 1 and row.tried == row.survived + 1 and finding.name == "mutated.png"
    left = (tmp_path / "mutated.png").read_bytes()
    assert len(left) == len(whole)
    assert sum(bin(a ^ b).count("1") for a, b in zip(left, whole, strict=True)) == 1


def test_what_hangs_crashes_or_grows_is_found_out(monkeypatch):
    case = Case("x", Path("a.png"), "works")
    assert not uploads._wrong(case, SOUND)
    wrong = {"cpu_s": 2.1}, {"peak_mib": 1025.0}, {"outcome": "failed"}, {"outcome": "refused"}
    assert all(uploads._wrong(case, SOUND | bad) for bad in wrong)
    for read, given, outcome in ((os._exit, 3, "crashed"), (time.sleep, 60, "hung")):
        if outcome == "hung":
            monkeypatch.setattr(uploads, "_PATIENCE", 0.5)
        with Reader(read) as reader:
            answer = reader.read(given)
            assert answer["outcome"] == outcome and uploads._wrong(case, answer)


def test_a_jpeg_of_a_thousand_scans_is_refused_before_it_is_decoded():
    """0.2 MB that took 26 s; what only looks like scans, in metadata or behind the end, is not."""
    jpeg = encoded(picture(400, 300), "JPEG", progressive=True)
    scan = jpeg[jpeg.rindex(b"\xff\xda") : -2]
    head, end = jpeg[:-2], jpeg[-2:]
    with pytest.raises(UserError, match="more than 32 scans"):
        open_picture(head + scan * MAX_SCANS + end)
    assert open_picture(head + scan * 3 + end).size == (400, 300)
    assert open_picture(jpeg + b"\xff\xda\0\2" * 99).size == (400, 300)
    block = b"\xff\xe1\xff\xfe" + b"\xff\xda\0\2" * (0xFFFC // 4)
    assert open_picture(jpeg[:2] + block + jpeg[2:]).size == (400, 300)
    assert open_picture(wholes()["jpg"] + jpeg * 9).size == (96, 80)


def test_the_larger_a_jpeg_the_fewer_scans_it_may_have(monkeypatch):
    jpeg = encoded(picture(400, 300), "JPEG", progressive=True)
    assert 6 < opening._scans(jpeg) < 16
    monkeypatch.setattr(opening, "MAX_PIXELS", 400 * 300 // 2)
    assert open_picture(jpeg).size == (200, 150)
    monkeypatch.setattr(opening, "MAX_PIXELS", 400 * 300 // 7)
    with pytest.raises(UserError, match="scans of a JPEG of its size"):
        open_picture(jpeg)


def test_slow_kinds_have_a_lower_limit_than_jpeg(monkeypatch):
    monkeypatch.setattr(opening, "_SLOW", {"WEBP": 5000, "RGBA": 5000})
    image = picture(100, 100)
    assert open_picture(encoded(image, "PNG")).size == (100, 100)
    for kind, mode in (("WEBP", "RGB"), ("PNG", "RGBA")):
        with pytest.raises(UserError, match="megapixels"):
            open_picture(encoded(image.convert(mode), kind))


def test_the_command_says_what_was_lost_in_its_status(capsys, monkeypatch):
    row = Row("A fault")
    row.count(True, 3)
    row.count(False)
    for seconds in (1.25, 0.5):
        row.most("slowest, s", seconds)
    monkeypatch.setitem(faults._PARTS, "load", lambda args, folder: [row])
    assert faults.main(["load", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["faults"] == [
        {"fault": "A fault", "tried": 4, "survived": 3, "lost": 1, "slowest, s": 1.25}
    ]
    row.survived = 4
    assert faults.main(["load"]) == 0
    assert "| A fault | 4 | 4 | 0 | slowest, s: 1.25 |" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        faults.main(["everything"])
