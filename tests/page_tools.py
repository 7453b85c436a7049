"""The page as tests use it: running in this process, and opened in a tab of a browser."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import httpx
import numpy as np
from PIL import Image
from playwright.sync_api import Browser, Locator, Page, TimeoutError, expect

from glow_app.editing.options import KAPPA
from glow_app.export import recipes
from glow_app.export.animation import save_animation
from glow_app.ui.page_faces import TEMPERATURE

if TYPE_CHECKING:
    from fastapi import FastAPI

    from glow_app.editing.editor import Editor
    from glow_app.ui.page_faces import OpeningMorph

SIZE = {"width": 1280, "height": 860}  # of a tab
WAIT_MS = 20_000  # for what the model does; the machine may be busy
FRAMES = 33  # of a morph
# Of a morph at first, as its recipe says them.
OPTIONS = {"way": "photos", "ground": "switch", "path": "linear", "t_range": (0.0, 1.0)}

expect.set_options(timeout=WAIT_MS)


@contextmanager
def serving(
    editor: Editor, opening: OpeningMorph | None = None, port: int | None = None, **options: object
) -> Iterator[tuple[FastAPI, str]]:
    """The page of an editor, running in this process: its application and its address.

    ``options`` are those of `launch_options`.
    """
    from glow_app.ui.page import build_page, launch_options

    page = build_page(editor, opening)
    app, url, _ = page.launch(
        server_name="127.0.0.1", server_port=port, prevent_thread_lock=True, inbrowser=False,
        **launch_options(**options),
    )  # fmt: skip
    try:
        yield app, url.rstrip("/")
    finally:
        page.close(verbose=False)


def answer_to(http: httpx.Client, server: str, name: str, **arguments: object) -> str:
    """The event that a call of the API ends with, as programs without a client library ask."""
    began = http.post(f"{server}/gradio_api/call/v2/{name}", json=arguments)
    if began.is_error:
        return began.text
    return http.get(f"{server}/gradio_api/call/{name}/{began.json()['event_id']}").text


def far(a: np.ndarray, b: np.ndarray) -> float:
    """Mean difference in levels."""
    return float(np.abs(a.astype(float) - b.astype(float)).mean())


def drawn(*seeds: int) -> tuple[recipes.Origin, ...]:
    """What a recipe says of drawn faces."""
    return tuple(recipes.Origin(seed, TEMPERATURE) for seed in seeds)


def picture(uri: str | None) -> np.ndarray:
    """The pixels of a picture in a data URI: (H, W, 3) uint8."""
    assert uri and uri.startswith("data:image/"), uri
    with Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1]))) as image:
        assert image.mode != "RGBA" or image.getextrema()[3] == (
            255,
            255,
        )  # no edge shines through
        return np.asarray(image.convert("RGB"))


class Tab:
    """A tab of a browser with the page in it; else it is as Playwright's `Page`."""

    def __init__(self, page: Page) -> None:
        self.page = page

    def __getattr__(self, name: str) -> Any:
        return getattr(self.page, name)

    # ---- getting about --------------------------------------------------------------------------

    def go(self, tab: str) -> None:
        self.get_by_role("tab", name=tab).click()

    def see(self, selector: str) -> Locator:
        """What this finds, once it is visible: sooner than by `expect`, which sleeps between."""
        found = self.locator(selector)
        found.wait_for()
        return found

    def button(self, name: str) -> Locator:
        """The button that is called exactly so, on the tab that is open."""
        return self.get_by_role("button", name=name, exact=True)

    def settle(self) -> None:
        """Let two animation frames pass, so that what was asked for is painted."""
        self.evaluate(
            "() => new Promise(r => requestAnimationFrame(() => requestAnimationFrame(r)))"
        )

    def until(self, condition: Callable[[], bool]) -> None:
        """Wait for something in this process while the page goes on."""
        for _ in range(WAIT_MS // 20):
            if condition():
                return
            self.wait_for_timeout(20)
        raise AssertionError("It did not happen.")

    def toast(self) -> str:
        """The sentence of the message that shows; it is closed again."""
        body = self.get_by_test_id("toast-body")
        text = body.get_by_test_id("toast-text").inner_text()
        body.get_by_test_id("toast-close").click()
        body.wait_for(state="detached")
        return text

    def download(self, name: str, folder: Path, timeout: float = 60_000) -> Path:
        """Press the button called ``name`` and keep the file that it saves."""
        self.locator(".player[data-saving]").wait_for(state="detached")  # else it does nothing
        with self.expect_download(timeout=timeout) as event:
            self.button(name).click()
        file = folder / event.value.suggested_filename
        event.value.save_as(file)
        return file

    def pace(self, where: str = "#player", **selects: object) -> None:
        """Choose the ``size``, the ``rate`` and the ``way`` of a player's downloads."""
        self.locator(f"{where} details").evaluate("details => { details.open = true; }")
        for name, value in selects.items():
            self.locator(f"{where} select.{name}").select_option(str(value))

    def open_file(self, file: Path | dict[str, Any]) -> None:
        """Open a file on the Morph tab, as its button does."""
        chooser = self.locator("#open-morph").locator("xpath=..").locator("input[type=file]")
        chooser.set_input_files(file)

    def open_made(self, *seeds: int, **note: object) -> None:
        """Open a file that says it was made here, of these drawn faces, as ``note`` has it."""
        faces = [origin.to_metadata() for origin in drawn(*seeds)]
        about = {**note, "made_with": "Glow Studio", "faces": faces}
        still = np.zeros((2, 64, 64, 3), np.uint8)
        with TemporaryDirectory() as folder:
            file = save_animation(still, Path(folder) / "m.gif", size=64, metadata=about)
            self.open_file({"name": "m.gif", "mimeType": "image/gif", "buffer": file.read_bytes()})

    # ---- faces ----------------------------------------------------------------------------------

    def choose(self, side: str, file: Path) -> None:
        """Upload ``file`` on side ``"a"`` or ``"b"``; wait for its crop and the morph."""
        with self.new_morph():
            self.locator(f"#photo-{side} input[type=file]").set_input_files(file)
            self.wait_card(side, "photo")

    def wait_card(self, side: str, kind: str = "") -> None:
        """Wait until a card is idle and shows a ``"photo"`` or a ``"drawn"`` face."""
        kind = f"[data-kind={kind}]" if kind else ""
        self.see(f"#photo-{side} .card{kind}:not([aria-busy])")

    def seed(self, side: str) -> Locator:
        """The field for the seed of face ``"a"`` or ``"b"`` on the Morph tab."""
        return self.locator(f"#photo-{side} .seed input")

    def crop(self, side: str) -> np.ndarray:
        """The face on a card: (N, N, 3) uint8, exact and of the model's size unless its photo has
        more."""
        return picture(self.locator(f"#photo-{side} .crop").get_attribute("src"))

    def look(self, side: str) -> np.ndarray:
        """What the model sees of a card's face: (S, S, 3) uint8, exact."""
        source = self.locator(f"#photo-{side} .seen").get_attribute("src")
        assert source and source.startswith("data:image/png"), source
        return picture(source)

    def empty_journey(self) -> Locator:
        """Open the Journey tab, with its options as at first and no faces; the list of those."""
        self.open_made(kind="journey", way="photos", path="cubic", loop=True)
        self.see("#faces .face-list[data-count='0']")
        return self.locator("#faces .face-list")

    # ---- the morph ------------------------------------------------------------------------------

    def wait_ready(self, where: str = "#player", unlike: str | None = None) -> None:
        """Wait until a player has every frame, of another sheet than ``unlike``, and nothing is
        under way."""
        other = "" if unlike is None else f":not([data-sheet='{unlike}'])"
        ready = ".player[data-state=ready]:not([data-working])"
        self.see(f"{where} {ready}{other}")

    @contextmanager
    def new_morph(self, where: str = "#player") -> Iterator[None]:
        """What happens inside leads to another morph: wait for it."""
        before = self.locator(f"{where} .player").get_attribute("data-sheet")
        yield
        self.wait_ready(where, before)

    def wait_made(self, **wanted: object) -> None:
        """Wait until the player shows a morph whose recipe says this."""
        made = None
        with TemporaryDirectory() as folder:
            for _ in range(50):  # opening sets many controls, and each may make a morph
                self.wait_ready()
                with suppress(TimeoutError):  # pressed as another one began, a button does nothing
                    made = self.download("Download frame PNG", Path(folder), timeout=2000)
                    made = recipes.read_recipe(made)
                    if all(getattr(made, name) == value for name, value in wanted.items()):
                        return
                self.wait_for_timeout(50)
        raise AssertionError(made)

    def draw(self, a: int | None = None, b: int | None = None) -> None:
        """Show the morph of the drawn faces of these seeds, or of any, with all options as they
        are at first."""
        options = self.locator("#options input:is(:checked, [type=number])").evaluate_all(
            "all => all.map((input) => input.value)"
        )
        first = ["photos", "switch", str(KAPPA), "linear", str(TEMPERATURE)]
        seeds = [self.seed(side).input_value() for side in "ab"]
        fits = all(seeds) if a is None else seeds == [str(a), str(b)]
        a, b = a or 3, b or 4
        if options not in ([], first):  # none are there until they are unfolded
            self.open_made(a, b, kind="morph", way="photos")
            self.wait_made(faces=drawn(a, b), **OPTIONS)
        elif not fits:
            with self.new_morph():
                self.open_made(a, b, kind="morph", way="photos")

    def open_options(self) -> None:
        """Unfold the options of the morph, if they are not."""
        if not self.locator("#way").is_visible():
            self.get_by_role("button", name="Options").click()

    def slider(self) -> Locator:
        """That of the morph."""
        return self.get_by_role("slider", name="Blend from A to B")

    def move_to(self, key: str) -> None:
        self.slider().focus()
        self.keyboard.press(key)
        self.settle()

    def set_slider(self, slider: Locator, value: float) -> None:
        """Move this slider and let go, whether it is seen or not; what follows is painted."""
        slider.evaluate(
            """(range, value) => {
                range.value = value;
                range.dispatchEvent(new Event('input'));
                range.dispatchEvent(new Event('change'));
            }""",
            value,
        )
        self.settle()

    # ---- pictures -------------------------------------------------------------------------------

    def live_ready(self, where: str) -> list[float]:
        """Wait until a live picture shows what its sliders say; their values."""
        live = self.see(f"{where} .live[data-state=ready]:not([data-pending])")
        return json.loads(live.get_attribute("data-shown") or "[]")

    def canvas(self, where: str = "#player") -> np.ndarray:
        """What the canvas of a component shows: (H, W, 3) uint8."""
        shown = self.locator(f"{where} canvas").first
        return picture(shown.evaluate("canvas => canvas.toDataURL()"))

    def painted(self, pixels: np.ndarray, where: str = "#player") -> np.ndarray:
        """What that canvas would show for the picture (S, S, 3), to compare with."""
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "PNG")
        source = "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
        data = self.locator(f"{where} canvas").first.evaluate(
            """async (shown, source) => {
                const blob = await (await fetch(source)).blob();
                const image = await createImageBitmap(blob); // an <img> is enlarged differently
                const canvas = document.createElement('canvas');
                [canvas.width, canvas.height] = [shown.width, shown.height];
                const paper = canvas.getContext('2d');
                paper.imageSmoothingQuality = 'high';
                paper.drawImage(image, 0, 0, canvas.width, canvas.height);
                return canvas.toDataURL();
            }""",
            source,
        )
        return picture(data)

    def shows(self, pixels: np.ndarray, where: str = "#player") -> bool:
        """Whether a canvas shows exactly this picture, but for the rounding of enlarging it."""
        shown, wanted = self.canvas(where), self.painted(pixels, where)
        return int(np.abs(shown.astype(int) - wanted).max()) <= 1


class Visitor:
    """One visitor of the page at ``server``: tabs that share the browser's caches, and what was
    wrong on any of them. ``options`` are those of the browser's context."""

    def __init__(self, chromium: Browser, server: str, **options: object) -> None:
        self.server = server
        self.wrong: list[str] = []
        self.tab: Tab | None = None  # the one that many tests use
        # Without motion the morph stays where a test puts it; tests of playing ask for motion.
        self.context = chromium.new_context(reduced_motion="reduce", viewport=SIZE, **options)
        self.context.set_default_timeout(WAIT_MS)
        self.context.on("page", self._watch)

    def _watch(self, page: Page) -> None:
        wrong, own = self.wrong.append, (self.server, "data:", "blob:")
        page.on("pageerror", lambda error: wrong(f"page error: {error}"))
        page.on("console", lambda m: m.type == "error" and wrong(f"{m.text} {m.location}"))
        page.on("request", lambda r: r.url.startswith(own) or wrong(f"asks for {r.url}"))

    def open(self, query: str = "", motion: bool = False) -> Tab:
        """A tab with the page, loaded anew; with motion it plays, else it is ready."""
        tab = Tab(self.context.new_page())
        if motion:
            tab.emulate_media(reduced_motion="no-preference")
        tab.goto(f"{self.server}/{query}")
        if not motion:
            tab.wait_ready()
        return tab

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Whatever is done inside, at its end there was no error of the page, none in its
        console and no request to anywhere else."""
        yield
        for page in self.context.pages:
            page.evaluate("0")  # what it has to report has arrived by then
        if self.wrong:
            raise AssertionError("\n".join(self.wrong))


OpenTab = Callable[..., Tab]  # what the fixture `open_tab` is
