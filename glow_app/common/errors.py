"""The one error that is meant for people, wherever it comes from."""

from __future__ import annotations

__all__ = ["UserError", "is_for_people"]


class UserError(ValueError):
    """Something the user can mend; the message is one sentence for them.

    Command lines print it with exit status 2, the page and the API show it. Any other exception
    is a bug of ours and keeps its traceback.
    """


def is_for_people(error: BaseException) -> bool:
    """Whether the message of ``error`` was written for the user.

    Besides :class:`UserError` that is :class:`models.CheckpointError`, which `models` has to
    raise without knowing of this package.
    """
    if isinstance(error, UserError):
        return True
    from models import CheckpointError  # not at the top: it takes PyTorch, seconds

    return isinstance(error, CheckpointError)
