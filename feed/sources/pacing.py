"""What sources have in common that put ticks in when they are due: sleeping, the pause between passes, the rate."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from feed.clock import sleep_until_ns

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["PASS_NS", "Backoff", "Rate", "pause_ns", "sleep_full", "sleep_until_due"]

PASS_NS: Final = 1_000_000_000
"""How long a pass of a loop takes where its records do not say, ns."""

_FULL_SLEEP_NS = 20_000
_BACKOFF_NS = 30_000_000_000


def sleep_full(now_ns: int, timeout_ns: int) -> None:
    """The sink is full: sleep for a moment, at most `timeout_ns`."""
    sleep_until_ns(now_ns + min(timeout_ns, _FULL_SLEEP_NS))


def sleep_until_due(due_ns: int, now_ns: int, timeout_ns: int, *, full: bool) -> None:
    """Sleep until the next tick is due, or, with the sink `full`, for a moment; at most `timeout_ns`. Wall times."""
    if full:
        sleep_full(now_ns, timeout_ns)
    elif due_ns > now_ns:
        sleep_until_ns(min(due_ns, now_ns + timeout_ns))


def pause_ns(span_ns: int, records: int, speed: float) -> int:
    """From the last record of a pass to the first of the next: as much as lies between two records on average."""
    if math.isinf(speed):
        return 0
    each = span_ns / (records - 1) if span_ns > 0 and records > 1 else PASS_NS
    return int(each / speed)


class Rate:
    """Records per second between two looks."""

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock
        self._shown = (clock(), 0)

    def look(self, done: int) -> float:
        """`done` are in by now; gives the rate since the last look, or since the beginning."""
        now, (then, before) = self._clock(), self._shown
        self._shown = (now, done)
        return (done - before) * 1e9 / max(1, now - then)


class Backoff:
    """How long to wait before the next attempt: twice as long after each that failed, up to 30 s, and of that between
    half and all, by `chance` (0 to 1), so that many who were cut off at once do not come back at once."""

    def __init__(self, first_ns: int, chance: Callable[[], float]) -> None:
        self._first_ns = first_ns
        self._chance = chance
        self._next_ns = first_ns

    def failed(self, *, hopeless: bool = False) -> int:
        """ns until the next attempt; `hopeless`: nothing will be better soon."""
        longest = _BACKOFF_NS if hopeless else self._next_ns
        self._next_ns = min(2 * longest, _BACKOFF_NS)
        return int(longest * (0.5 + 0.5 * self._chance()))

    def succeeded(self) -> None:
        self._next_ns = self._first_ns
