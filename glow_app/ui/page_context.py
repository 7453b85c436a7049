"""What all tabs of one page share."""

from __future__ import annotations

from dataclasses import dataclass

import gradio as gr

from glow_app.editing.editor import Editor
from glow_app.ui.full_frames import FullFrames
from glow_app.ui.jobs import Jobs
from glow_app.ui.pair import FaceHolder, Pair
from glow_app.ui.scenes import Scenes
from glow_app.ui.welcome import Welcome

__all__ = ["PageContext"]


@dataclass(frozen=True)
class PageContext:
    """What all tabs of one page share; the page's context must be open.

    Attributes:
        editor: the model.
        welcome: the faces that greet a visitor.
        jobs: long work under way.
        scenes: pictures that follow their sliders.
        full_frames: frames that players ask for at full size.
        pair: photo A and photo B.
        edited: the face on the edit tab.
        downloads: saves the file that it is given.
    """

    editor: Editor
    welcome: Welcome
    jobs: Jobs
    scenes: Scenes
    full_frames: FullFrames
    pair: Pair
    edited: FaceHolder
    downloads: gr.HTML
