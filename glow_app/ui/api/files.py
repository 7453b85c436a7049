"""The endpoint that reads files which were made here: /open."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import gradio as gr

from glow_app.common.errors import UserError
from glow_app.keeping.recipes import read_morph
from glow_app.ui.api.group import Group, endpoint, file

__all__ = ["Files"]


class Files(Group):
    """What files say of themselves."""

    def build(self) -> None:
        """Add the endpoint."""
        endpoint(self.open, [file("file")], gr.JSON(label="settings"))

    def open(self, file: str | None) -> dict[str, Any]:
        """Read how a file made here was made: its settings and seeds, never photos.

        The key path_kind names the path.
        """
        if not file:
            raise UserError("A file is needed.")
        facts = asdict(read_morph(file))
        facts["path_kind"] = facts.pop("path")  # clients take an object with that key for a file
        return facts
