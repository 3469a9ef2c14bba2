"""What was found: a row for each measurement and transport, with the bounds that it is held to."""

from __future__ import annotations

import os
from typing import Any

import msgspec

__all__ = ["APPEND_TICKS_PER_S", "JOIN_MS", "RATIO_P50", "RATIO_P99", "REPLAY_TICKS_PER_S", "Row"]

JOIN_MS = 250.0
FILL_MS = 1000.0
RATIO_P50 = 1.1
RATIO_P99 = 1.5
APPEND_TICKS_PER_S = 4e6
REPLAY_TICKS_PER_S = 4e6

Figure = float | msgspec.UnsetType


class Row(msgspec.Struct, kw_only=True):
    """One measurement. A figure that it has not is left away; those of several rounds are medians.

    `what`: its inputs in words. `ms`: how long it took. `p50_us`, `p99_us`: of the ticks of all others meanwhile, from
    ts_in to the bot; `ratio_p50`, `ratio_p99`: divided by a quiet run's, pair by pair. `ratio_ticks_per_s`: divided by
    the peer's. `lost`: ticks that did not come, or came twice. `bounds`: figure to the most (of ticks_per_s: the least)
    it may be.
    """

    bench: str = "recovery"
    measure: str
    what: str
    transport: str | msgspec.UnsetType = msgspec.UNSET
    engine: str
    peer: str | None = None
    bots: int
    rate_hz: Figure = msgspec.UNSET
    rounds: int
    ticks: int
    lost: int
    ms: Figure = msgspec.UNSET
    ticks_per_s: Figure = msgspec.UNSET
    p50_us: Figure = msgspec.UNSET
    p99_us: Figure = msgspec.UNSET
    ratio_p50: Figure = msgspec.UNSET
    ratio_p99: Figure = msgspec.UNSET
    ratio_ticks_per_s: Figure = msgspec.UNSET
    cores: int = msgspec.field(default_factory=lambda: len(os.sched_getaffinity(0)))
    bounds: dict[str, float] = msgspec.field(default_factory=dict)
    holds: bool = False
    detail: dict[str, Any] = msgspec.field(default_factory=dict)

    def __post_init__(self) -> None:
        self.holds = self.lost == 0 and all(self.within(name) for name in self.bounds)

    def within(self, figure: str) -> bool:
        """Does a figure keep to its bound? One that has none does."""
        value, bound = getattr(self, figure), self.bounds.get(figure)
        if bound is None or value is msgspec.UNSET:
            return bound is None
        return bool(value >= bound if figure == "ticks_per_s" else value <= bound)
