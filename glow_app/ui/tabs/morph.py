"""The morph tab: two photos, the player between them, and how to get from one to the other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import gradio as gr

from glow_app.common.errors import UserError
from glow_app.editing.options import FRAMES, GROUNDS, KAPPA, MorphOptions
from glow_app.editing.paths import PATHS
from glow_app.faces.face import Face
from glow_app.ui import limits
from glow_app.ui.components.base import working_value
from glow_app.ui.components.pictures import player, player_value
from glow_app.ui.context import PageContext, choice, pair_examples
from glow_app.ui.downloads import wire_player
from glow_app.ui.events import HEAVY, JOBS, QUIET, event_handler, notify_ended, visitor_state
from glow_app.ui.page_faces import TEMPERATURE, drawn_face, morph_steps

_PATH_LABELS = {"linear": "Straight line", "spherical": "Arc"}
WAY_LABELS = {"photos": "Photos, changed by the model", "model": "The model alone"}
_GROUND_LABELS = {"switch": "Change over half way", "a": "Keep A's", "b": "Take B's"}
_BETWEEN = (0.0, 1.0)  # the range of t from A to B
_WORDS = {  # label of each option, and what stands below it
    "way": (
        "What the frames are made of",
        "The photos carry the picture, the model decides what changes. The model alone "
        "draws each point of the straight line between the codes: no photo, no warp.",
    ),
    "ground": (
        "Hair, clothes and background",
        "They come from one photo at a time: two laid over each other look like ghosts.",
    ),
    "kappa": (
        "From the photos … from the model",
        "0: the face between is the photos' average. 1: the model's whole change.",
    ),
    "path": ("Path from A to B", "Of the code: straight from z_a to z_b, or round on an arc."),
    "beyond": ("Go beyond A and B", "From t = −0.5 to 1.5: what tells the two apart grows."),
    "steady": (
        "Even speed",
        "Every step of the slider changes the picture equally. Takes twice as long.",
    ),
    "temperature": (
        "Temperature of random faces",
        "Lower is smoother and nearer to the average face, higher is more varied.",
    ),
}
_GREETING = "Put your own photo on either side"


@dataclass(frozen=True)
class MorphTab:
    """The components of this tab that other parts of the page need."""

    options: list[Any]  # way, ground, kappa, path, range of t, constant speed
    beyond: gr.Checkbox  # shows whether the range leaves A and B behind
    temperature: gr.Slider  # of random faces, anywhere on the page
    open_file: gr.UploadButton  # "Open a morph"


def build_morph_tab(demo: gr.Blocks, context: PageContext) -> MorphTab:
    """Add the tab's components and events to ``demo``, whose context is open."""
    pair = context.pair
    shown = visitor_state()
    t_range = visitor_state(_BETWEEN)  # any, since a file can set it

    with gr.Column(elem_classes=["stage", "stage-pair"]):
        pair_examples(context, "examples")
        pair.a.cards["photo-a"].render()
        pair.b.cards["photo-b"].render()
        with gr.Row(elem_id="actions", elem_classes=["actions"]):
            swap = gr.Button("⇄ Swap", elem_id="swap")
            open_file = gr.UploadButton(
                "Open a morph",
                file_types=[".gif", ".webp", ".png", ".mp4"],
                type="filepath",
                elem_id="open-morph",
            )
            morph = gr.Button(
                "Morph", variant="primary", elem_id="make-morph", elem_classes=["primary-action"]
            )
        screen = player(context.full_frames, "morph", context.editor.image_size, "player")
        with gr.Accordion("Options", open=False, elem_id="options", elem_classes=["options"]):
            way, ground, kappa, path, beyond, steady, temperature = _options()

    handlers = _Handlers(context)
    options = [way, ground, kappa, path, t_range, steady]
    asked = [*pair.states, *options, shown]
    result = [screen, shown]
    beyond.input(lambda on: limits.BEYOND if on else _BETWEEN, beyond, t_range, **QUIET)

    # Whatever changes a side only changes its state; the morph follows from there. While one is
    # being made, more changes wait as one ("always_last"), so the last pair is what stays.
    follow = gr.on(
        [part.change for part in (*pair.states, *options)],
        handlers.follow,
        asked,
        result,
        trigger_mode="always_last",
        **HEAVY,
    )
    press = morph.click(handlers.morph, asked, result, **HEAVY)
    opening = demo.load(handlers.start, None, [*pair.outputs, *context.edited.outputs], **QUIET)
    opening.failure(lambda: None, None, screen, **QUIET)
    for name, event in {"follow": follow, "morph": press}.items():
        notify_ended(event, "#player .player", name)
    wire_player(context, screen, shown)
    swap.click(handlers.swap, asked, [*pair.outputs, *result], **QUIET)
    return MorphTab(options, beyond, temperature, open_file)


def _options() -> tuple[Any, ...]:
    """Add and return the options: way, ground, kappa, path, beyond, steady, temperature."""

    def words(name: str) -> dict[str, Any]:
        label, info = _WORDS[name]
        return {"label": label, "info": info, "elem_id": name}

    with gr.Row():
        way, ground = choice(WAY_LABELS, **words("way")), choice(_GROUND_LABELS, **words("ground"))
    with gr.Row():
        kappa = gr.Slider(0.0, 1.0, KAPPA, step=0.05, **words("kappa"))
        path = choice(_PATH_LABELS, **words("path"))
    with gr.Row():
        beyond = gr.Checkbox(False, **words("beyond"))
        steady = gr.Checkbox(False, **words("steady"))
    temperature = gr.Slider(0.0, 1.0, TEMPERATURE, step=0.05, **words("temperature"))
    return way, ground, kappa, path, beyond, steady, temperature


class _Handlers:
    """The handlers of the tab's events. Visitors' data come and go as values; none is kept."""

    def __init__(self, context: PageContext) -> None:
        self.context = context
        self.editor = context.editor
        self.opening = context.opening

    @event_handler
    def swap(self, a: Face | None, b: Face | None, *asked: Any) -> tuple[Any, ...]:
        """Exchange A and B; the frames are only turned round where both are treated alike."""
        *options, shown = asked
        pair = self.context.pair.values(b, a)
        back = None if shown is None or shown.bits is None else shown.reversed()
        if back is None or not back.is_for((b, a), _how(*options)):
            return *pair, gr.skip(), gr.skip()
        return *pair, player_value(back, self.context.full_frames, final=True), back

    @event_handler
    def morph(self, a: Face | None, b: Face | None, *asked: Any) -> Iterator[tuple[Any, Any]]:
        """Morph when the button is pressed, and show it moving once."""
        *options, shown = asked
        if a is None or b is None:
            missing = [name for name, side in (("A", a), ("B", b)) if side is None]
            raise UserError(f"Choose a photo or a random face for {' and '.join(missing)} first.")
        how = _how(*options)
        if shown is not None and shown.is_for((a, b), how):
            yield player_value(shown, self.context.full_frames, final=True, play=True), gr.skip()
        else:
            yield from self._steps(a, b, how, "morph", play=True)

    @event_handler
    def follow(self, a: Face | None, b: Face | None, *asked: Any) -> Iterator[tuple[Any, Any]]:
        """Morph when a face or an option has changed and both faces are there."""
        *options, shown = asked
        if a is None or b is None:
            yield None, None
        elif shown is not None and shown.is_for((a, b), _how(*options)):
            yield gr.skip(), gr.skip()
        else:
            yield from self._steps(a, b, _how(*options), "follow", play=shown is None)

    def _steps(
        self, a: Face, b: Face, how: MorphOptions, event: str, play: bool
    ) -> Iterator[tuple[Any, Any]]:
        if not self.opening.is_for(a, b, how):
            yield from player_steps(self.context, event, (a, b), how, play=play)
            return
        if not self.opening.ready:  # the first visitor of all
            with JOBS.run(JOBS.new_name()) as job:
                yield working_value(event, job.name), gr.skip()
                self.opening.morph(job.progress)
        morph, full = self.opening.morph(), self.context.full_frames
        yield player_value(morph, full, final=True, play=play, note=_GREETING), morph

    @event_handler
    def start(self, request: gr.Request) -> list[Any]:
        """Set two faces when the page has opened; their morph follows.

        ``?a=7&b=11`` in the address draws these seeds instead, which makes a pair of drawn faces
        something to send to a friend. Photos never are in an address.
        """
        query = request.query_params
        if "a" in query and "b" in query:
            a, b = (
                drawn_face(self.editor, limits.seed(query[name]), TEMPERATURE) for name in "ab"
            )
        else:
            a, b = self.opening.faces()
        return [*self.context.pair.values(a, b), *self.context.edited.values(a)]


def player_steps(
    context: PageContext, event: str, faces: tuple[Face, ...], how: MorphOptions, *, play: bool
) -> Iterator[tuple[Any, Any]]:
    """Make what an event asks for as a job; yield values of the player and of its state. With
    ``play`` a morph plays from its first few frames on, a journey at the end."""
    full, made = context.full_frames, None
    with JOBS.run(JOBS.new_name()) as job:
        yield working_value(event, job.name), gr.skip()
        for made, final in morph_steps(context.editor, faces, how, job.progress):
            plays = play and (final or how.kind == "morph")
            value = player_value(made, full, final=final, play=plays)
            yield value, made if final else gr.skip()
    # The plot's bits/dim take as long again: the frames do not wait for them.
    with JOBS.run() as job:
        whole = made.measured(context.editor, job.progress)
    yield player_value(whole, full, final=True), whole


def morph_options(way: Any, ground: Any, steady: Any, **more: Any) -> MorphOptions:
    """Return options of which these came from the browser, checked; ``more`` are the others."""
    return MorphOptions(
        alone=limits.one_of(way, "The way", tuple(WAY_LABELS)) == "model",
        ground=limits.one_of(ground, "The ground", GROUNDS),
        constant_speed=bool(steady),
        **more,
    )


def _how(way: Any, ground: Any, kappa: Any, path: Any, t_range: Any, steady: Any) -> MorphOptions:
    k = limits.between(kappa, "How much comes from the model", 0, 1)
    low, high = _BETWEEN if t_range is None else t_range  # None: it has expired
    return morph_options(
        way,
        ground,
        steady,
        path=limits.one_of(path, "The path", PATHS),
        t_range=(low, high),
        kappa=None if k == KAPPA else k,
        frames=round((FRAMES - 1) * (high - low)) + 1,
    )
