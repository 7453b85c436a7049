"""The error whose message is shown to the user."""

from __future__ import annotations


class UserError(ValueError):
    """Something that the user can correct, described in one sentence.

    Command lines print the message and exit with status 2; the page and the API show it. Any other
    exception is a bug and keeps its traceback.
    """


def is_for_people(error: BaseException) -> bool:
    """Return whether the message of ``error`` was written for the user: of a :class:`UserError`,
    or of a :class:`models.CheckpointError`, as `models` does not import this package."""
    if isinstance(error, UserError):
        return True
    from models import CheckpointError  # not at the top: it takes PyTorch, seconds

    return isinstance(error, CheckpointError)
