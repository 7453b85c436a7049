"""The sample tab: faces that do not exist, by seed and temperature, and what is near them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr
import numpy as np

from glow_app.common.errors import UserError
from glow_app.export.recipes import Origin, Recipe
from glow_app.export.sheets import save_sheet
from glow_app.faces.face import Face
from glow_app.ui import encoding, limits
from glow_app.ui.components.base import download_value, working_value
from glow_app.ui.components.faces import gallery
from glow_app.ui.context import PageContext, choice
from glow_app.ui.downloads import written
from glow_app.ui.encoding import next_revision
from glow_app.ui.events import (
    BESIDE,
    HEAVY,
    JOBS,
    LIGHT,
    QUIET,
    connect,
    event_handler,
    field,
    notify_ended,
    visitor_state,
)
from glow_app.ui.page_faces import DRAWN, TEMPERATURE, made_face
from glow_app.ui.tabs.journey import JourneyTab, Stop, new_stop

_SERIES = (0.3, 0.5, 0.7, 0.9)  # temperatures that are compared
_NEAR = 11  # neighbours of a face, beside the face itself
_MODES = {
    "grid": "Many faces, one temperature",
    "series": "The same seeds at several temperatures",
}


@dataclass(frozen=True, eq=False)
class Sheet:
    """Faces drawn together: what the gallery shows."""

    pixels: np.ndarray  # (N, S, S, 3) uint8
    faces: tuple[Origin, ...]  # of each; a neighbour has no seed of its own
    captions: tuple[str, ...]  # a word or two below each
    recipe: Recipe
    columns: int | None = None  # where the rows mean something
    title: str = ""

    def value(self) -> dict[str, Any]:
        """Return what the gallery gets."""
        return {
            "rev": next_revision(),
            **encoding.sheet(self.pixels),
            "captions": list(self.captions),
            "about": [
                "A near face, without a seed of its own"
                if face.seed is None
                else f"Seed {face.seed}, temperature {face.temperature:g}"
                for face in self.faces
            ],
            "seeded": [face.seed is not None for face in self.faces],
            "columns": self.columns,
            "title": self.title,
        }


def build_sample_tab(context: PageContext, journey: JourneyTab) -> None:
    """Add the tab's components and events to the page, whose context is open."""
    sheet = visitor_state()
    with gr.Column(elem_classes=["stage", "stage-sample"]):
        with gr.Column(elem_classes=["side-area"]):
            mode = choice(_MODES, label="Show", elem_id="sample-mode")
            seed = gr.Number(0, label="First seed", precision=0, elem_id="sample-seed")
            count = gr.Slider(4, 32, 12, step=4, label="How many seeds", elem_id="sample-n")
            temperature = gr.Slider(
                0.0,
                1.2,
                TEMPERATURE,
                step=0.05,
                label="Temperature",
                info="0 is the one average face; the model's own variety is at 1.",
                elem_id="sample-temperature",
            )
            radius = gr.Slider(
                0.05,
                1.0,
                0.3,
                step=0.05,
                label="Reach of near faces",
                info="For Near faces: small keeps to the face, 1 has nothing to do with it.",
                elem_id="radius",
            )
            go = gr.Button("Draw faces", variant="primary", elem_classes=["primary-action"])
        screen = gallery(elem_id="gallery", elem_classes=["screen-area"])

    handlers = _Handlers(context)
    result = [screen, sheet]
    draw = go.click(handlers.draw, [mode, seed, count, temperature], result, **HEAVY)
    notify_ended(draw, "#gallery .gallery", "draw")
    connect(
        screen,
        "#gallery .gallery",
        used=["pair", "edit", "journey"],
        near=(handlers.near, [sheet, radius], result, HEAVY),
        save=(handlers.save, sheet, context.downloads, BESIDE),
        pair=(handlers.pair, sheet, context.pair.outputs, LIGHT),
        edit=(handlers.edit, sheet, context.edited.outputs, LIGHT),
        journey=(handlers.journey, [sheet, journey.stops], journey.outputs, LIGHT),
    )
    mode.change(lambda mode: gr.Slider(interactive=mode == "grid"), mode, temperature, **QUIET)


class _Handlers:
    def __init__(self, context: PageContext) -> None:
        self.context = context
        self.editor = context.editor

    @event_handler
    def draw(self, mode: Any, seed: Any, count: Any, temperature: Any) -> Any:
        series = limits.one_of(mode, "What to show", tuple(_MODES)) == "series"
        n = limits.whole(count, "How many", 1, limits.MAX_SAMPLES)
        first = limits.seed(seed)
        temperatures = _SERIES if series else (limits.temperature(temperature),)
        with JOBS.run(JOBS.new_name()) as job:
            yield working_value("draw", job.name), gr.skip()
            rows = self.editor.sampler.sample_temperatures(
                temperatures, n, first, progress=job.progress
            )
        faces = tuple(Origin(first + i, t) for t in temperatures for i in range(n))
        at = " at {:g}" if series else ""
        sheet = Sheet(
            rows.reshape(-1, *rows.shape[2:]),
            faces,
            tuple(str(face.seed) + at.format(face.temperature) for face in faces),
            Recipe.of(self.editor, "samples", faces[:1], temperatures=temperatures),
            columns=n if series else None,
            title=f"Seeds {first} to {first + n - 1}"
            + ("" if series else f" at temperature {temperatures[0]:g}"),
        )
        yield sheet.value(), sheet

    @event_handler
    def near(self, sheet: Sheet | None, radius: Any, event: gr.EventData) -> Any:
        """Draw faces near the chosen one, which stands first."""
        sheet, index = _asked(sheet, event)
        face = sheet.faces[index]
        if face.seed is None or face.temperature is None:
            raise UserError("Near faces are drawn around a face with a seed: choose one of those.")
        reach, t = limits.between(radius, "The reach", 0, 1), face.temperature
        with JOBS.run(JOBS.new_name()) as job:
            yield working_value("near", job.name), gr.skip()
            around = self.editor.sampler.neighbours(
                face.seed, _NEAR, reach, t, progress=job.progress
            )
        near = Sheet(
            np.concatenate([sheet.pixels[index][None], around]),
            (face, *[Origin()] * _NEAR),
            (f"{face.seed}", *[f"near {i + 1}" for i in range(_NEAR)]),
            Recipe.of(self.editor, "samples", [face], temperatures=(t,), radius=reach),
            title=f"Near seed {face.seed} at temperature {t:g}",
        )
        yield near.value(), near

    @event_handler
    def pair(self, sheet: Sheet | None, event: gr.EventData) -> list[Any]:
        return self.context.pair.values_at(field(event, "to"), self._chosen(sheet, event))

    @event_handler
    def edit(self, sheet: Sheet | None, event: gr.EventData) -> list[Any]:
        return self.context.edited.values(self._chosen(sheet, event))

    @event_handler
    def journey(
        self, sheet: Sheet | None, stops: tuple[Stop, ...], event: gr.EventData
    ) -> list[Any]:
        return JourneyTab.values((*stops, new_stop(self._chosen(sheet, event))))

    @event_handler
    def save(self, sheet: Sheet | None, event: gr.EventData) -> dict[str, Any]:
        if sheet is None:
            raise UserError("Draw some faces first, then save them.")
        look = {"captions": sheet.captions, "columns": sheet.columns}
        size = 2 * self.editor.image_size
        return download_value(written(sheet.recipe, save_sheet, sheet.pixels, size=size, **look))

    def _chosen(self, sheet: Sheet | None, event: gr.EventData) -> Face:
        """Return the face that an event names, read by the model, for use elsewhere."""
        sheet, index = _asked(sheet, event)
        seed, temperature = sheet.faces[index].seed, sheet.faces[index].temperature
        return made_face(
            self.editor,
            sheet.pixels[index],
            source="Near a drawn face" if seed is None else DRAWN,
            seed=seed,
            temperature=temperature,
        )


def _asked(sheet: Sheet | None, event: gr.EventData) -> tuple[Sheet, int]:
    """Return the sheet, and the number of the face on it that an event names."""
    if sheet is None:
        raise UserError("Draw some faces first.")
    last = len(sheet.pixels) - 1
    return sheet, limits.whole(field(event, "index"), "The face's number", 0, last)
