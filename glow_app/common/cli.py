"""Shared by all command lines: parsing, one-line errors, exit statuses, progress.

argparse rather than click or typer, whose options cannot take any number of values as in
`--temperature 0.5 0.7 0.9`. Heavy modules are imported where they are needed, so that `--help` and
wrong arguments answer at once. Import this before PyTorch, whose OpenMP reads OMP_WAIT_POLICY when
it is loaded.
"""

from __future__ import annotations

import argparse
import io
import math
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from glow_app.common.errors import is_for_people

# Waiting threads must sleep, not spin: a morph beside a busy program takes a tenth of the time.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

if TYPE_CHECKING:
    from glow_app.common.progress import Progress

T = TypeVar("T")
Number = TypeVar("Number", int, float)

OK, FAILED = 0, 2
INTERRUPTED, BROKEN_PIPE = 130, 141  # 128 + the signal's number, as shells have it


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line on stderr, with exit status 2.

    It expands a `~` at the beginning of any value, as shells do not in `--out=~/x`.
    """

    def parse_known_args(self, *args: Any, **kwargs: Any) -> Any:
        found, rest = super().parse_known_args(*args, **kwargs)
        for name, value in vars(found).items():
            setattr(found, name, _at_home(value))
        return found, rest

    def error(self, message: str) -> NoReturn:
        self.exit(FAILED, f"{self.prog}: {_one_line(message)} (--help tells more)\n")


def add_model_arguments(parser: argparse.ArgumentParser) -> None:
    """Add `--checkpoint` and `--device`."""
    parser.add_argument(
        "--checkpoint",
        metavar="P",
        help="weights to use: a file, or released ones: faces128 (the default), free128",
    )
    parser.add_argument(
        "--device",
        default="auto",
        metavar="{auto,cpu,cuda}",
        help="where to compute (default: a CUDA GPU if there is one)",
    )


def whole(low: int, high: float = math.inf) -> Callable[[str], int]:
    """Return an argparse type: a whole number from `low` to `high`, both allowed."""
    return _ranged(int, "a whole number", low, high)


def number(low: float, high: float = math.inf) -> Callable[[str], float]:
    """Return an argparse type: a finite number from `low` to `high`, both allowed."""
    return _ranged(float, "a number", low, high)


def run(main: Callable[[list[str] | None], int | None], *, argv: list[str] | None = None) -> int:
    """Run `main(argv)` and return the exit status, for `raise SystemExit(run(main))`.

    Errors for the user (`glow_app.common.errors`), OSError and MemoryError become one line on
    stderr and status 2. Anything else is a bug and keeps its traceback.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # no crash over a name the terminal cannot show
            stream.reconfigure(errors="backslashreplace")
    try:
        status = main(argv)
        sys.stdout.flush()  # so that a closed pipe shows here and not at exit
        return OK if status is None else status
    except KeyboardInterrupt:
        say("Stopped.")
        return INTERRUPTED
    except BrokenPipeError:  # `evaluate.py ... | head`: the reader has what it wanted
        _settle_stdout()
        return BROKEN_PIPE
    except Exception as error:
        if not (isinstance(error, (OSError, MemoryError)) or is_for_people(error)):
            raise
        say(f"{os.path.basename(sys.argv[0])}: {_sentence(error)}")
        _settle_stdout()
        return FAILED


def shown(iterable: Iterable[T], total: int | None = None, desc: str = "") -> Iterator[T]:
    """Yield from `iterable` and show how far it is on stderr: a bar on a terminal, elsewhere (log
    files, pipes) a line for about each tenth."""
    if sys.stderr.isatty():
        from tqdm import tqdm

        yield from tqdm(iterable, total=total, desc=desc, file=sys.stderr)
        return
    every = max(1, -(-total // 10)) if total else 100
    for done, item in enumerate(iterable, start=1):
        yield item
        if done % every == 0 or done == total:
            say(f"{desc}: {done}/{total}" if total else f"{desc}: {done}")


def reporter(desc: str) -> Progress | None:
    """Return a callback for work of some seconds that draws a bar; None without a terminal."""
    if not sys.stderr.isatty():
        return None
    from tqdm import tqdm

    bar = tqdm(desc=desc, file=sys.stderr, leave=False)

    def report(done: int, total: int) -> None:
        bar.total = total
        bar.update(done - bar.n)
        if done == total:
            bar.close()

    return report


def say(message: str) -> None:
    """Print a line on stderr, above a progress bar where there is one."""
    if sys.stderr.isatty() and "tqdm" in sys.modules:
        sys.modules["tqdm"].tqdm.write(message, file=sys.stderr)
    else:
        print(message, file=sys.stderr, flush=True)


def _at_home(value: Any) -> Any:
    if isinstance(value, list):
        return [_at_home(one) for one in value]
    if isinstance(value, str | PurePath):
        return type(value)(os.path.expanduser(value))
    return value


def _settle_stdout() -> None:
    """Discard what stdout does not take; Python would report it again at exit."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _ranged(
    kind: Callable[[str], Number], words: str, low: float, high: float
) -> Callable[[str], Number]:
    limits = f"from {low} up" if high == math.inf else f"from {low} to {high}"

    def parse(text: str) -> Number:
        with suppress(ValueError):
            value = kind(text)
            if low <= value <= high and value < math.inf:  # NaN fails every comparison
                return value
        raise argparse.ArgumentTypeError(f"must be {words} {limits}, not {text!r}")

    return parse


def _sentence(error: BaseException) -> str:
    if isinstance(error, MemoryError):
        return "There is not enough memory."
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename is not None else ""
        return _one_line(f"{where}{error.strerror}.")
    return _one_line(str(error)) or type(error).__name__


def _one_line(text: str) -> str:
    return " ".join(text.split())
