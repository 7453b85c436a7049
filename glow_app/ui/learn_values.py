"""What the Learn tab sends to the browser: dataclasses of arrays as JSON, and code as HTML."""

from __future__ import annotations

import base64
import dataclasses
import html
import io
import keyword
import token
import tokenize
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from glow_app.lessons.source import Listing, listing

__all__ = ["code_html", "packed"]


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


def _coloured(one: Listing) -> str:
    """Source as HTML: keywords, strings and comments in their own colours."""
    lines = one.text.rstrip("\n").splitlines(keepends=True)
    parts: list[str] = []
    row, column = 1, 0

    def copy_to(end: tuple[int, int], style: str = "") -> None:
        nonlocal row, column
        text = ""
        while row < end[0]:
            text += lines[row - 1][column:]
            row, column = row + 1, 0
        if row <= len(lines):
            text += lines[row - 1][column : end[1]]
            column = end[1]
        parts.append(f'<span class="{style}">{_plain(text)}</span>' if style else _plain(text))

    for piece in tokenize.generate_tokens(io.StringIO(one.text).readline):
        style = _style(piece)
        if style:
            copy_to(piece.start)
            copy_to(piece.end, style)
    copy_to((len(lines) + 1, 0))
    return "".join(parts)


def _style(piece: tokenize.TokenInfo) -> str:
    if piece.type == token.COMMENT:
        return "c"
    if piece.type == token.STRING:
        return "s"
    return "k" if piece.type == token.NAME and keyword.iskeyword(piece.string) else ""


def _plain(text: str) -> str:
    """Escaped for HTML, and for the JavaScript and Handlebars templates it goes through."""
    text = html.escape(text, quote=False)
    return "".join(f"&#{ord(letter)};" if letter in "{}$`\\" else letter for letter in text)
