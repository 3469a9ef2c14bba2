"""Fan-out skew: how far apart bots have the same tick, from the samples in their reports.

Bots report once a second, each at its own moment; so ticks are compared when all have had the time to report them. Who
reports later than that is missing from the comparison, and so is a bot whose clock is not known well enough.
"""

from __future__ import annotations

from statistics import median_low
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from feed.metrics.histogram import Histogram

__all__ = ["Skew"]

SETTLE_NS = 3_000_000_000
"""After the first report of a tick, ns: bots report every 1 to 2 s."""

UNCERTAINTY_NS = 1_000_000
"""A bot of another host is compared if its clock is known at least so well."""

TICKS_MAX = 4096


class Skew:
    """`spread` takes, for each tick that two bots or more have had, the time from the first to the last of them."""

    def __init__(self, spread: Histogram) -> None:
        self._spread = spread
        self._ticks: dict[tuple[int, int], tuple[int, dict[str, int]]] = {}

    def put(
        self, bot: str, epoch: int, samples: Iterable[tuple[int, int]], uncertainty_ns: int, now_ns: int
    ) -> dict[str, int]:
        """`samples` are (seq, when the bot had it on the feed's clock). Ticks that are old enough are compared now:
        gives for each of their bots how long after the first one it had them, the median, ns.
        """
        if uncertainty_ns <= UNCERTAINTY_NS:
            for seq, had_ns in samples:
                if len(self._ticks) < TICKS_MAX or (epoch, seq) in self._ticks:
                    self._ticks.setdefault((epoch, seq), (now_ns, {}))[1].setdefault(bot, had_ns)
        behind: dict[str, list[int]] = {}
        while self._ticks:
            key = next(iter(self._ticks))
            since_ns, had = self._ticks[key]
            if 0 <= now_ns - since_ns < SETTLE_NS:
                break
            del self._ticks[key]
            if len(had) > 1:
                first = min(had.values())
                self._spread.record(max(had.values()) - first)
                for name, ns in had.items():
                    behind.setdefault(name, []).append(ns - first)
        return {name: median_low(each) for name, each in behind.items()}
