#!/usr/bin/env python3
"""Add a user to a file for ``app.py --auth``, or change a password: it is asked for twice."""

from __future__ import annotations

import functools
import getpass
import os
import sys
from pathlib import Path

import _project  # noqa: F401

from glow_app.common import cli
from glow_app.common.errors import UserError
from glow_app.common.files import check_writable, replacing
from glow_app.ui.security import line_for, read_users


def main(argv: list[str] | None = None) -> None:
    """Ask for the password and write the file, which only its owner can read."""
    parser = cli.Parser(prog="add_user.py", description=__doc__)
    parser.add_argument("file", metavar="FILE", help="the file of users, made if there is none")
    parser.add_argument("name", metavar="NAME", help="of the user")
    options = parser.parse_args(argv)
    path = Path(options.file)
    lines = []
    if path.exists():
        read_users(path)  # refuses a file that app.py would refuse
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    check_writable(path.absolute().parent)  # before anything is asked
    password = _asked("Password: ")
    if _asked("Again: ") != password:
        raise UserError("The two passwords differ.")
    line = line_for(options.name, password)
    kept = [one for one in lines if not one.startswith(f"{options.name}:")]
    with replacing(path) as temporary:
        private = functools.partial(os.open, mode=0o600)
        with open(temporary, "x", encoding="utf-8", opener=private) as file:
            file.writelines(f"{one}\n" for one in [*kept, line])
    print(f"{options.name} may use a page that is opened with --auth {path}")


def _asked(prompt: str) -> str:
    """Return what is typed, unseen, or a line of what is piped in."""
    return getpass.getpass(prompt) if sys.stdin.isatty() else sys.stdin.readline().rstrip("\n")


if __name__ == "__main__":
    raise SystemExit(cli.run(main))
