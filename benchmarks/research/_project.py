"""Import this before anything of the project: it makes a script run from any folder.

Puts the project on the import path, and imports ``cli`` first, which sets what OpenMP reads once,
when PyTorch is loaded.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import glow_app.common.cli
