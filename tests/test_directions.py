"""Directions: what they learn, what they admit, what a file of them must be."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import models
from glow_app.common.errors import UserError
from glow_app.editing import directions, labels
from glow_app.editing.directions import METHODS, Direction
from glow_app.editing.editor import Editor
from glow_app.editing.model import FaceModel

SHAPES = ((6, 8, 8), (24, 4, 4))
D = 6 * 64 + 24 * 16
ABOUT = {"name": "made", "fingerprint": "f" * 16}


def planted(count: int, strength: float, seed: int = 0):
    """Two classes of white codes, which differ in a corner of the coarse level, and by what."""
    generator = torch.Generator().manual_seed(seed)
    difference = torch.zeros(D)
    place = difference[6 * 64 :].view(24, 4, 4)
    place[:, :2, :2] = strength * torch.randn(24, 2, 2, generator=generator)
    noise = torch.randn(2 * count, D, generator=generator)
    return noise[:count] + difference / 2, noise[count:] - difference / 2, difference


@pytest.mark.parametrize("method", METHODS)
def test_a_planted_direction_is_found(method):
    with_, without, difference = planted(200, 0.4)
    found = directions.learn(with_, without, SHAPES, method=method, **ABOUT)
    assert torch.cosine_similarity(found.vector, difference, dim=0) > 0.9
    # s = 1 is one difference of the classes, to what 200 pictures can tell.
    assert found.vector @ difference / difference.square().sum() == pytest.approx(1, abs=0.2)
    assert not found.weak and found.accuracy > 0.9 and found.facts["counts"] == [200, 200]
    assert found.facts["method"] == method and found.shape is None
    assert -found.low == found.high == directions.span(found.vector)


def test_what_is_learned_is_freed_of_noise():
    """The plain difference of means of few codes points nearly anywhere."""
    with_, without, difference = planted(40, 0.4)
    plain = with_.mean(dim=0) - without.mean(dim=0)
    found = directions.learn(with_, without, SHAPES, **ABOUT).vector
    likeness = [float(torch.cosine_similarity(v, difference, dim=0)) for v in (plain, found)]
    assert likeness[1] > likeness[0] + 0.1


def test_accuracy_and_effect_size_are_those_of_fresh_pictures():
    """Cross-validated figures agree with ten times as many codes that were never seen."""
    with_, without, difference = planted(150, 0.15, seed=1)
    found = directions.learn(with_, without, SHAPES, **ABOUT)
    generator = torch.Generator().manual_seed(99)
    fresh = [torch.randn(3000, D, generator=generator) + s * difference / 2 for s in (1, -1)]
    scores = [z @ found.vector for z in fresh]
    middle = sum(z.mean(dim=0) @ found.vector for z in (with_, without)) / 2
    accuracy = float(torch.cat([scores[0] > middle, scores[1] < middle]).float().mean())
    spread = torch.cat([s - s.mean() for s in scores]).std()
    effect = float((scores[0].mean() - scores[1].mean()) / spread)
    assert found.accuracy == pytest.approx(accuracy, abs=0.08)
    assert found.facts["effect_size"] == pytest.approx(effect, abs=0.4)


@pytest.mark.parametrize("method", METHODS)
def test_classes_that_do_not_differ_give_a_weak_direction(method):
    for count in (20, 200):
        with_, without, _ = planted(count, 0.0)
        found = directions.learn(with_, without, SHAPES, method=method, **ABOUT)
        assert found.weak and found.facts["effect_size"] < 0.5


def test_lda_divides_out_what_varies_within_both_classes():
    """What varies a lot in the same numbers hides the attribute from the difference of means."""
    generator = torch.Generator().manual_seed(0)
    with_, without, difference = planted(300, 0.5)
    nuisance = torch.zeros(D)
    nuisance[6 * 64 :] = 3 * torch.sign(difference[6 * 64 :])
    codes = [z + torch.randn(len(z), 1, generator=generator) * nuisance for z in (with_, without)]
    mean, lda = (directions.learn(*codes, SHAPES, method=m, **ABOUT).accuracy for m in METHODS)
    assert lda > mean + 0.1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"method": "magic"}, "no method"),
        ({"z_with": torch.zeros(4, D)}, "at least 5"),
        ({"z_with": torch.full((9, D), torch.nan)}, "not finite"),
        ({"z_without": torch.zeros(9, D)}, "do not differ"),
        ({"name": "two\nlines"}, "needs a name"),
        ({"name": " "}, "needs a name"),
    ],
)
def test_learning_refuses(change, words):
    given = {"z_with": torch.zeros(9, D), "z_without": torch.ones(9, D), **ABOUT, **change}
    with pytest.raises(UserError, match=words):
        directions.learn(given.pop("z_with"), given.pop("z_without"), SHAPES, **given)


# ------------------------------------------------------------------------------------------- files


@pytest.fixture
def made() -> Direction:
    vector = torch.randn(D, generator=torch.Generator().manual_seed(5)) / 10
    shape = np.random.default_rng(5).normal(0, 0.01, (478, 2))
    facts = {
        **{"with": "smiling", "without": "neutral", "balance": "source"},
        **{"accuracy": 0.75, "effect_size": 1.25, "counts": [90, 80]},
    }
    return Direction(
        "smile", vector, shape, (5.0, 0.0, -2.5), "f" * 16, "Expression", "marks", -2.0, 4.0, facts
    )


def test_a_direction_comes_back(made, tmp_path):
    path = directions.save(made, tmp_path / "smile.safetensors")
    back = directions.load(path, made.fingerprint)
    torch.testing.assert_close(back.vector, made.vector, rtol=1e-3, atol=1e-4)
    assert back.vector.dtype == torch.float32
    np.testing.assert_allclose(back.shape, made.shape, rtol=1e-3, atol=1e-5)
    for name in ("name", "turn", "fingerprint", "group", "unit", "low", "high", "facts"):
        assert getattr(back, name) == getattr(made, name)
    assert (back.with_words, back.without_words) == ("smiling", "neutral")
    assert path.stat().st_size < 2 * (D + 2 * 478) + 2000
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_numbers_written_as_words_are_numbers(tmp_path):
    """As another program may write them: the page does arithmetic with them."""
    facts = {"accuracy": "0.75", "counts": ["90", 80.0], "truth": {"slope": "0.5", "spread": 1}}
    back = directions.load(write(tmp_path / "x.safetensors", about=about(facts=facts)))
    assert not back.weak and back.facts["counts"] == [90, 80]
    assert back.facts["truth"] == {"slope": 0.5, "spread": 1.0}


def test_a_look_a_shape_or_a_turn_alone_comes_back(made, tmp_path):
    for kept in (
        {"vector": made.vector, "turn": (0.0, 0.0, 0.0)},
        {"shape": made.shape, "fingerprint": ""},  # shapes fit any weights
        {"fingerprint": ""},
    ):
        part = replace(made, **{"vector": None, "shape": None, **kept})
        path = directions.save(part, tmp_path / "x.safetensors")
        back = directions.load(path, part.fingerprint or "e" * 16)
        assert (back.vector is None) == ("vector" not in kept) and back.turn == part.turn
        if "shape" in kept:
            np.testing.assert_allclose(back.shape, made.shape, rtol=1e-3, atol=1e-5)
        else:
            assert back.shape is None or not back.shape.any()


def test_weak_is_said_by_accuracy_and_by_numbers(made):
    def weak(**changes: object) -> bool:
        return replace(made, facts={**made.facts, **changes}).weak

    assert not made.weak and not replace(made, facts={}).weak
    assert weak(accuracy=0.59)
    assert weak(accuracy=0.65, counts=[10, 10])  # well within chance
    assert not weak(accuracy=0.65, counts=[1000, 1000])


def test_a_longer_direction_has_a_shorter_slider(made):
    assert 0.5 <= directions.span(made.vector * 3) < directions.span(made.vector) <= 10


def test_a_learned_shape_is_freed_of_noise():
    """Points that differ are kept, those that only scatter hardly move."""
    with_, without, _ = planted(60, 0.4)
    rng = np.random.default_rng(0)
    shapes = [rng.normal(0, 0.01, (60, 478, 2)) for _ in range(2)]
    shapes[0][:, :40] += 0.02
    found = directions.learn(with_, without, SHAPES, shapes=tuple(shapes), **ABOUT)
    plain = shapes[0].mean(axis=0) - shapes[1].mean(axis=0)
    np.testing.assert_allclose(found.shape[:40], 0.02, atol=0.008)
    assert np.abs(found.shape[40:]).mean() < 0.5 * np.abs(plain[40:]).mean()


def write(path: Path, tensors=None, **changes: str) -> Path:
    """A direction's file, with anything in it changed."""
    metadata = {"format": "glow-studio-direction", "version": "2", "about": about()}
    tensors = {"look": torch.ones(D).half()} if tensors is None else tensors
    save_file(tensors, path, metadata={**metadata, **changes})
    return path


def about(**changes: object) -> str:
    values = {
        **{"name": "made", "turn": [0, 0, 0], "fingerprint": "f" * 16, "group": "Look"},
        **{"unit": "", "low": -2, "high": 3, "facts": {}},
    }
    return json.dumps({**values, **changes})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        *((c, r"x\.safetensors") for c in (None, b"", b"no direction", b"\xff" * 9)),
        ({"format": "glow-studio"}, "not a direction"),
        ({"version": "9"}, "version 9"),
        ({"version": "1"}, r"learn it anew with scripts/find_direction\.py"),
        ({"about": "{"}, "damaged"),
        ({"about": "[]"}, "damaged"),
        ({"about": "[" * 5000}, "damaged"),
        *(({"about": about(facts=facts)}, "damaged") for facts in (
            7, {"truth": 7}, {"truth": {"slope": "steep"}},
            {"truth": {"slope": 1, "spread": math.nan}},
            {"accuracy": 0.7}, {"accuracy": "much", "counts": [9, 9]},
            {"accuracy": 7, "counts": [9, 9]}, {"accuracy": math.nan, "counts": [9, 9]},
            {"accuracy": 0.7, "counts": [9, "many"]}, {"accuracy": 0.7, "counts": [9, math.inf]},
            {"accuracy": 0.7, "counts": [1]}, {"accuracy": 0.7, "counts": [0, 5]},
        )),
        *(({"about": about(**wrong)}, "damaged") for wrong in (
            {"low": -1001}, {"low": math.nan}, {"low": 1}, {"low": 0, "high": 0},
            {"high": math.inf}, {"turn": 3}, {"turn": ["x", 0, 0]}, {"turn": [0, 0]},
            {"turn": [0, 0, math.nan]}, {"group": "Magic"}, {"fingerprint": ""},
            {"name": "a\nb"}, {"name": ""},
        )),
        *(({"tensors": tensors}, "damaged") for tensors in (
            {"weights": torch.ones(D)}, {"look": torch.ones(3, D)},
            {"look": torch.full((D,), torch.nan)}, {"look": torch.ones(D, dtype=torch.int8)},
            {"look": torch.full((D,), 1e300, dtype=torch.float64)},
            {"look": torch.ones(D), "else": torch.ones(1)},
            {"shape": torch.ones(477, 2)}, {"shape": torch.full((478, 2), torch.inf)},
        )),
    ],
)  # fmt: skip
def test_foreign_files_are_one_sentence(tmp_path, changes, words):
    path = write(tmp_path / "x.safetensors")
    assert directions.load(path).name == "made"
    if isinstance(changes, dict):
        write(path, **changes)
    else:
        path.unlink() if changes is None else path.write_bytes(changes)
    with pytest.raises(UserError, match=words) as caught:
        directions.load(path)
    assert "x.safetensors" in str(caught.value) and "\n" not in str(caught.value)


def test_directions_of_other_weights_are_refused(made, tiny_checkpoint, tmp_path):
    path = directions.save(made, tmp_path / "smile.safetensors")
    editor = Editor(tiny_checkpoint, device="cpu")
    with pytest.raises(UserError, match="other weights"):
        editor.load_direction(path)
    with pytest.raises(UserError, match="not a direction"):
        editor.load_direction(tiny_checkpoint)
    # Of those that come with the program only the looks are of another model.
    assert len(editor.directions()) > 10
    assert all(direction.vector is None for direction in editor.directions())


def test_a_look_has_as_many_numbers_as_the_model(made, tiny_checkpoint, tmp_path):
    """The fingerprint alone would let a file through that somebody cut or put together."""
    editor = Editor(tiny_checkpoint, device="cpu")
    wrong = replace(
        made, vector=torch.ones(editor.model.flow.dims + 1), fingerprint=editor.fingerprint
    )
    path = directions.save(wrong, tmp_path / "smile.safetensors")
    assert directions.load(path, editor.fingerprint).vector is not None  # in itself it is sound
    picture = np.zeros((editor.image_size, editor.image_size, 3), np.uint8)
    for use in (
        lambda: editor.load_direction(path),
        lambda: editor.edit_walk(picture, [(wrong, 1.0)]),
        lambda: editor.edit_walk(picture, [(wrong, 0.0)]),
    ):
        with pytest.raises(UserError, match=r"769 numbers of a look, and this model has 768\.$"):
            use()
    right = replace(wrong, vector=wrong.vector[1:])
    directions.save(right, path)
    assert editor.load_direction(path).vector.shape == (editor.model.flow.dims,)


# ------------------------------------------------------------------------------------------ labels


TABLE = """file\tage\tgender\tsource
a.png\t25\tf\tx
b.png\t28\tm\tx
c.png\t61\tf\tx
d.png\t67\tm\ty
e.png\t64\tm\tx
f.png\t\tm\tx
g.png\t22\tf\ty
h.png\t29\tf\tx
"""


@pytest.fixture
def table(tmp_path) -> list[dict[str, str]]:
    (tmp_path / "labels.tsv").write_text(TABLE)
    return labels.read_labels(tmp_path / "labels.tsv")


def names(files: list[str]) -> str:
    return "".join(Path(file).stem for file in files)


@pytest.mark.parametrize(
    ("text", "chosen"),
    [
        ("age>=61", "cde"),
        ("age<28", "ag"),
        ("age<=28,gender=f", "ag"),
        ("gender!=m", "acgh"),
        ("source=y", "dg"),
        ("age!=25", "bcdegh"),  # who does not say is in no class
    ],
)
def test_conditions(table, text, chosen):
    test = labels.condition(text, list(table[0]))
    assert names([row["file"] for row in table if test(row)]) == chosen


def classes(table, *columns, by=("age>=60", "age<=30"), **options):
    tests = [labels.condition(text, list(table[0])) for text in by]
    return labels.balanced(table, *tests, columns, **options)


def test_balancing_takes_as_many_of_either_class_from_each_group(table, tmp_path):
    assert tuple(map(names, classes(table))) == ("cde", "abgh")
    assert classes(table)[0][0] == str(tmp_path / "c.png")  # beside the table
    old, young = map(names, classes(table, "gender", "source"))
    assert old == "ce" and young in ("ab", "bh")  # "d" and "g" have no counterpart
    assert classes(table, "gender", "source") == classes(table, "gender", "source")
    assert [len(side) for side in classes(table, limit=2)] == [2, 2]


def test_numbers_are_balanced_by_decades(table):
    men, women = map(names, classes(table, "age", by=("gender=m", "gender=f")))
    # One in their twenties and one in their sixties of either; "f" has no age, so no counterpart.
    assert sorted(men) in (["b", "d"], ["b", "e"])
    assert len(women) == 2 and "c" in women


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda t, d: labels.condition("age", ["age"]), "no condition"),
        (lambda t, d: labels.condition("age=>5", ["age"]), "no condition"),
        (lambda t, d: labels.condition("agee>5", ["age", "sex"]), "no column 'agee'"),
        (lambda t, d: labels.condition("age>old", ["age"]), "no number"),
        (lambda t, d: classes(t, "eyes"), "no column 'eyes'"),
        (lambda t, d: classes([row for row in t if row["age"] > "5"]), "without pictures"),
        (lambda t, d: labels.read_labels(d / "gone.tsv"), "cannot be read"),
        (lambda t, d: labels.read_labels(d), "cannot be read"),
    ],
)
def test_labels_refuse(table, tmp_path, call, words):
    with pytest.raises(UserError, match=words):
        call(table, tmp_path)


def as_spreadsheets_write(sign: str, ending: str = "\n") -> str:
    return TABLE.replace("\t", sign).replace("\n", ending)


@pytest.mark.parametrize(
    "content",
    [
        TABLE.encode("utf-8-sig"),  # with a byte order mark
        TABLE.encode("utf-16"),
        TABLE.encode("utf-16-be").join([b"\xfe\xff", b""]),
        as_spreadsheets_write(",", "\r\n").encode("utf-8-sig"),
        as_spreadsheets_write(";", "\r\n").encode(),
        as_spreadsheets_write(", ").encode(),
        as_spreadsheets_write("\t", "\r").encode(),
        TABLE.replace("\n", "\t\t\n").encode(),  # empty columns at the end, also in the header
        TABLE.replace("\tx\n", "\tx\t\n").encode(),  # ragged: empty fields behind some rows
        (TABLE + "\n\t\t\t\n").encode(),  # rows that were emptied
        re.sub(r"(\w\.png)", r'"\1"', as_spreadsheets_write(",")).encode(),
    ],
    ids=["mark", "UTF-16", "UTF-16 BE", "CSV", ";", ", ", "CR", "empty columns", "ragged",
         "empty rows", "quoted"],
)  # fmt: skip
def test_tables_of_spreadsheets_are_the_same_table(table, tmp_path, content):
    (tmp_path / "other.csv").write_bytes(content)
    assert labels.read_labels(tmp_path / "other.csv") == table


def test_the_header_tells_how_columns_are_parted(tmp_path):
    file = tmp_path / "x.tsv"
    file.write_text("words\tfile\nfair, tall; calm, old\ta.png\nfair, short; loud, old\tb.png\n")
    rows = labels.read_table(file)
    assert rows[1] == {"words": "fair, short; loud, old", "file": "b.png"}
    file.write_text("file\na, b.png\nc, d.png\n")
    assert labels.read_table(file) == [{"file": "a, b.png"}, {"file": "c, d.png"}]
    file.write_text("file\tage\tgender\na.png\t5\n")  # a short row does not say
    assert labels.read_table(file) == [{"file": "a.png", "age": "5", "gender": ""}]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "it has none"),
        (b"name\tage\nx\t5\n", "needs a column 'file', .*; it has name, age"),
        (b"file|age\nx|5\n", r"needs a column 'file', .*; it has file\|age"),
        (b"file\tage\n", "no rows"),
        (b"\xff\xfe\0", "not text in UTF-8"),
        (b"file,name\na.png,Andr\xe9\n", "not text in UTF-8: save it"),
        (b"file\tage\na.png\t5\nb.png\t5\t6\n", "Line 3 of .* has 3 fields, and its header 2"),
        (b"file\tage\n\t5\n", "Line 2 of .* names no file"),
        (b"file\tage\tage\na.png\t5\t6\n", "several columns 'age'"),
        (b'file\tage\n"a.png\t5\n', "cannot be read as a table"),
        (b"file\tage\na.png\t" + b"5" * 200_000, "cannot be read as a table"),
    ],
)
def test_tables_that_are_none(tmp_path, content, words):
    (tmp_path / "x.tsv").write_bytes(content)
    with pytest.raises(UserError, match=words) as caught:
        labels.read_labels(tmp_path / "x.tsv")
    said = str(caught.value)
    assert "x.tsv" in said and said.endswith(".") and "\n" not in said


def test_the_tables_of_the_judge_are_read_as_well(tmp_path):
    from benchmarks.edit_judge import read_tables

    (tmp_path / "attributes.tsv").write_bytes(b"\xef\xbb\xbffile,smile\r\ntrain/a.png,0.5\r\n")
    (tmp_path / "sources.tsv").write_text("file;age;gender\ntrain/a.png;30;f\n")
    assert read_tables(tmp_path) == {"train/a.png": {"smile": 0.0, "age": 30.0, "gender": 1.0}}
    for odd in ("file;age;gender\ntrain/a.png;old;f\n", "file;age\ntrain/a.png;30\n"):
        (tmp_path / "sources.tsv").write_text(odd)
        with pytest.raises(UserError, match="as the judge needs them"):
            read_tables(tmp_path)
    (tmp_path / "sources.tsv").unlink()
    with pytest.raises(UserError, match=r"sources\.tsv"):
        read_tables(tmp_path)


@pytest.mark.parametrize("name", ["faces128", "free128"])
def test_released_weights_have_sliders_of_their_own(name, default):
    editor = default
    if name != default.name:
        editor = Editor(name, device="cpu")
        assert editor.fingerprint == FaceModel(models.pretrained_path(name), "cpu").fingerprint
    found = {direction.name: direction for direction in editor.directions()}
    assert len(found) == len(editor.directions())
    own = list((directions.pretrained_folder() / name).glob("*.safetensors"))
    assert len(own) >= 33
    for path in own:  # none of other weights stands in its place
        wanted = editor.load_direction(path)
        assert found[wanted.name].facts == wanted.facts
        np.testing.assert_array_equal(found[wanted.name].shape, wanted.shape)
    looks = {n for n, direction in found.items() if direction.vector is not None}
    assert {"smile", "rosy cheeks", "skin", "light side", "warmth"} <= looks
