"""Fixtures of the page's tests: a running page, one Chromium, tabs that watch for errors.

Test modules take them with ``pytest_plugins = ["tests.page_fixtures"]``.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from benchmarks.screenshots import find_chromium
from glow_app.editing.editor import Editor
from tests.page_tools import SIZE, OpenTab, Tab, Visitor, serving

PHOTOS = Path(__file__).resolve().parents[2] / "shared" / "photos"

# Chromium as root and in a container, without traffic of its own, with a drawn camera.
_CHROMIUM_ARGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-dev-shm-usage", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--host-resolver-rules=MAP *.example.org 127.0.0.1, MAP example.org 127.0.0.1",
    "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream",
)  # fmt: skip


@pytest.fixture(scope="session")
def server(small: Editor, face_folder: Path) -> Iterator[str]:
    """The address of the page on a model that is quick, running in this process.

    Drawn faces greet there: most tests compare with what the model draws.
    """
    from glow_app.ui.page_faces import SEEDS, Examples, OpeningMorph, example_files

    files = example_files() or [f for f in face_folder.rglob("*") if f.is_file()][:8]
    opening = OpeningMorph(small, SEEDS, Examples(small, files))
    with serving(small, opening) as (_, url):
        opening.warm_up()
        opening.morph()  # wait for it: no test is about how long a busy machine takes
        yield url
        opening.close()


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


@pytest.fixture(scope="session")
def visitor(chromium: Browser, server: str) -> Iterator[Visitor]:
    visitor = Visitor(
        chromium, server, permissions=["clipboard-read", "clipboard-write", "camera"]
    )
    yield visitor
    visitor.context.close()


@pytest.fixture
def tab(visitor: Visitor, request: pytest.FixtureRequest) -> Iterator[Tab]:
    """A tab that many tests use, since loading the page takes seconds; the Morph tab is open.

    What earlier tests did there is still there: a test sets what it depends on. One that fails
    takes the tab with it.
    """
    failures = request.session.testsfailed
    tab = visitor.tab = visitor.tab or visitor.open()
    tab.set_viewport_size(SIZE)
    tab.emulate_media(color_scheme="light")
    tab.go("Morph")
    try:
        with visitor.watched():
            yield tab
    finally:
        if visitor.wrong or request.session.testsfailed > failures:
            visitor.tab = None
            visitor.wrong.clear()
            tab.close()


@pytest.fixture
def open_tab(visitor: Visitor) -> Iterator[OpenTab]:
    """Open the page anew, as `Visitor.open` does."""
    before = len(visitor.context.pages)
    try:
        with visitor.watched():
            yield visitor.open
    finally:
        visitor.wrong.clear()
        for page in visitor.context.pages[before:]:
            page.close()
