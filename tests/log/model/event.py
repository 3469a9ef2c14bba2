"""The events of an execution, and sets of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from .program import Fence, Op, Value

INITIAL = -1
"""The thread of the stores that gave memory its first values; they happen before everything."""


class Event(NamedTuple):
    """One event of an execution, which numbers its events in the order of building."""

    thread: int
    op: Op
    read: Value = None
    wrote: Value = None
    source: int = -1  # the write that it reads; -1 where it reads nothing
    before: int = 0  # all that happens before it
    gives: int = 0  # of a write: what then happens before an acquiring reader

    @property
    def word(self) -> str | None:
        return None if isinstance(self.op, Fence) else self.op.at


def bits(events: int) -> Iterator[int]:
    """The members of a set, which is an integer with their bits set."""
    while events:
        lowest = events & -events
        yield lowest.bit_length() - 1
        events ^= lowest


def mask(events: Iterable[int]) -> int:
    """The set of these events."""
    total = 0
    for e in events:
        total |= 1 << e
    return total
