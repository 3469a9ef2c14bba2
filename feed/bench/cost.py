"""`feed bench measuring`: what the metrics cost a tick at each place that measures, clock reads apart."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING, Final

import msgspec
import numpy as np
from rich.box import SIMPLE_HEAD
from rich.table import Table

from feed.bench.measuring import cost

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import RenderableType

__all__ = ["LIMIT_NS", "Cost", "measure", "show"]

LIMIT_NS: Final = 30.0
"""What all of it together may cost a tick."""

PLACES: Final = {"sequencer": (1, False, False), "publisher": (1, True, False), "bot": (3, False, True)}
"""Histograms, by frame?, sampled?"""

TICKS = 5_000_000
DIFFERENCES = 1 << 16


class Cost(msgspec.Struct, frozen=True):
    """ns per tick with measuring and without it, medians, and what is left."""

    place: str
    on_ns: float
    off_ns: float

    @property
    def ns(self) -> float:
        return self.on_ns - self.off_ns


def measure(rounds: int, say: Callable[[str], object]) -> list[Cost]:
    """On and off by turns, `rounds` times each, of latencies as they are: log-normal around 13 µs."""
    late_ns = np.random.default_rng(1).lognormal(np.log(13_000), 1.0, DIFFERENCES).astype(np.int64) + 1
    found = []
    for place, (histograms, frames, sampled) in PLACES.items():
        say(f"{place}: {rounds} times {TICKS:,} ticks, measured and not")
        runs: dict[bool, list[float]] = {True: [], False: []}
        for _ in range(rounds):
            for on in (True, False):
                runs[on].append(cost(late_ns, TICKS, histograms, frames, sampled, on))
        found.append(Cost(place, median(runs[True]), median(runs[False])))
    return found


def show(costs: list[Cost]) -> RenderableType:
    table = Table("", title="what measuring costs, ns per tick", box=SIMPLE_HEAD)
    for head in ("measured", "not", "costs"):
        table.add_column(head, justify="right")
    for each in costs:
        table.add_row(each.place, f"{each.on_ns:.1f}", f"{each.off_ns:.1f}", f"{each.ns:.1f}")
    together = sum(each.ns for each in costs)
    table.add_section()
    table.add_row(
        "all of a tick's way", "", "", f"{together:.1f}", style="bold" if together <= LIMIT_NS else "bold red"
    )
    return table
