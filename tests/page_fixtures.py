"""Fixtures of the page's tests: two running pages, one Chromium, fresh tabs that watch errors.

Test modules take them with ``pytest_plugins = ["tests.page_fixtures"]``.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from benchmarks.screenshots import find_chromium
from glow_app.editing.editor import Editor
from tests.page_tools import WAIT_MS, OpenTab, serving, wait_ready

PHOTOS = Path(__file__).resolve().parents[2] / "shared" / "photos"

# Chromium as root and in a container, without traffic of its own, with a drawn camera.
_CHROMIUM_ARGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-dev-shm-usage", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--host-resolver-rules=MAP *.example.org 127.0.0.1, MAP example.org 127.0.0.1",
    "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream",
)  # fmt: skip


@contextmanager
def _greeting(editor: Editor, face_folder: Path) -> Iterator[str]:
    """The address of the page, running in this process.

    Drawn faces greet there: most tests compare with what the model draws.
    """
    from glow_app.ui.page_faces import SEEDS, Examples, OpeningMorph, example_files

    files = example_files() or [f for f in face_folder.rglob("*") if f.is_file()][:8]
    opening = OpeningMorph(editor, SEEDS, Examples(editor, files))
    with serving(editor, opening) as (_, url):
        opening.warm_up()
        opening.morph()  # wait for it: no test is about how long a busy machine takes
        yield url
        opening.close()


@pytest.fixture(scope="session")
def server(small: Editor, face_folder: Path) -> Iterator[str]:
    """The page on a model that is quick, which most of what the page does is tested with."""
    with _greeting(small, face_folder) as url:
        yield url


@pytest.fixture(scope="session")
def released_server(released: Editor, face_folder: Path) -> Iterator[str]:
    """The page on the released model."""
    with _greeting(released, face_folder) as url:
        yield url


@pytest.fixture(scope="session")
def photos(face_folder: Path) -> list[Path]:
    """Two photos to upload: unaligned portraits where they lie beside the project."""
    portraits = sorted(PHOTOS.glob("person_*.jpg"))[:2]
    if len(portraits) == 2 and not os.environ.get("GLOW_DRAWN_FACES"):
        return portraits
    return sorted(p for p in face_folder.rglob("*") if p.suffix in {".jpg", ".png"})[:2]


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """A headless Chromium; without one the tests fail, because the page would go untested."""
    with sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(
                executable_path=find_chromium(), args=_CHROMIUM_ARGS
            )
        except Exception as error:
            pytest.fail(
                f"No Chromium to test the page with; install it or set CHROMIUM. {error}",
                pytrace=False,
            )
        yield browser
        browser.close()


@pytest.fixture
def open_tab(chromium: Browser, server: str) -> Iterator[OpenTab]:
    """Open the page in a fresh visitor's tab: ``open_tab(query="?a=1&b=2", **context options)``.

    Whatever a test does, at its end there was no error of the page, none in its console and no
    request to anywhere else.
    """
    with tabs(chromium, server) as open_page:
        yield open_page


@pytest.fixture
def open_released_tab(chromium: Browser, released_server: str) -> Iterator[OpenTab]:
    """As `open_tab`, of the page on the released model."""
    with tabs(chromium, released_server) as open_page:
        yield open_page


@contextmanager
def tabs(chromium: Browser, server: str, **always: object) -> Iterator[OpenTab]:
    """What `open_tab` gives, of the page at ``server``; ``always`` are options of each context."""
    contexts: list[BrowserContext] = []
    wrong: list[str] = []

    def watch(page: Page) -> None:
        page.on("pageerror", lambda error: wrong.append(f"page error: {error}"))
        page.on("console", lambda m: m.type == "error" and wrong.append(f"{m.text} {m.location}"))
        own = (server, "data:", "blob:")
        page.on("request", lambda r: r.url.startswith(own) or wrong.append(f"asks for {r.url}"))

    def open_page(query: str = "", *, ready: bool = True, **options: object) -> Page:
        # Without motion the morph stays where a test puts it; tests of playing ask for motion.
        options = {
            "reduced_motion": "reduce",
            "viewport": {"width": 1280, "height": 860},
        } | {**always, **options}
        context = chromium.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(WAIT_MS)
        watch(page)
        page.goto(f"{server}/{query}")
        if ready:
            wait_ready(page)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not wrong, wrong
