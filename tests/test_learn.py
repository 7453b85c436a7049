"""The numbers of the Learn tab: each is a claim of a lesson."""

from __future__ import annotations

import base64
import html
import itertools
import math
import re
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import models
from glow_app.common.errors import UserError
from glow_app.editing.editor import Editor
from glow_app.lessons import chain, jacobian, plane, positions
from glow_app.lessons.density import BASES, MAPS, ChangeOfVariables, density_view, derivative
from glow_app.ui.encoding import packed
from glow_app.ui.page_faces import OpeningMorph
from glow_app.ui.routes import STATIC, template
from glow_app.ui.tabs import learn as learn_tab

# Maps that turn round where these bases live; all other pairs are increasing.
REFUSED = {
    *itertools.product(["symmetric", "normal", "logistic"], ["square"]),
    *itertools.product(["uniform", "normal", "exponential", "logistic"], ["sine"]),
}
PAIRS = [*itertools.product(BASES, MAPS)]


@pytest.fixture(scope="module")
def flow() -> models.Glow:
    """The fitted flow of the plane that comes with the page."""
    return plane.example_flow()


@pytest.fixture(scope="module")
def tiny(tiny_checkpoint: Path) -> models.Glow:
    return models.load(tiny_checkpoint)


@pytest.fixture(scope="module")
def detailed(detailed_checkpoint: Path) -> models.Glow:
    return models.load(detailed_checkpoint)


# ---- 1: density through a map -------------------------------------------------------------------


def test_the_square_of_a_uniform_number_has_the_known_density():
    x = torch.linspace(0.001, 3.999, 500, dtype=torch.float64)
    found = ChangeOfVariables("uniform", "square").p_x(x)
    assert torch.allclose(found, 1 / (4 * x.sqrt()), rtol=1e-12)


@pytest.mark.parametrize(("base", "line_map"), [p for p in PAIRS if p not in REFUSED])
def test_areas_are_equal_and_the_integral_is_one(base, line_map):
    view = density_view(base, line_map)
    assert view.integral == pytest.approx(1, abs=1e-6)
    # Every strip, not only those from the left edge: differences of the running areas.
    strips_z, strips_x = np.diff(view.mass_z), np.diff(view.mass_x)
    assert np.abs(strips_z - strips_x).max() < 1e-8
    assert strips_z.min() > 0
    width = view.x[-1] - view.x[0]
    cells = np.linspace(view.x[0], view.x[-1], len(view.histogram_x) + 1)
    drawn = view.histogram_x * width / len(view.histogram_x)
    meant = np.diff(np.interp(cells, view.x, view.mass_x))
    assert np.abs(drawn - meant).max() < 0.02  # 6,000 draws: their error is below 0.0065 each


@pytest.mark.parametrize(("base", "line_map"), sorted(REFUSED))
def test_a_map_that_turns_round_is_refused_with_two_points_that_meet(base, line_map):
    with pytest.raises(UserError) as refusal:
        ChangeOfVariables(base, line_map)
    sentence = str(refusal.value).replace("−", "-")
    assert "has no inverse" in sentence
    turn, left, right = (float(v) for v in re.findall(r"z = (-?[\d.]+\d|-?\d)", sentence))
    g = MAPS[line_map].g
    left_x, right_x = (float(g(torch.tensor(v))) for v in (left, right))
    assert left < turn < right
    assert left_x == pytest.approx(right_x, abs=0.06)  # they are rounded to two digits
    assert abs(float(derivative(g, torch.tensor(turn, dtype=torch.float64)))) < 0.02


# ---- 2: f and g ---------------------------------------------------------------------------------


@pytest.mark.parametrize("place", [(-0.9, 0.9), (0.4, -0.7), (2.0, 2.0)])
def test_a_point_comes_back_and_the_ring_stretches_by_the_determinant(flow, place):
    probe = plane.probe_x(flow, torch.tensor(place))
    assert probe.off < 1e-4
    log_normal = -0.5 * float((probe.z**2).sum()) - math.log(2 * math.pi)
    assert probe.log_prob == pytest.approx(log_normal + probe.log_det, abs=1e-3)
    back = plane.probe_z(flow, torch.tensor(probe.z))
    assert back.off < 1e-4
    assert np.allclose(back.x, place, atol=1e-4)


def test_the_stretch_is_the_determinant_where_the_flow_is_nearly_linear():
    torch.manual_seed(1)
    model = models.Glow(plane.FLOW)  # couplings start as the identity: all of it is linear
    model.initialize(plane.as_images(torch.randn(512, 2) * torch.tensor([0.3, 2.0])))
    probe = plane.probe_x(model.eval(), torch.tensor([0.2, -0.1]))
    assert probe.stretch == pytest.approx(math.exp(probe.log_det), rel=1e-3)


# ---- 3: fitting by likelihood -------------------------------------------------------------------


def test_training_raises_the_likelihood_and_begins_with_small_steps(monkeypatch):
    rates, step = [], torch.optim.AdamW.step

    def noted(self: torch.optim.AdamW, *args: object) -> object:
        rates.append(self.param_groups[0]["lr"])
        return step(self, *args)

    monkeypatch.setattr(torch.optim.AdamW, "step", noted)
    fit = plane.fit(plane.DATASETS["moons"], steps=60, seconds=60, frame_seconds=60)
    shots = [shot for _, shot in fit]
    assert [shot.step for shot in shots] == [0, 60]
    assert shots[-1].done == 1
    assert shots[-1].log_prob > shots[0].log_prob + 200  # nats, over 600 points
    assert shots[-1].samples.shape == (plane.SHOWN, 2)
    assert rates[:3] == pytest.approx([4e-3 * k / 30 for k in (1, 2, 3)])
    assert rates[29] == max(rates) > rates[-1]


def test_the_example_flow_knows_its_data(flow):
    density = plane.density_on_grid(flow, cells=160, span=4)
    assert density.sum() * (8 / 160) ** 2 == pytest.approx(1, abs=0.02)
    data = plane.as_images(plane.shown_points(plane.DATASETS["moons"], seed=7))
    other = plane.as_images(plane.shown_points(plane.DATASETS["checkerboard"], seed=7))
    with torch.no_grad():
        assert flow.log_prob(data).mean() > -1.3
        assert flow.log_prob(data).mean() > flow.log_prob(other).mean() + 3


def test_row_zero_of_a_drawn_density_is_the_top(flow):
    density = plane.density_on_grid(flow)
    row, column = np.unravel_index(density.argmax(), density.shape)
    cell = 2 * plane.SPAN / plane.GRID
    there = torch.tensor([[(column + 0.5) * cell, (plane.GRID - row - 0.5) * cell]]) - plane.SPAN
    assert math.exp(plane.probe_x(flow, there[0]).log_prob) == pytest.approx(
        density.max(), rel=1e-3
    )


def test_clicked_points_are_learned_as_small_blobs():
    centres = [[1.0, 1.0], [-1.0, 0.5]]
    drawn = plane.scattered(centres)(400, torch.Generator().manual_seed(0))
    assert 0.02 < torch.cdist(drawn, torch.tensor(centres)).amin(dim=1).mean() < 0.2


@pytest.mark.parametrize(
    "wrong", [[], [[1.0]], [[1.0, "a"]], [[9.0, 0.0]], [[math.nan, 0.0]], ["ab"], [{}]]
)
def test_points_that_are_none_are_refused(wrong):
    with pytest.raises(UserError, match=r"^Points [^\n]*\.$"):
        plane.scattered(wrong)


# ---- 4: a chain of transformations --------------------------------------------------------------


@pytest.mark.parametrize("whole_steps", [False, True])
@pytest.mark.parametrize("which", ["flow", "tiny", "detailed"])
def test_log_determinants_add_up_and_the_chain_ends_on_x(request, which, whole_steps):
    model: models.Glow = request.getfixturevalue(which)
    z = torch.randn(6, model.dims, generator=torch.Generator().manual_seed(3))
    walked = chain.chain(model, z, whole_steps)
    with torch.no_grad():
        x = model.g(z)
        _, log_det = model.f(x)
    assert len(walked.states) == len(walked.links) + 1 == len(walked.log_dets) + 1
    assert torch.allclose(walked.states[-1].float(), x, atol=1e-5)
    assert torch.allclose(walked.log_dets.sum(0).float(), -log_det, rtol=1e-4, atol=1e-3)
    assert torch.allclose(walked.states[0].flatten().sort()[0], z.double().flatten().sort()[0])


def test_pictures_of_a_chain_end_on_the_picture_itself(tiny):
    z = torch.randn(1, tiny.dims, generator=torch.Generator().manual_seed(4))
    with torch.no_grad():
        expected = models.to_levels(tiny.g(z))[0].permute(1, 2, 0).numpy()
    seen = chain.pictures(chain.chain(tiny, z, whole_steps=True))
    assert (seen[-1] == expected).all()
    assert (seen[0] != seen[-1]).any()
    decided = chain.so_far(tiny, z)
    assert len(decided) == tiny.config.levels
    assert torch.allclose(decided[-1], tiny.g(z)[0].detach(), atol=1e-6)
    assert not torch.allclose(decided[0], decided[-1], atol=1e-3)


def test_details_are_walked_through_as_wavelets_are_shown(detailed):
    """The means in the first quarter are the picture of half the size, from then on for good."""
    z = torch.randn(1, detailed.dims, generator=torch.Generator().manual_seed(4)) * 0.7
    walked = chain.chain(detailed, z, whole_steps=True)
    names = [(link.level, link.name) for link in walked.links]
    assert names[-7:] == [
        (2, "prior of details"), (2, "step 2"), (2, "step 1"), (2, "Haar"),
        (1, "prior of details"), (1, "step 1"), (1, "Haar"),
    ]  # fmt: skip
    with torch.no_grad():
        x = detailed.g(z).double()
    half = torch.nn.functional.avg_pool2d(x, 2)
    quarter = torch.nn.functional.avg_pool2d(half, 2)
    for state in walked.states[-8:-4]:  # before the first Haar step is undone
        torch.testing.assert_close(state[:, :, :8, :8] + 0.5, quarter, atol=1e-5, rtol=0)
    for state in walked.states[-4:-1]:
        torch.testing.assert_close(state[:, :, :16, :16] + 0.5, half, atol=1e-5, rtol=0)
    haar = detailed.levels[0].haar(x)[0]
    torch.testing.assert_close(walked.states[-2][:, :, 16:, 16:], haar[:, 9:], atol=1e-5, rtol=0)
    # What waits for its turn does not move.
    waiting = walked.states[:-3, :, :, :, 16:]
    assert torch.equal(waiting, waiting[:1].expand_as(waiting))
    assert (chain.pictures(walked)[-1] == models.to_levels(x)[0].permute(1, 2, 0).numpy()).all()


def test_the_lessons_show_a_model_with_details_and_take_turns(detailed_checkpoint):
    """One lock for one model: a lesson waits while a morph is decoded."""
    editor = Editor(detailed_checkpoint, device="cpu")
    lessons = learn_tab._Lessons(editor, OpeningMorph(editor))
    face = lessons.faces({})
    assert len(face["pictures"]) == len(face["names"]) + 1 == len(face["log_dets"]) + 1
    assert len(face["decided"]) == editor.model.flow.config.levels == max(face["levels"])
    assert lessons.plane({})["face_levels"] == 0
    measured = lessons.jacobian({"dims": "face"})
    assert measured.log_det == pytest.approx(measured.log_det_brute_force, abs=1e-4)
    assert len(lessons.path({})["frames"]) == len(learn_tab._T)
    # All codes are known now: what is left is what a lesson itself computes.
    for lesson in (lessons.plane, lessons.faces, lessons.jacobian):
        done = threading.Event()
        thread = threading.Thread(target=lambda: (lesson({"dims": "face"}), done.set()))  # noqa: B023
        with editor.model.locked():
            thread.start()
            assert not done.wait(0.3), f"{lesson.__name__} did not wait"
        assert done.wait(20)


# ---- 5: many dimensions -------------------------------------------------------------------------


@pytest.mark.parametrize("dims", [2, 5, 64, 200])
def test_the_layers_log_det_is_that_of_brute_force(dims):
    found = jacobian.cost(*jacobian.random_coupling(dims))
    assert found.dims == dims
    assert abs(found.log_det) > 1e-3  # the coupling does something
    assert found.log_det == pytest.approx(found.log_det_brute_force, abs=1e-9)
    assert found.log_det == pytest.approx(found.log_det_diagonal, abs=1e-9)
    assert found.above == 0
    assert min(found.seconds, found.jacobian_seconds, found.elimination_seconds) > 0


def test_a_coupling_of_a_picture_model_is_triangular_too(tiny):
    z = torch.randn(1, tiny.dims, generator=torch.Generator().manual_seed(5))
    coupling, x = jacobian.face_coupling(tiny, z)
    found = jacobian.cost(coupling, x)
    assert found.dims == math.prod(tiny.config.code_shapes()[-1])
    assert found.above == 0
    assert found.log_det == pytest.approx(found.log_det_brute_force, abs=1e-4)
    with torch.no_grad():  # it is the input that f itself arrives at
        y = tiny.levels[-1].prior.inverse(tiny.split_levels(z.double())[-1])
        assert torch.allclose(coupling(x)[0], y, atol=1e-5)


def test_lower_precision_around_the_lessons_changes_no_number(tiny):
    """Autocast here, TF32 on a GPU: what a lesson says must hold whatever runs around it."""
    z = torch.randn(1, tiny.dims, generator=torch.Generator().manual_seed(6))
    expected = chain.chain(tiny, z)
    costs = jacobian.cost(*jacobian.face_coupling(tiny, z))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(chain.chain(tiny, z).states, expected.states)
        coupling, x = jacobian.face_coupling(tiny, z)
        again = jacobian.cost(coupling, x)
    assert again.log_det == costs.log_det
    assert again.log_det_brute_force == costs.log_det_brute_force


def test_the_page_says_the_dimensions_of_its_model():
    shown = template("learn/jacobian.html", code="", dims="49152", level="5")
    script = (STATIC / "scripts/learn/jacobian.js").read_text(encoding="utf-8")
    assert 'data-dims="49152"' in shown and 'data-level="5"' in shown
    assert "[[" not in shown and "12288" not in script and "level 4" not in script


def test_a_heat_map_hides_nothing_of_a_large_matrix():
    matrix = torch.zeros(1000, 1000)
    matrix[3, 997] = -8.0
    matrix[500, 500] = 1.0
    seen = jacobian.heat_map(matrix, cells=100)
    assert seen.shape == (100, 100)
    assert seen[0, 99] == 1
    assert seen[50, 50] == pytest.approx(0.5)


# ---- 6: positions and directions ----------------------------------------------------------------


def test_the_straight_path_leaves_the_shell_and_the_arc_does_not():
    dims = 3072
    around = positions.shell(dims)
    assert around.contains(around.norms).mean() > 0.99
    z_a, z_b = (
        v / v.norm() * math.sqrt(dims)
        for v in torch.randn(2, dims, generator=torch.Generator().manual_seed(7))
    )
    t = torch.linspace(0, 1, 33)
    line = positions.path_view(z_a, z_b, t, "linear", around)
    arc = positions.path_view(z_a, z_b, t, "spherical", around)
    assert line.inside[[0, -1]].all() and not line.inside[8:25].any()
    assert line.norms[16] == pytest.approx(math.sqrt(dims / 2), rel=0.05)
    assert arc.inside.all()
    for seen in (line, arc):  # the plane shows true lengths
        assert np.allclose(np.linalg.norm(seen.points, axis=1), seen.norms, rtol=1e-5)
        assert np.linalg.norm(seen.a - seen.b) == pytest.approx(seen.distance, rel=1e-5)
    assert np.allclose(line.points[0], line.a) and np.allclose(line.points[-1], line.b)


def test_equal_codes_have_a_plane_without_directions():
    z = torch.randn(50, generator=torch.Generator().manual_seed(8))
    view = positions.path_view(z, z, torch.tensor([0.0, 1.0]), "linear", positions.shell(50))
    assert view.distance == 0
    assert np.isfinite(view.points).all()


# ---- what the page is sent ----------------------------------------------------------------------


def test_the_code_that_is_shown_is_that_of_its_file_and_no_other_file_is():
    for thing in (chain.chain, models.Glow.f, jacobian.random_coupling, ChangeOfVariables):
        path, line, text = learn_tab.listing(thing)
        file = learn_tab.source_file({"path": path})["text"]
        shown, lines = text.splitlines(), file.splitlines()
        there = lines[line - 1 : line - 1 + len(shown)]
        assert [line.strip() for line in shown] == [line.strip() for line in there]
        assert any(f" {thing.__name__}" in line for line in shown)
        page = learn_tab.code_html([thing])  # goes through templates, which own these signs
        assert f'data-path="{path}"' in page and not set("{}$`\\") & set(page)
        assert text.strip() in html.unescape(re.sub(r"<[^>]*>", "", page))
    for wrong in ("README.md", "models/../app.py", "/etc/passwd", "glow_app/ui/page.py", None):
        with pytest.raises(UserError, match="not among"):
            learn_tab.source_file({"path": wrong})


def test_arrays_travel_as_float32():
    sent = packed({"v": np.array([[1.5, math.inf]]), "n": [1, "a", None]})
    assert sent["n"] == [1, "a", None]
    assert tuple(sent["v"]["shape"]) == (1, 2)
    assert np.frombuffer(base64.b64decode(sent["v"]["f32"]), "<f4").tolist() == [1.5, math.inf]


def test_the_script_draws_every_lesson(here, tmp_path, tiny_checkpoint):
    flow, figures = tmp_path / "flow.safetensors", tmp_path / "figures"
    options = f"--out {figures} --steps 3 --save-flow {flow} --checkpoint {tiny_checkpoint}"
    assert here("learn", *options.split()) == 0
    written = sorted(figures.iterdir())
    assert [file.name[0] for file in written] == list("1234456")
    for file in written:
        with Image.open(file) as image:
            assert len(image.convert("L").getcolors()) > 20  # not blank
    assert models.load(flow).config == plane.FLOW
