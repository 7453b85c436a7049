"""The Learn tab: six lessons on normalizing flows, each a picture that moves.

Every number and picture comes from ``glow_app.lessons``. The browser only draws: arrays come once,
so that its sliders move at display rate, or as fast as the server answers.
"""

from __future__ import annotations

import functools
import html
import inspect
import math
import textwrap
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import gradio as gr
import torch
from pygments import highlight
from pygments.formatter import Formatter
from pygments.lexers import PythonLexer
from pygments.token import Comment, Keyword, Operator, String
from torch import Tensor

import models
from glow_app.common.errors import UserError
from glow_app.editing import paths
from glow_app.editing.editor import Editor
from glow_app.faces.coding import to_pictures
from glow_app.faces.face import Face
from glow_app.lessons import chain, density, jacobian, plane, positions
from glow_app.ui import limits
from glow_app.ui.components.base import component, job
from glow_app.ui.encoding import packed, picture_uri
from glow_app.ui.events import JOBS, QUIET, event_handler, field, notify_ended, visitor_state
from glow_app.ui.page_faces import TEMPERATURE, OpeningMorph, drawn_face, photo_face
from glow_app.ui.routes import template
from glow_app.ui.visitors import uploaded_file
from models import Glow
from models.layers import AffineCoupling, InvertibleConv, fold
from models.steps import FlowStep

_MAX_CLICKED = 2000  # points that a visitor can draw
_CHAIN_POINTS = 500
_MAX_DIMS = max(jacobian.DIMS)
_REACH = 4.0  # coordinates of points that are moved about
_STYLES = ((Keyword, "k"), (Operator.Word, "k"), (String, "s"), (Comment, "c"))
_T = torch.linspace(-0.25, 1.25, 49)  # of lesson 6: 0 and 1 are among them


def build_learn_tab(editor: Editor, opening: OpeningMorph) -> None:
    """Add the tab's components and events to the Blocks whose context is open."""
    lessons = _Lessons(editor, opening)
    pair = visitor_state()
    with gr.Column(elem_id="learn"):
        gr.HTML(template("learn/intro.html"), padding=False)
        face = {"dims": str(editor.model.flow.dims), "level": str(editor.model.flow.config.levels)}
        _lesson("density", [density.ChangeOfVariables], [lessons.density])
        _lesson("plane", [plane.probe_x, Glow.f, Glow.g], [lessons.plane, lessons.probe])
        fitting = _lesson(
            "fit", [plane.fit, FlowStep, fold, Glow.log_prob], [lessons.points], events=("train",)
        )
        chaining = _lesson("chain", [chain.chain, chain.so_far], [lessons.chain, lessons.faces])
        _lesson(
            "jacobian",
            [AffineCoupling, InvertibleConv.log_det, jacobian.jacobian, jacobian.cost],
            [lessons.jacobian],
            **face,
        )
        path = _lesson(
            "directions",
            [positions.plane, positions.path_view, positions.shell],
            [lessons.path],
            events=("walk",),
            **face,
        )

    one = {"concurrency_limit": 1, **QUIET}
    training = fitting.train(
        lessons.train, None, [fitting, chaining], concurrency_id="learn", **one
    )
    one |= {"concurrency_id": "sides", "trigger_mode": "always_last"}
    walking = path.walk(lessons.walk, pair, [path, pair], **one)
    notify_ended(training, "#learn-fit .lesson", "train")
    notify_ended(walking, "#learn-directions .lesson", "walk")


def _lesson(
    name: str,
    code: Sequence[Callable[..., Any]],
    functions: Sequence[Callable[..., Any]],
    events: Sequence[str] = (),
    **fields: str,
) -> gr.HTML:
    """Add one lesson: its text and script in ``static``, its code from the source."""
    return component(
        f"learn/{name}",
        template(f"learn/{name}.html", code=code_html(code), **fields),
        events=events,
        functions=[*(_answering(method) for method in (*functions, source_file)), job],
        elem_id=f"learn-{name}",
    )


def _answering(method: Callable[[dict[str, Any]], Any]) -> Callable[[Any], Any]:
    """Return ``method`` as a function that browsers may call: JSON out, a refusal as its sentence,
    since Gradio takes no bound methods and swallows exceptions."""

    def answer(asked: Any) -> Any:
        try:
            return packed(event_handler(method)(asked if isinstance(asked, dict) else {}))
        except gr.Error as error:
            return {"error": error.message}

    answer.__name__ = method.__name__
    return answer


def source_file(asked: dict[str, Any]) -> dict[str, str]:
    """Return a whole file of the code that lessons show, and no other file."""
    for file in [*(_ROOT / "models").glob("*.py"), *Path(plane.__file__).parent.glob("*.py")]:
        if file.relative_to(_ROOT).as_posix() == asked.get("path"):
            return {"text": file.read_text(encoding="utf-8")}
    raise UserError("This file is not among those that the lessons show.")


class _Lessons:
    """The answers to what the browser may ask. Nothing of a visitor is kept."""

    def __init__(self, editor: Editor, opening: OpeningMorph) -> None:
        self.editor = editor
        self.opening = opening
        self._lock = threading.Lock()  # of the flow of the plane: these calls pass by the queue

    @functools.cached_property
    def _flow(self) -> Glow:
        return plane.example_flow()

    @functools.cached_property
    def _shell(self) -> positions.PriorShell:
        return positions.shell(self.editor.model.flow.dims)

    def density(self, asked: dict[str, Any]) -> Any:
        """Lesson 1 for a base density and a map."""
        base = limits.one_of(asked.get("base"), "The base density", tuple(density.BASES))
        line_map = limits.one_of(asked.get("map"), "The map", tuple(density.MAPS))
        return density.density_view(base, line_map)

    def plane(self, asked: dict[str, Any]) -> Any:
        """Lesson 2: what stays while a point is moved (data, codes, the bent grid), and a face's
        round trip."""
        data = plane.shown_points(plane.DATASETS["moons"])
        with self._lock, torch.no_grad():
            codes, _ = self._flow.f(plane.as_images(data))
            grid, lines = plane.grid_lines(self._flow)
        face = self.opening.faces()[0]
        z = self.editor.model.encode(face.pixels)
        returned = self.editor.model.decode(z)[0]
        with self.editor.model.locked() as model:
            walked = chain.chain(model, z, whole_steps=True)
        return {
            "span": plane.SPAN,
            "data": data,
            "codes": codes,
            "grid": grid,
            "lines": lines,
            "line_points": lines.shape[1],
            "face": picture_uri(face.pixels),
            "face_code": picture_uri(chain.pictures(walked)[0]),
            "face_back": picture_uri(returned),
            "face_levels": int(abs(face.pixels.astype(int) - returned).max()),
            "face_dims": z.shape[1],
        }

    def probe(self, asked: dict[str, Any]) -> Any:
        """Lesson 2: take one point there and back, from x or from z."""
        name, probe = ("x", plane.probe_x) if "x" in asked else ("z", plane.probe_z)
        point = _point(asked.get(name))
        with self._lock:
            return probe(self._flow, point)

    def points(self, asked: dict[str, Any]) -> Any:
        """Lesson 3: the points of a data set."""
        name = limits.one_of(asked.get("data"), "The data set", tuple(plane.DATASETS))
        return {"span": plane.SPAN, "data": plane.shown_points(plane.DATASETS[name])}

    @event_handler
    def train(self, event: gr.EventData) -> Iterator[tuple[Any, Any]]:
        """Lesson 3: fit a flow and show it now and then; at last take it apart in lesson 4."""
        draw = _data(field(event, "data"), field(event, "points"))
        with JOBS.run(field(event, "job")) as work:  # stopped, it ends well after the step in hand
            for fitted in plane.fit(draw, stopped=lambda: work.stopped):
                flow, shot = fitted
                running = shot.done < 1.0 and not work.stopped
                value = {**packed(shot), "running": running, "stopped": work.stopped}
                yield value, gr.skip()
            yield gr.skip(), packed(_chain_value(flow))

    def chain(self, asked: dict[str, Any]) -> Any:
        """Lesson 4: points of the plane, layer by layer."""
        with self._lock:
            return _chain_value(self._flow)

    def faces(self, asked: dict[str, Any]) -> Any:
        """Lesson 4: a face, layer by layer and level by level."""
        z = self.editor.model.encode(self.opening.faces()[0].pixels)
        with self.editor.model.locked() as model:
            walked = chain.chain(model, z, whole_steps=True)
            decided = to_pictures(models.to_levels(chain.so_far(model, z)))
        return {
            "names": [f"level {link.level}, {link.name}" for link in walked.links],
            "levels": [link.level for link in walked.links],
            "pictures": [picture_uri(pixels) for pixels in chain.pictures(walked)],
            "decided": [picture_uri(pixels) for pixels in decided],
            "log_dets": walked.log_dets[:, 0],
        }

    def jacobian(self, asked: dict[str, Any]) -> Any:
        """Lesson 5: measure one coupling, of some size or of the face model."""
        if asked.get("dims") == "face":
            z = self.editor.model.encode(self.opening.faces()[0].pixels)
            with self.editor.model.locked() as model:
                return jacobian.cost(*jacobian.face_coupling(model, z))
        dims = limits.whole(asked.get("dims"), "The dimension", 2, _MAX_DIMS)
        with self._lock:  # one measurement at a time, or they would measure each other
            return jacobian.cost(*jacobian.random_coupling(dims))

    @event_handler
    def walk(
        self, pair: tuple[Face, Face] | None, event: gr.EventData
    ) -> tuple[dict[str, Any], tuple[Face, Face]]:
        """Lesson 6: the path between two faces, one of which may be exchanged first."""
        kind = limits.one_of(field(event, "kind"), "The path", paths.PATHS)
        a, b = pair or self.opening.faces()
        side, file = field(event, "side"), field(event, "path")
        if side is not None:
            limits.one_of(side, "The side", ("a", "b"))
            if file is None:
                face = drawn_face(self.editor, limits.seed(field(event, "seed")), TEMPERATURE)
            else:
                face = photo_face(self.editor, uploaded_file(file))
            a, b = (face, b) if side == "a" else (a, face)
        return self._path(a, b, kind), (a, b)

    def path(self, asked: dict[str, Any]) -> Any:
        """Lesson 6: the path between the two faces that are shown first."""
        return self._path(*self.opening.faces(), "linear")

    def _path(self, a: Face, b: Face, kind: str) -> dict[str, Any]:
        z_a, z_b = (self.editor.model.encode(side.pixels)[0] for side in (a, b))
        frames = self.editor.model.decode(paths.path(z_a, z_b, _T, kind))
        return {
            **packed(positions.path_view(z_a, z_b, _T, kind, self._shell)),
            "shell": packed(self._shell),
            "frames": [picture_uri(frame) for frame in frames],
            "faces": [picture_uri(side.pixels) for side in (a, b)],
            "sources": [
                side.source.lower() if side.seed is None else f"drawn, T = {TEMPERATURE}"
                for side in (a, b)
            ],
            "notes": [note for side in (a, b) for note in side.notes],
        }


def _chain_value(model: Glow) -> dict[str, Any]:
    """Return lesson 4's view of a flow of the plane: many points, carried from z to x."""
    z = torch.randn(_CHAIN_POINTS, 2, generator=torch.Generator().manual_seed(0))
    walked = chain.chain(model, z)
    with torch.no_grad():
        _, log_det = model.f(walked.states[-1].float())
    return {
        "names": [link.name for link in walked.links],
        "states": walked.states.flatten(2),
        "log_dets": walked.log_dets,
        "log_det_g": -log_det,
        "span": plane.SPAN,
    }


def _data(name: Any, clicked: Any) -> plane.Draw:
    """Return the data that a visitor wants to fit: a named set, or points of their own."""
    if name != "points":
        return plane.DATASETS[limits.one_of(name, "The data set", tuple(plane.DATASETS))]
    if not isinstance(clicked, list) or not 1 <= len(clicked) <= _MAX_CLICKED:
        raise UserError(
            f"Put 1 to {_MAX_CLICKED} points on the left picture first: click or drag."
        )
    return plane.scattered(clicked)


def _point(values: Any) -> Tensor:
    """Return a point of the plane, moved into its middle if it is far out."""
    if not isinstance(values, list) or len(values) != 2:
        raise UserError("A point of the plane is two numbers.")
    if not all(isinstance(v, int | float) and math.isfinite(v) for v in values):
        raise UserError("A coordinate is a finite number.")
    return torch.tensor(values, dtype=torch.float32).clamp(-_REACH, _REACH)


# ---- listings of the code -----------------------------------------------------------------------

_ROOT = Path(__file__).resolve().parents[3]


def listing(thing: Callable[..., Any]) -> tuple[str, int, str]:
    """Return of a function, a method or a class of this project its file, from the root of the
    repository, its first line there, counted from 1, and its source without indentation."""
    thing = inspect.unwrap(thing)
    lines, first = inspect.getsourcelines(thing)
    path = Path(inspect.getsourcefile(thing) or "").resolve().relative_to(_ROOT)
    return path.as_posix(), first, textwrap.dedent("".join(lines)).rstrip("\n")


def code_html(things: Sequence[Callable[..., Any]]) -> str:
    """Return a foldable block with the source of each of ``things``."""
    blocks = ""
    for thing in things:
        name = html.escape(thing.__qualname__)
        path, line, text = listing(thing)
        code = highlight(text, PythonLexer(ensurenl=False), _Colours())
        blocks += (
            f"<figure><figcaption><code>{name}</code> "
            f'<button type="button" class="link" data-path="{path}" '
            f'data-line="{line}" title="Show the whole file here">'
            f"{path}, line {line}</button></figcaption>"
            f'<pre tabindex="0" aria-label="{name}"><code>{code}</code></pre></figure>'
        )
    names = ", ".join(f"<code>{html.escape(thing.__qualname__)}</code>" for thing in things)
    return f'<details class="code"><summary>The code: {names}</summary>{blocks}</details>'


class _Colours(Formatter):
    """Keywords, strings and comments in the three colours of the page; escaped for HTML and for
    the templates that Gradio makes of that."""

    def format(self, tokensource: Iterable[tuple[Any, str]], outfile: Any) -> None:
        for kind, text in tokensource:
            style = next((name for token, name in _STYLES if kind in token), "")
            text = html.escape(text, quote=False)
            text = "".join(f"&#{ord(c)};" if c in "{}$`\\" else c for c in text)
            outfile.write(f'<span class="{style}">{text}</span>' if style else text)
