"""The endpoint that reads files which were made here: /open."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from gradio import FileData

from glow_app.common.errors import UserError
from glow_app.export.recipes import read_recipe
from glow_app.ui.api.group import Group, arrived

__all__ = ["Files"]


class Files(Group):
    """What files say of themselves."""

    def endpoints(self) -> Sequence[Callable[..., Any]]:
        """The one."""
        return [self.open]

    def open(self, file: FileData) -> dict[str, Any]:
        """Read how a file made here was made: its settings and seeds, never photos.

        The key path_kind names the path.
        """
        if not file:
            raise UserError("A file is needed.")
        facts = asdict(read_recipe(arrived(file)))
        facts["path_kind"] = facts.pop("path")  # clients take an object with that key for a file
        return facts
