"""Measurements of the program: speed and memory, morphs, edits, faults made on purpose.

They are run in the project's folder.
"""

import glow_app.common.cli  # noqa: F401 - before PyTorch is loaded, see there
