"""The morph tab: two photos, the player between them, downloads below."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gradio as gr
import numpy as np

from glow_app import export
from glow_app.editor import Editor
from glow_app.ui import limits, sides
from glow_app.ui.components import (
    card_value,
    download_value,
    downloader,
    photo_card,
    player,
    player_value,
    working_value,
)
from glow_app.ui.errors import Refusal, in_words
from glow_app.ui.sides import Shown, Side
from glow_app.ui.uploads import outgoing, uploaded_file
from glow_app.ui.welcome import TEMPERATURE, Welcome

__all__ = ["HEAVY", "build_morph_tab"]

HEAVY = {"concurrency_id": "model", "concurrency_limit": 1}  # all events that run the model
_QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
_STATE_SECONDS = 3600
_DOWNLOAD_SIZES = (256, 512)
_PATH_LABELS = {"linear": "Straight line (linear)", "spherical": "Arc (spherical)"}
_GREETING = "Two faces drawn by the model: put your own photo on either side"
_CLIPPED = 0.01  # share of clipped colours above which the player mentions it


def build_morph_tab(demo: gr.Blocks, editor: Editor, welcome: Welcome) -> None:
    """Add the tab's components and events to ``demo``, whose context is open."""
    side_a, side_b, shown = (gr.State(None, time_to_live=_STATE_SECONDS) for _ in range(3))

    with gr.Column(elem_id="stage"):
        card_a = photo_card("A", elem_id="photo-a")
        card_b = photo_card("B", elem_id="photo-b")
        with gr.Row(elem_id="actions"):
            swap = gr.Button("⇄ Swap", elem_id="swap")
            morph = gr.Button("Morph", variant="primary", elem_id="morph")
        screen = player(export.available_formats(), elem_id="player")
        with gr.Accordion("Options", open=False, elem_id="options"):
            path, temperature, size = _options(editor.image_size)
    ready = downloader(elem_id="downloader")

    tab = _Handlers(editor, welcome)
    pair = [side_a, side_b, path, shown]
    result = [screen, shown]

    # Whatever changes a side only changes its state; the morph follows from there. While one is
    # being made, more changes wait as one ("always_last"), so the last pair is what stays.
    follow = gr.on(
        [side_a.change, side_b.change, path.input],
        tab.follow,
        pair,
        result,
        trigger_mode="always_last",
        **HEAVY,
        **_QUIET,
    )
    press = morph.click(tab.morph, pair, result, **HEAVY, **_QUIET)
    saving = screen.save(tab.save, [shown, size], ready, concurrency_limit=2, **_QUIET)
    opening = demo.load(tab.start, None, [card_a, side_a, card_b, side_b], **_QUIET)
    opening.failure(lambda: None, None, screen, **_QUIET)
    for event in (follow, press, saving):
        _settle(event, "#player .player")

    # Sides do not wait for a morph under way: the editor's own lock lets them in between.
    light: dict[str, Any] = {"concurrency_id": "sides", "concurrency_limit": 1, **_QUIET}
    for card, side, selector in (
        (card_a, side_a, "#photo-a .card"),
        (card_b, side_b, "#photo-b .card"),
    ):
        _settle(
            card.photo(tab.photo, None, [card, side], trigger_mode="multiple", **light), selector
        )
        _settle(card.draw(tab.draw, temperature, [card, side], **light), selector)
        card.remove(tab.remove, None, [card, side, *result], **_QUIET)
    swap.click(tab.swap, pair, [card_a, side_a, card_b, side_b, *result], **_QUIET)


def _options(native: int) -> tuple[gr.Radio, gr.Slider, gr.Radio]:
    """What few need: path, temperature of random faces, size of downloads."""
    path = gr.Radio(
        [(_PATH_LABELS[name], name) for name in limits.PATHS],
        value="linear",
        label="Path from A to B",
        info="The straight line is the shortest way between the two codes; the arc keeps their "
        "length, so faces half way are less smooth.",
        elem_id="path",
    )
    temperature = gr.Slider(
        0.0,
        1.0,
        value=TEMPERATURE,
        step=0.05,
        label="Temperature of random faces",
        info="Lower is smoother and nearer to the average face, higher is more varied.",
        elem_id="temperature",
    )
    larger = [size for size in _DOWNLOAD_SIZES if size > native]
    size = gr.Radio(
        [(f"{native} pixels, as decoded", native), *((f"{size} pixels", size) for size in larger)],
        value=larger[0] if larger else native,
        label="Size of downloads",
        elem_id="size",
    )
    return path, temperature, size


def _settle(event: Any, selector: str) -> None:
    """Tell a component in the browser that its event has ended, well or badly."""
    tell = f"() => {{ document.querySelector('{selector}')?.dispatchEvent(new Event('settle')); }}"
    for ended in (event.success, event.failure):  # Gradio 6.31 leaves "then" out after a failure
        ended(None, None, None, js=tell, **_QUIET)


class _Handlers:
    """What the events do. Visitors' data come in and go out as values; none is kept here."""

    def __init__(self, editor: Editor, welcome: Welcome) -> None:
        self.editor = editor
        self.welcome = welcome

    # ---- sides ------------------------------------------------------------------------------

    @in_words
    def photo(self, event: gr.EventData) -> tuple[dict[str, Any], Side]:
        """A photo was chosen: show the crop that the model sees, and its reading."""
        side = sides.photo_side(self.editor, uploaded_file(_field(event, "path")))
        return self._card(side), side

    @in_words
    def draw(self, temperature: float, event: gr.EventData) -> tuple[dict[str, Any], Side]:
        """Draw a random face by seed."""
        seed = limits.seed(_field(event, "seed"))
        side = sides.draw_side(self.editor, seed, limits.temperature(temperature))
        return self._card(side), side

    @in_words
    def remove(self) -> tuple[None, ...]:
        """Forget a side, and the morph with it."""
        return None, None, None, None

    @in_words
    def swap(
        self, a: Side | None, b: Side | None, path: str, shown: Shown | None
    ) -> tuple[Any, ...]:
        """Exchange A and B; the frames are only turned round."""
        cards = (self._card(b), b, self._card(a), a)
        if shown is None or not shown.is_for(a, b, path):
            return *cards, gr.skip(), gr.skip()
        back = shown.reversed()
        return *cards, _sheet(back, final=True), back

    def _card(self, side: Side | None) -> dict[str, Any] | None:
        if side is None:
            return None
        bits, levels = side.reading.bits_per_dim, side.reading.roundtrip_max_levels
        tone, phrase = sides.familiarity(bits, self.editor.facts)
        return card_value(
            side.pixels,
            source=side.source,
            bits=bits,
            tone=tone,
            phrase=phrase,
            roundtrip=sides.roundtrip(levels),
            exact=levels == 0,
            notes=side.notes,
            seed=side.seed,
        )

    # ---- the morph --------------------------------------------------------------------------

    @in_words
    def morph(
        self, a: Side | None, b: Side | None, path: str, shown: Shown | None
    ) -> Iterator[tuple[Any, Any]]:
        """The button: morph, and show it moving once."""
        missing = [name for name, side in (("A", a), ("B", b)) if side is None]
        if missing:
            raise Refusal(f"Choose a photo or a random face for {' and '.join(missing)} first.")
        if shown is not None and shown.is_for(a, b, path):
            yield _sheet(shown, final=True, play=True), gr.skip()
        else:
            yield from self._steps(a, b, path, play=True)

    @in_words
    def follow(
        self, a: Side | None, b: Side | None, path: str, shown: Shown | None
    ) -> Iterator[tuple[Any, Any]]:
        """A side or the path has changed: morph by itself as soon as both sides are there."""
        if a is None or b is None:
            yield None, None
        elif shown is not None and shown.is_for(a, b, path):
            yield gr.skip(), gr.skip()
        else:
            yield from self._steps(a, b, path, play=shown is None)

    def _steps(self, a: Side, b: Side, path: str, play: bool) -> Iterator[tuple[Any, Any]]:
        limits.one_of(path, "The path", limits.PATHS)
        if self.welcome.is_for(a, b, path):
            morph = self.welcome.morph()
            yield _sheet(morph, final=True, play=play, status=_GREETING), morph
            return
        yield working_value(), gr.skip()
        for morph, final in sides.morph_steps(self.editor, a, b, path, limits.FRAMES):
            yield _sheet(morph, final=final, play=play), morph if final else gr.skip()

    @in_words
    def start(self, request: gr.Request) -> tuple[Any, ...]:
        """The page has opened: two drawn faces, whose morph follows, so something is alive.

        ``?a=7&b=11`` in the address draws these seeds instead, which makes a pair of drawn faces
        something to send to a friend. Photos never are in an address.
        """
        query = request.query_params
        if "a" in query and "b" in query:
            a, b = (
                sides.draw_side(self.editor, limits.seed(query[name]), TEMPERATURE)
                for name in "ab"
            )
        else:
            a, b = self.welcome.sides()
        return self._card(a), a, self._card(b), b

    # ---- downloads --------------------------------------------------------------------------

    @in_words
    def save(self, shown: Shown | None, size: int, event: gr.EventData) -> dict[str, Any]:
        """Write what the player shows; the browser saves it by itself."""
        if shown is None:
            raise Refusal("Make a morph first, then save it.")
        kind = limits.one_of(_field(event, "kind"), "The format", ("gif", "webp", "mp4", "png"))
        size = limits.download_size(size)
        about: dict[str, Any] = {
            **self.editor.made_with(),
            "path": shown.path,
        }
        for name, side in (("a", shown.a), ("b", shown.b)):
            if side.seed is not None:
                about[f"seed_{name}"] = side.seed
        if kind == "png":
            t = limits.position(_field(event, "t"))
            file = outgoing(f"glow-morph-at-{t:.3f}.png")
            about["t"] = t
            export.save_still(self._frame_at(shown, t), file, size=size, metadata=about)
        else:
            about["frames"] = len(shown.frames)
            file = outgoing(f"glow-morph-{shown.path}.{kind}")
            export.save_animation(shown.frames, file, size=size, metadata=about)
        return download_value(file)

    def _frame_at(self, shown: Shown, t: float) -> np.ndarray:
        """The picture at ``t``: the player's own where it has one, else decoded for the purpose.

        (The player fades between its frames; a file should be a picture of the model.)
        """
        place = t * (len(shown.frames) - 1)
        if place == int(place):
            return shown.frames[int(place)]
        one = self.editor.morph_frames(shown.a.pixels, shown.b.pixels, [t], shown.path)
        return one.frames[0]


def _field(event: gr.EventData, name: str) -> Any:
    """One field of what a browser sent with its event, which can be anything."""
    try:
        return getattr(event, name, None)
    except TypeError:  # not even an object
        return None


def _sheet(morph: Shown, *, final: bool, play: bool = False, status: str = "") -> dict[str, Any]:
    """A morph as the player takes it."""
    count = len(morph.frames)
    status = status or (f"{count} frames" if final else f"{count} of {limits.FRAMES} frames…")
    if final and morph.clamped > _CLIPPED:
        status = f"{count} frames; {morph.clamped:.0%} of the colours had to be clipped"
    return player_value(morph.frames, final=final, play=play, status=status)
