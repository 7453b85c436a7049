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
from typing import TYPE_CHECKING

from glow_app.common import cli

if TYPE_CHECKING:
    from playwright.sync_api import Browser

_VIEWS = {  # name: (width, height, theme)
    "light": (1280, 860, "light"),
    "dark": (1280, 860, "dark"),
    "phone-light": (380, 820, "light"),
    "phone-dark": (380, 820, "dark"),
}
_READY = "#player .player[data-state=ready]:not([data-working])"
_PLOTTED = "#player .plot:not([data-bits='0'])"  # bits/dim are measured last
_SHARP_MS = 12_000  # for frames of full size, which come one by one


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
    editor = cli.open_editor(args)

    from playwright.sync_api import sync_playwright

    from glow_app.ui.page import build_page, launch_options

    page = build_page(editor)
    _, url, _ = page.launch(server_name="127.0.0.1", prevent_thread_lock=True, **launch_options())
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path=os.environ.get("CHROMIUM") or shutil.which("chromium"),
                args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
            )
            for name, (width, height, theme) in _VIEWS.items():
                address = f"{url}?__theme={theme}"
                file = out / f"screenshot-{name}.png"
                _picture(browser, address, (width, height), file)
                print(file)
            browser.close()
    finally:
        page.close(verbose=False)


def _picture(browser: Browser, address: str, size: tuple[int, int], file: Path) -> None:
    """Write a screenshot of the whole page in a new tab, with the slider half way."""
    width, height = size
    context = browser.new_context(
        viewport={"width": width, "height": height}, reduced_motion="reduce"
    )
    tab = context.new_page()
    tab.goto(address)
    for there in (_READY, _PLOTTED):
        tab.locator(there).wait_for(timeout=60_000)
    tab.locator("#player input[type=range]").evaluate(
        "range => { range.value = 0.5; range.dispatchEvent(new Event('input')); }"
    )
    tab.wait_for_timeout(_SHARP_MS)
    tab.screenshot(path=file, full_page=True)
    context.close()


if __name__ == "__main__":
    raise SystemExit(cli.run(main))
