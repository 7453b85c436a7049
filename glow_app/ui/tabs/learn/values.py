"""What the Learn tab sends to the browser: dataclasses of arrays as JSON, and code as HTML."""

from __future__ import annotations

import base64
import dataclasses
import html
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TextIO

import numpy as np
from pygments import highlight
from pygments.formatter import Formatter
from pygments.lexers import PythonLexer
from pygments.token import Comment, Keyword, Operator, String
from torch import Tensor

from glow_app.lessons.source import Listing, listing

__all__ = ["code_html", "packed"]

_STYLES = ((Keyword, "k"), (Operator.Word, "k"), (String, "s"), (Comment, "c"))


def packed(value: Any) -> Any:
    """``value`` as JSON data: dataclasses as objects, arrays as ``{"f32": base64, "shape": …}``.

    float32 holds more digits than a screen has pixels, and infinities, which JSON has not.
    """
    if isinstance(value, Tensor):
        value = value.detach().cpu().numpy()
    if isinstance(value, np.ndarray):
        data = np.ascontiguousarray(value, dtype="<f4")
        return {"f32": base64.b64encode(data.tobytes()).decode("ascii"), "shape": data.shape}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: packed(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {key: packed(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [packed(item) for item in value]
    return value


def code_html(things: Sequence[Callable[..., Any]]) -> str:
    """A foldable block with the source of each of ``things``."""
    found = [listing(thing) for thing in things]
    blocks = "".join(
        f"<figure><figcaption><code>{html.escape(one.name)}</code> "
        f'<button type="button" class="link" data-path="{html.escape(one.path)}" '
        f'data-line="{one.line}" title="Show the whole file here">'
        f"{html.escape(one.path)}, line {one.line}</button></figcaption>"
        f'<pre tabindex="0" aria-label="{html.escape(one.name)}">'
        f"<code>{_coloured(one)}</code></pre>"
        "</figure>"
        for one in found
    )
    names = ", ".join(f"<code>{html.escape(one.name)}</code>" for one in found)
    return f'<details class="code"><summary>The code: {names}</summary>{blocks}</details>'


class _Colours(Formatter):
    """Keywords, strings and comments in the three colours of the page."""

    def format(self, tokensource: Iterable[tuple[Any, str]], outfile: TextIO) -> None:
        """Write the tokens as HTML, see `Formatter`."""
        for kind, text in tokensource:
            style = next((name for token, name in _STYLES if kind in token), "")
            plain = _plain(text)
            outfile.write(f'<span class="{style}">{plain}</span>' if style else plain)


def _coloured(one: Listing) -> str:
    """Source as HTML."""
    return highlight(one.text.rstrip("\n"), PythonLexer(ensurenl=False), _Colours())


def _plain(text: str) -> str:
    """Escaped for HTML, and for the JavaScript and Handlebars templates it goes through."""
    text = html.escape(text, quote=False)
    return "".join(f"&#{ord(letter)};" if letter in "{}$`\\" else letter for letter in text)
