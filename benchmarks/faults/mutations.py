"""Sound files gone wrong, as a strategy of Hypothesis: what fails is made as small as it gets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from hypothesis import HealthCheck, Phase, Verbosity, given, seed, settings
from hypothesis import strategies as st

__all__ = ["each_mutation", "mutated"]

_MOST = 4  # mutations of one file
_LONG = 200  # bytes, or times, at once
_NUMBERS: Final = (b"\0", b"\x01", b"\x80", b"\xff", b"\0" * 4, b"\x7f\xff\xff\xff", b"\xff" * 4)


def each_mutation(
    sound: bytes,
    others: Sequence[bytes],
    count: int,
    start: int,
    check: Callable[[bytes], None],
) -> None:
    """Call ``check`` with ``count`` files that follow from the seed ``start``.

    Raises:
        whatever ``check`` raised, for the smallest file for which it does; then that was the last
        one that it was called with.
    """
    quiet = settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
        verbosity=Verbosity.quiet,
        print_blob=False,
    )

    @seed(start)
    @quiet
    @given(mutated(sound, others))
    def each(data: bytes) -> None:
        check(data)

    each()


@st.composite
def mutated(draw: st.DrawFn, sound: bytes, others: Sequence[bytes]) -> bytes:
    """``sound`` after one to four mutations, which may take pieces of ``others``."""
    data = sound
    for _ in range(draw(st.integers(1, _MOST))):
        if len(data) > 2:
            data = _mutation(draw, data, others)
    return data


def _mutation(draw: st.DrawFn, data: bytes, others: Sequence[bytes]) -> bytes:
    """One way to go wrong; most of them near the head, where the structure is."""
    ends = {min(end, len(data) - 1) for end in (64, 1024, len(data))}
    a = draw(st.one_of(*(st.integers(1, end) for end in sorted(ends))))
    b = min(len(data), a + draw(st.integers(1, _LONG)))
    match draw(st.sampled_from(_WAYS)):
        case "flip":
            flipped = data[a] ^ 1 << draw(st.integers(0, 7))
            return data[:a] + bytes([flipped]) + data[a + 1 :]
        case "cut":
            return data[:a]
        case "remove":
            return data[:a] + data[b:]
        case "repeat":
            return data[:b] + data[a:b] * draw(st.integers(1, _LONG)) + data[b:]
        case "number":
            number = draw(st.sampled_from(_NUMBERS))
            return data[:a] + number + data[a + len(number) :]
        case "rubbish":
            return data[:a] + draw(st.binary(min_size=b - a, max_size=b - a)) + data[b:]
        case "piece":
            return data[:a] + draw(st.sampled_from(others))[a:b] + data[b:]
        case _:
            return data[:a] + draw(st.sampled_from(others))[a:]


_WAYS = ("flip", "cut", "remove", "number", "repeat", "rubbish", "piece", "splice")
