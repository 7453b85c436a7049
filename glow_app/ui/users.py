"""Users of a shared page: a file of names and passwords.

A line of the file is ``name:password``, or better ``name:scrypt$…`` as :func:`line_for` makes it,
which does not tell the password. Empty lines and lines that begin with # are skipped.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import secrets
import stat
from collections.abc import Mapping
from pathlib import Path

from glow_app.common.errors import UserError

MARK = "scrypt$"

# 16 MiB and some 50 ms a guess, as OWASP has it for scrypt where memory is dear.
_COST = {"n": 2**14, "r": 8, "p": 1}
_SALT = 16  # bytes
_DIGEST = 32  # bytes
_MAX_FILE = 64_000  # bytes
_MAX_USERS = 100  # each plain password is hashed while the file is read


class Users:
    """Names and salted hashes of passwords; the passwords themselves are not kept."""

    def __init__(self, stored: Mapping[str, tuple[bytes, bytes]]) -> None:
        """
        Args:
            stored: (salt, digest) of each name, see :func:`read_users`.
        """
        self._stored = dict(stored)
        self._nobody = _fresh(secrets.token_hex())

    def __len__(self) -> int:
        return len(self._stored)

    def know(self, name: str, password: str) -> bool:
        """Return whether this is the password of ``name``, as slowly for an unknown name."""
        salt, digest = self._stored.get(name, self._nobody)
        return hmac.compare_digest(_digest(password, salt), digest) and name in self._stored


def line_for(name: str, password: str) -> str:
    """Return the line of the file for a new user, with a fresh salt.

    Raises:
        UserError: the name cannot stand in such a file, or the password is empty.
    """
    if not password:
        raise UserError("A password is needed.")
    if not _sound(name):
        raise UserError("A name needs printable characters, no colon, and no # at its beginning.")
    salt, digest = (base64.b64encode(part).decode() for part in _fresh(password))
    return f"{name}:{MARK}{salt}${digest}"


def read_users(path: str | Path) -> Users:
    """Read a file of users.

    Raises:
        UserError: it is missing, others can read it, it names no user, or a line is malformed; one
            sentence.
    """
    path = Path(path)
    try:
        if not path.is_file():
            raise UserError(f"There is no file {path}.")
        with open(path, "rb") as file:
            _check_private(os.fstat(file.fileno()), path)
            text = file.read(_MAX_FILE + 1).decode("utf-8-sig")
    except OSError as error:
        raise UserError(f"Cannot read {path}: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not a text file of users.") from error
    if len(text) > _MAX_FILE:
        raise UserError(f"{path} is too large to be a file of users.")
    stored: dict[str, tuple[bytes, bytes]] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        name, colon, secret = line.partition(":")
        if not colon or not secret or not _sound(name):
            raise UserError(f"Line {number} of {path} is not name:password.")
        if name in stored:
            raise UserError(f"Line {number} of {path} names {name} for the second time.")
        if len(stored) == _MAX_USERS:
            raise UserError(f"{path} has more than {_MAX_USERS} users.")
        try:
            stored[name] = _kept(secret)
        except ValueError as error:
            raise UserError(f"Line {number} of {path} has a damaged hash.") from error
    if not stored:
        raise UserError(f"{path} names no user: a line is name:password.")
    return Users(stored)


def _check_private(facts: os.stat_result, path: Path) -> None:
    if os.name == "posix" and stat.S_IMODE(facts.st_mode) & 0o077:
        raise UserError(f"Others can read {path}, which holds passwords: chmod 600 {path}")


def _sound(name: str) -> bool:
    clean = name.isprintable() and name == name.strip() and ":" not in name
    return clean and name != "" and not name.startswith("#")


def _kept(secret: str) -> tuple[bytes, bytes]:
    """Return salt and digest of what follows the colon; ValueError for a damaged hash."""
    if not secret.startswith(MARK):
        return _fresh(secret)
    salt, digest = (
        base64.b64decode(part, validate=True) for part in secret[len(MARK) :].strip().split("$")
    )
    if len(salt) != _SALT or len(digest) != _DIGEST:
        raise ValueError("not such a hash")
    return salt, digest


def _fresh(password: str) -> tuple[bytes, bytes]:
    salt = secrets.token_bytes(_SALT)
    return salt, _digest(password, salt)


def _digest(password: str, salt: bytes) -> bytes:
    return hashlib.scrypt(password.encode(), salt=salt, dklen=_DIGEST, **_COST)
