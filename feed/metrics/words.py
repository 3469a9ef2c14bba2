"""Figures for people at a terminal: durations with their unit, and lines of bars that show how a figure went."""

from __future__ import annotations

import math
from collections import defaultdict, deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

__all__ = ["Trends", "duration", "sparkline"]

BARS = "▁▂▃▄▅▆▇█"
LOOKS = 40


def duration(ns: float | None) -> str:
    """Nanoseconds: three figures and a unit, "-" for None."""
    if ns is None:
        return "-"
    for unit, size in (("s", 1e9), ("ms", 1e6), ("µs", 1e3)):
        if abs(ns) >= size * 0.9995:
            value = ns / size
            return f"{value:.3g} {unit}" if abs(value) < 999.5 else f"{value:,.0f} {unit}"
    return f"{ns:.3g} ns"


def sparkline(values: Sequence[float | None]) -> str:
    """A bar for each value, the lowest for the smallest of them; a space for None.

    Logarithmic: what doubles looks the same from wherever it starts. All alike are low bars.
    """
    known = [math.log(max(value, 1.0)) for value in values if value is not None]
    if not known:
        return " " * len(values)
    low = min(known)
    span = max(max(known) - low, math.log(2))
    steps = len(BARS) - 1
    return "".join(
        " " if value is None else BARS[round((math.log(max(value, 1.0)) - low) / span * steps)] for value in values
    )


class Trends:
    """The last 40 values of each figure on a screen that is drawn again and again."""

    def __init__(self) -> None:
        self._values: dict[Hashable, deque[float | None]] = defaultdict(lambda: deque(maxlen=LOOKS))

    def line(self, figure: Hashable, value: float | None) -> str:
        """Put a figure's present value to the earlier ones; gives all as a sparkline."""
        self._values[figure].append(value)
        return sparkline(self._values[figure])
