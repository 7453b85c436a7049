"""Files that come from and go to visitors, all in one private folder that is emptied in time."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from gradio import Error, processing_utils
from gradio.utils import get_upload_folder

from glow_app.common.errors import UserError

__all__ = ["DELETE_CACHE", "fetch_nothing", "outgoing", "private_folder", "uploaded_file"]

# Every ten minutes what is older than fifty goes: nothing stays for more than an hour.
DELETE_CACHE = (600, 3000)


def private_folder() -> Path:
    """Give Gradio a folder that only this process uses and that disappears with it.

    A ``GRADIO_TEMP_DIR`` that is already set is respected.
    """
    if "GRADIO_TEMP_DIR" not in os.environ:
        folder = tempfile.mkdtemp(prefix="glow-studio-")
        os.environ["GRADIO_TEMP_DIR"] = folder
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(os.environ["GRADIO_TEMP_DIR"])


def fetch_nothing() -> None:
    """Keep Gradio from fetching an address that a client gives where a file is wanted."""

    async def refuse(url: str, cache_dir: str) -> str:
        raise Error("Files have to be uploaded: this page fetches nothing.", print_exception=False)

    processing_utils.async_ssrf_protected_download = refuse  # Gradio has no switch for it


def uploaded_file(path: Any) -> Path:
    """The uploaded file that a browser's event names.

    The path comes from outside, so only files inside the upload folder are accepted: otherwise
    anyone could look at any picture on this machine.
    """
    if not isinstance(path, str) or "\0" in path:
        raise UserError("The upload did not arrive: please try again.")
    file = Path(path).resolve()
    if not file.is_relative_to(Path(get_upload_folder()).resolve()) or not file.is_file():
        raise UserError("The upload did not arrive or has expired: please try again.")
    return file


def outgoing(name: str) -> Path:
    """Where to write a download called ``name``; Gradio serves it and deletes it in time."""
    folder = Path(get_upload_folder())
    folder.mkdir(parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(dir=folder)) / name
