"""Take screenshots of the page for the README, with faces that the model draws.

    python -m benchmarks.screenshots --out docs

Writes screenshot-{light,dark}.png (1280 px wide) and screenshot-phone-{light,dark}.png (380 px).
It needs Playwright and a Chromium (CHROMIUM names one).
"""

from __future__ import annotations

import argparse
import os
import shutil
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from glow_app.common import cli
from glow_app.editing.editor import Editor
from glow_app.ui.page import build_page, launch_options

_VIEWS = {  # name: width, height, theme
    "light": (1280, 860, "light"),
    "dark": (1280, 860, "dark"),
    "phone-light": (380, 820, "light"),
    "phone-dark": (380, 820, "dark"),
}
_READY = "#player .player[data-state=ready]:not([data-working])"
_PLOTTED = "#player .plot:not([data-bits='0'])"  # bits/dim are measured last
_SHARP_MS = 12_000  # for frames of full size, which come one by one


def find_chromium() -> str | None:
    """Return the path of a Chromium, or None: Playwright's own."""
    # Loading the page costs the headless shell two thirds of what it costs the whole browser.
    known = ("chromium-headless-shell", "chromium", "google-chrome")
    return os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, known)), None)


def parser() -> cli.Parser:
    p = cli.Parser(
        prog="python -m benchmarks.screenshots",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument("--out", default="docs", metavar="DIR", help="folder to write to (docs)")
    cli.add_model_arguments(p)
    return p


def main(argv: list[str] | None = None) -> None:
    args = parser().parse_args(argv)
    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    page = build_page(Editor(args.checkpoint, args.device))
    _, url, _ = page.launch(server_name="127.0.0.1", prevent_thread_lock=True, **launch_options())
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path=find_chromium(),
                args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
            )
            for name, (width, height, theme) in _VIEWS.items():
                file = out / f"screenshot-{name}.png"
                _take(browser, f"{url}?__theme={theme}", width, height, file)
                print(file)
            browser.close()
    finally:
        page.close(verbose=False)


def _take(browser: Browser, address: str, width: int, height: int, file: Path) -> None:
    """Write a screenshot of the whole page in a new tab, with the slider half way."""
    size = {"width": width, "height": height}
    tab = browser.new_context(viewport=size, reduced_motion="reduce").new_page()
    tab.goto(address)
    for there in (_READY, _PLOTTED):
        tab.locator(there).wait_for(timeout=60_000)
    tab.locator("#player input[type=range]").evaluate(
        "range => { range.value = 0.5; range.dispatchEvent(new Event('input')); }"
    )
    tab.wait_for_timeout(_SHARP_MS)
    tab.screenshot(path=file, full_page=True)
    tab.context.close()


if __name__ == "__main__":
    raise SystemExit(cli.run(main))
