"""Every kind of file says how it was made, is opened again, and holds nothing private."""

from __future__ import annotations

import json
from dataclasses import fields, replace

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from glow_app.common.errors import UserError
from glow_app.common.progress import Stopped
from glow_app.export import animation, sheets, writing
from glow_app.export.recipes import KINDS, Origin, Recipe, read_recipe

# Nothing here has its default, so that nothing can get lost unseen.
FULL = Recipe(
    kind="journey", checkpoint="faces64", fingerprint="0123456789abcdef",
    faces=(Origin(22, 0.7), Origin(), Origin(2**32 - 1, 1.0)), path="cubic", way="photos",
    ground="b", kappa=0.25, t_range=(-0.5, 1.25), t=0.125, constant_speed=True, loop=True,
    frames=17, size=48, fps=12.5, there_and_back=True,
    directions=(("smile", 1.5), ("age é", -2.0)), toward=0.5, average="photos",
    weights=(1.0, 0.5, 0.0, -0.5), shape=0.75, temperatures=(0.5, 0.9), radius=0.3,
)  # fmt: skip


@pytest.fixture(scope="module")
def frames() -> np.ndarray:
    """(6, 16, 16, 3) uint8, all different."""
    return np.random.default_rng(0).integers(0, 256, (6, 16, 16, 3), dtype=np.uint8)


def foreign(tmp_path, note: object):
    """A PNG with a note of our kind that says whatever it likes."""
    text = PngImagePlugin.PngInfo()
    text.add_text("glow", note if isinstance(note, str) else json.dumps(note))
    Image.new("RGB", (8, 8)).save(tmp_path / "x.png", pnginfo=text)
    return tmp_path / "x.png"


@pytest.mark.parametrize("suffix", writing.available_formats())
def test_every_animation_is_opened_again(frames, tmp_path, suffix):
    path = tmp_path / f"m{suffix}"
    for recipe, shown in ((FULL, frames[:3]), (Recipe(), frames[:1])):  # which may be a still
        animation.save_animation(shown, path, size=16, metadata=recipe.to_metadata())
        assert read_recipe(path) == recipe
    animation.save_animation(frames[:2], path, size=16)  # as when a messenger writes it anew
    with pytest.raises(UserError, match=rf"m\{suffix} holds no settings: .* removed them"):
        read_recipe(path)


def test_stills_and_sheets_are_opened_again(frames, tmp_path):
    path, about = tmp_path / "s.png", {"metadata": FULL.to_metadata()}
    for write in (sheets.save_strip, sheets.save_sheet, sheets.save_grid):
        assert read_recipe(write(frames, path, **about)) == FULL
    assert read_recipe(sheets.save_still(frames[0], path, **about)) == FULL


def test_only_settings_are_stored():
    """A photo is named by that word alone; what keeps its default is left out."""
    assert all(getattr(FULL, f.name) != f.default or f.name == "kind" for f in fields(Recipe))
    about = FULL.to_metadata()
    assert about["faces"][1] == {"photo": True}
    assert len(json.dumps(about)) < 1000
    least = {"made_with": "Glow Studio", "kind": "morph", "path": "linear"}
    assert Recipe().to_metadata() == least


def test_a_file_of_the_first_version_opens(tmp_path):
    """Its note to the letter; what is stored may grow, but never change its meaning."""
    note = (
        '{"checkpoint": "faces64", "directions": [["smile", 1.5]], "faces": [{"seed": 22, '
        '"temperature": 0.7}, {"photo": true}], "fingerprint": "0123456789abcdef", "fps": 12.5, '
        '"frames": 17, "kind": "journey", "loop": true, "made_with": "Glow Studio", '
        '"path": "cubic", "t_range": [-0.5, 1.25]}'
    )
    assert read_recipe(foreign(tmp_path, note)) == Recipe(
        kind="journey", checkpoint="faces64", fingerprint="0123456789abcdef",
        faces=(Origin(22, 0.7), Origin()), path="cubic", t_range=(-0.5, 1.25), loop=True,
        frames=17, fps=12.5, directions=(("smile", 1.5),),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("said", "means"),
    [
        # As pages, scripts and the API wrote them before the photos carried the picture.
        ({"path": "shell", "guide": True}, {"way": "photos"}),
        ({"path": "shell", "guide": False}, {}),
        ({"path": "shell", "sharpness": 0.25, "guide": True}, {"way": "photos"}),
        ({"path": "linear", "sharpness": -1, "guide": "yes"}, {}),
        ({"path": "spherical", "guide": True}, {"path": "spherical", "way": "photos"}),
        ({"kind": "journey", "path": "cubic", "guide": True, "loop": True, "frames": 17},
         {"kind": "journey", "path": "cubic", "way": "photos", "loop": True, "frames": 17}),
        ({"kind": "journey", "path": "shell", "faces": [{"photo": True}, {"seed": 3}]},
         {"kind": "journey", "faces": (Origin(), Origin(3))}),
        ({"kind": "mix", "path": "linear", "weights": [1, 0.5, 0, 0], "shape": 0.5},
         {"kind": "mix", "weights": (1.0, 0.5, 0.0, 0.0), "shape": 0.5}),
        ({"kind": "edit", "path": "linear", "directions": [["smile", 2]], "toward": 0.5},
         {"kind": "edit", "directions": (("smile", 2.0),), "toward": 0.5}),
        ({"kind": "samples", "path": "linear", "faces": [{"seed": 7, "temperature": 0.7}]},
         {"kind": "samples", "faces": (Origin(7, 0.7),)}),
    ],
)  # fmt: skip
def test_files_of_before_the_ways_open(tmp_path, said, means):
    """A shell is a straight line today, a guided morph one of photos; sharpness says nothing."""
    note = {"made_with": "Glow Studio", "kind": "morph", **said}
    assert read_recipe(foreign(tmp_path, note)) == Recipe(**means)


def test_a_file_that_names_its_way_is_believed_whatever_else_it_says(tmp_path):
    note = {**Recipe(way="model").to_metadata(), "way": "model", "guide": True}
    assert read_recipe(foreign(tmp_path, note)).way == "model"
    # A kappa of zero is one that somebody chose.
    for recipe in (Recipe(way="model", kappa=0.0), Recipe(way="photos", ground="a", kappa=None)):
        assert read_recipe(foreign(tmp_path, recipe.to_metadata())) == recipe
    # What a later version adds does no harm.
    assert read_recipe(foreign(tmp_path, {**FULL.to_metadata(), "colour": "blue"})) == FULL


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "virus"}, {"kind": 7}, {"path": ["linear"]}, {"faces": "many"}, {"faces": [7]},
        {"faces": [{"seed": -1}]}, {"faces": [{"seed": 2**32}]}, {"faces": [{"seed": 1.5}]},
        {"faces": [{"seed": 1, "temperature": "hot"}]}, {"faces": [{}] * 2000}, {"t": 2},
        {"t": float("nan")}, {"t_range": [0]}, {"t_range": [1, 0]}, {"way": "guide"},
        {"ground": "c"}, {"kappa": 1.5}, {"kappa": "half"}, {"kappa": float("nan")},
        {"path": "round"}, {"frames": 10**9}, {"frames": True}, {"size": 0}, {"fps": 0},
        {"loop": "yes"}, {"directions": [["smile"]]}, {"directions": [["smile\n", 1]]},
        {"directions": [["smile", float("inf")]]}, {"weights": [9]},
        {"checkpoint": {"path": "/etc/passwd"}},
    ],
)  # fmt: skip
def test_odd_settings_are_refused_by_name(tmp_path, change):
    path = foreign(tmp_path, {**FULL.to_metadata(), **change})
    with pytest.raises(UserError, match=f"x.png holds an odd setting: {next(iter(change))}"):
        read_recipe(path)


def test_missing_notes_and_those_of_others_are_refused(tmp_path):
    for notes, words in (
        (("[]", "7", {"made_with": "others"}, {}), r"x\.png was not made by Glow Studio\.$"),
        (("", "{", "[" * 50_000, "null"), r"x\.png holds no settings: .* removed them"),
    ):
        for note in notes:
            with pytest.raises(UserError, match=words):
                read_recipe(foreign(tmp_path, note))
    Image.new("RGB", (8, 8)).save(tmp_path / "x.gif", comment=b"made by \xff somebody")
    with pytest.raises(UserError, match="not made by Glow Studio"):
        read_recipe(tmp_path / "x.gif")


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png", ".mp4", ".txt"])
def test_broken_and_missing_files_are_one_sentence(tmp_path, suffix):
    path = tmp_path / f"x{suffix}"
    for content in (b"", b"no picture", b"GIF89a", b"RIFF\0\0\0\0WEBPVP8X"):
        path.write_bytes(content)
        with pytest.raises(UserError) as caught:
            read_recipe(path)
        assert str(caught.value).endswith(".") and "\n" not in str(caught.value)
    for missing in (tmp_path / f"gone{suffix}", tmp_path):
        with pytest.raises(UserError, match="no file"):
            read_recipe(missing)


def test_a_playlist_is_no_mp4(tmp_path):
    """FFmpeg would follow it to other files and addresses."""
    whole = animation.save_animation(np.zeros((2, 16, 16, 3), np.uint8), tmp_path / "whole.mp4")
    for name, text in (
        ("m3u8", f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{whole}\n#EXT-X-ENDLIST\n"),
        ("concat", f"ffconcat version 1.0\nfile '{whole}'\n"),
    ):
        (tmp_path / f"{name}.mp4").write_text(text)
        with pytest.raises(UserError, match="cannot be read"):
            read_recipe(tmp_path / f"{name}.mp4")


@pytest.mark.parametrize(
    ("recipe", "name"),
    [
        (Recipe(way="photos", frames=33), "glow-morph-linear-33-frames"),
        (Recipe(frames=33), "glow-morph-model-alone-linear-33-frames"),
        (Recipe(way="photos", t=0.5), "glow-morph-linear-at-0.500"),
        (Recipe(way="photos", ground="b", kappa=0.0, frames=5),
         "glow-morph-linear-ground-b-kappa-0-5-frames"),
        (Recipe(way="photos", t_range=(-0.5, 1.5), frames=33, constant_speed=True),
         "glow-morph-linear-t-0.5to1.5-even-33-frames"),
        (Recipe("journey", faces=(Origin(),) * 4, path="cubic", way="photos", loop=True, frames=9),
         "glow-journey-4-faces-loop-cubic-9-frames"),
        (Recipe("mix", weights=(1, 0.5, 0, 0)), "glow-mix-1-0.5-0-0"),
        (Recipe("edit", directions=(("smile", 1.5), ("age", -0.5)), toward=0.25),
         "glow-edit-smile+1.5-age-0.5-average+0.25"),
        (Recipe("samples", faces=(Origin(7, 0.7),), temperatures=(0.5, 0.7)),
         "glow-samples-seed-7-t0.5-t0.7"),
        (Recipe("edit", directions=(("../../é x", 1),)), "glow-edit-..-..-x+1"),
    ],
)  # fmt: skip
def test_file_names_tell_what_is_inside(recipe, name):
    assert recipe.file_name(".gif") == f"{name}.gif"
    for kind in KINDS:  # and stay short
        many = replace(FULL, kind=kind, directions=(("long name", 1.0),) * 99)
        assert len(many.file_name(".webp")) < 150


@pytest.mark.parametrize("suffix", writing.available_formats())
def test_writing_reports_and_stops(frames, tmp_path, suffix):
    reports, path = [], tmp_path / f"m{suffix}"
    animation.save_animation(frames, path, size=16, progress=lambda *now: reports.append(now))
    total = 2 * len(frames) - 2
    assert reports == [(done, total) for done in range(total + 1)]
    old = path.read_bytes()

    def stop(done: int, total: int) -> None:
        if done == total - 2:  # on the way back
            raise Stopped

    with pytest.raises(Stopped):
        animation.save_animation(frames[::-1], path, size=16, progress=stop)
    assert path.read_bytes() == old and [p.name for p in tmp_path.iterdir()] == [path.name]
