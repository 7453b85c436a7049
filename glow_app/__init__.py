"""The application: pictures, editing, training and the page, on top of the flow in models/."""

__version__ = "0.1.0"  # the one place: pyproject.toml reads it from here
