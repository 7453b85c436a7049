"""What the page's tests share: waiting, uploading, and looking at pixels."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import numpy as np
from PIL import Image
from playwright.sync_api import Locator, Page, expect

from glow_app.faces.coding import resized

if TYPE_CHECKING:
    from fastapi import FastAPI

    from glow_app.editing.editor import Editor
    from glow_app.ui.page_faces import OpeningMorph

WAIT_MS = 20_000  # for what the model does; the machine may be busy
FRAMES = 33  # of a morph
OpenTab = Callable[..., Page]  # what the fixtures `open_tab` and `open_released_tab` are


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


def wait_ready(page: Page, where: str = "#player") -> None:
    """Wait until a player has every frame and nothing is under way."""
    expect(page.locator(f"{where} .player[data-state=ready]:not([data-working])")).to_be_visible(
        timeout=WAIT_MS
    )


@contextmanager
def new_morph(page: Page) -> Iterator[None]:
    """What happens inside leads to another morph: wait for it."""
    player = page.locator("#player .player")
    before = player.get_attribute("data-sheet")
    yield
    expect(player).not_to_have_attribute("data-sheet", before or "", timeout=WAIT_MS)
    wait_ready(page)


def choose(page: Page, side: str, file: Path) -> None:
    """Upload ``file`` on side ``"a"`` or ``"b"``; wait for its crop and the morph."""
    with new_morph(page):
        page.locator(f"#photo-{side} input[type=file]").set_input_files(file)
        wait_card(page, side, "photo")


def wait_card(page: Page, side: str, kind: str = "") -> None:
    """Wait until a card is idle and shows a ``"photo"`` or a ``"drawn"`` face."""
    kind = f"[data-kind={kind}]" if kind else ""
    expect(page.locator(f"#photo-{side} .card{kind}:not([aria-busy])")).to_be_visible(
        timeout=WAIT_MS
    )


_READ_CANVAS = """(canvas) => {
    const size = [canvas.width, canvas.height];
    const data = canvas.getContext('2d').getImageData(0, 0, ...size).data;
    let text = '';
    for (let i = 0; i < data.length; i += 8192) {
        text += String.fromCharCode(...data.subarray(i, i + 8192));
    }
    return [size, btoa(text)];
}"""


def canvas(page: Page, where: str = "#player") -> np.ndarray:
    """What the canvas of a component shows: (H, W, 3) uint8."""
    data = page.evaluate(f"() => ({_READ_CANVAS})(document.querySelector('{where} canvas'))")
    return _pixels(data)


def painted(page: Page, pixels: np.ndarray, where: str = "#player") -> np.ndarray:
    """What that canvas would show for the picture (S, S, 3), to compare with."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    source = "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
    data = page.evaluate(
        f"""async (source) => {{
            const blob = await (await fetch(source)).blob();
            const image = await createImageBitmap(blob); // an <img> is enlarged differently
            const player = document.querySelector('{where} canvas');
            const canvas = document.createElement('canvas');
            [canvas.width, canvas.height] = [player.width, player.height];
            const paper = canvas.getContext('2d');
            paper.imageSmoothingQuality = 'high';
            paper.drawImage(image, 0, 0, canvas.width, canvas.height);
            return ({_READ_CANVAS})(canvas);
        }}""",
        source,
    )
    return _pixels(data)


def _pixels(data: tuple[tuple[int, int], str]) -> np.ndarray:
    (width, height), encoded = data
    rgba = np.frombuffer(base64.b64decode(encoded), np.uint8).reshape(height, width, 4)
    assert (rgba[..., 3] == 255).all()  # no edge shines through
    return rgba[..., :3]


def settle(page: Page) -> None:
    """Let two animation frames pass, so that what was asked for is painted."""
    page.evaluate("() => new Promise(r => requestAnimationFrame(() => requestAnimationFrame(r)))")


def button(page: Page, name: str) -> Locator:
    """The button that is called exactly so, on the tab that is open."""
    return page.get_by_role("button", name=name, exact=True)


def far(a: np.ndarray, b: np.ndarray) -> float:
    """Mean difference in levels."""
    return float(np.abs(a.astype(float) - b.astype(float)).mean())


def is_painted(page: Page, pixels: np.ndarray, where: str = "#player") -> bool:
    """Whether a canvas shows exactly this picture, but for the rounding of enlarging it."""
    shown, wanted = canvas(page, where), painted(page, pixels, where)
    return int(np.abs(shown.astype(int) - wanted).max()) <= 1


def toast(page: Page) -> str:
    """The sentence of the error that shows; it is closed again."""
    body = page.get_by_test_id("toast-body")
    expect(body).to_be_visible(timeout=WAIT_MS)
    text = body.get_by_test_id("toast-text").inner_text()
    body.get_by_test_id("toast-close").click()
    expect(body).to_have_count(0)
    return text


def download(page: Page, name: str, folder: Path) -> Path:
    """Press the button called ``name`` and keep the file that it saves."""
    with page.expect_download(timeout=60_000) as event:
        button(page, name).click()
    file = folder / event.value.suggested_filename
    event.value.save_as(file)
    return file


def crop(page: Page, side: str) -> np.ndarray:
    """The face on a card: (N, N, 3) uint8, exact and of the model's size unless its photo has
    more."""
    return _card_picture(page, side, "crop")


def look(page: Page, side: str) -> np.ndarray:
    """What the model sees of a card's face: (S, S, 3) uint8, exact."""
    source = page.locator(f"#photo-{side} .seen").get_attribute("src")
    assert source and source.startswith("data:image/png"), source
    return _card_picture(page, side, "seen")


def _card_picture(page: Page, side: str, which: str) -> np.ndarray:
    source = page.locator(f"#photo-{side} .{which}").get_attribute("src")
    assert source and source.startswith("data:image/"), source
    with Image.open(io.BytesIO(base64.b64decode(source.split(",")[1]))) as image:
        return np.asarray(image.convert("RGB"))


def enlarged(pixels: np.ndarray, size: int) -> np.ndarray:
    """``pixels`` at ``size``, as downloads of faces without more detail are enlarged."""
    return resized(pixels, size)


def slider(page: Page) -> Locator:
    """That of the morph."""
    return page.get_by_role("slider", name="Blend from A to B")


def move_to(page: Page, key: str) -> None:
    slider(page).focus()
    page.keyboard.press(key)
    settle(page)


def go(page: Page, tab: str) -> None:
    page.get_by_role("tab", name=tab).click()


def open_morph(page: Page, file: Path) -> None:
    """Open a file on the Morph tab, as its button does."""
    chooser = page.locator("#open-morph").locator("xpath=..").locator("input[type=file]")
    chooser.set_input_files(file)
