"""A bot's figures: for its own eyes, and once a second for the feed's dashboard."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bots.delivery import Delivery
    from bots.directory import ControlClient
    from bots.gap import Losses
    from feed.metrics.histogram import Histogram

__all__ = ["Reporter", "latencies"]

EVERY_NS = 1_000_000_000
BUSY_NS = 1_000_000_000
"""A report takes some 0.1 ms, so it waits for a moment without ticks, but no longer than this."""

QUANTILES: Final = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p999": 0.999}


def latencies(delivery: Delivery) -> dict[str, dict[str, float]]:
    """Quantiles in ns, count and negative count of each stage that was measured: wire, total, handler."""
    return {stage: _quantiles(each) for stage, each in _stages(delivery).items() if each.count or each.negative}


class Reporter:
    """Sends to `control` what was added since the last report that was answered."""

    def __init__(self, control: ControlClient, name: str) -> None:
        self._control = control
        self._who = {"name": name, "pid": os.getpid(), "host": socket.gethostname()}
        self._due_ns = 0
        self._sent: tuple[int, _Figures] | None = None
        self._answered: _Figures | None = None

    def due(self, now_ns: int, idle: bool) -> bool:
        """Is it time for a report? `idle`: no tick is waiting for this moment."""
        stepped_back = now_ns + 2 * EVERY_NS < self._due_ns
        return now_ns >= self._due_ns + (0 if idle else BUSY_NS) or stepped_back

    def report(
        self, now_ns: int, delivery: Delivery, losses: Losses, transport: str, lag_ns: int, lag_ticks: int | None
    ) -> None:
        """Send a report without waiting for anything."""
        self._due_ns = now_ns + EVERY_NS
        if self._sent and self._control.reported() == self._sent[0]:
            self._answered = self._sent[1]
            self._sent = None
        figures = _Figures(delivery, losses)
        bot: dict[str, Any] = {**self._who, "transport": transport, "lag_ns": lag_ns, **figures.since(self._answered)}
        if lag_ticks is not None:
            bot["lag_ticks"] = lag_ticks
        number = self._control.report(bot)
        if number is not None:
            self._sent = number, figures


class _Figures:
    """Everything that only grows, as of one moment."""

    def __init__(self, delivery: Delivery, losses: Losses) -> None:
        self.ticks = delivery.ticks
        self.gaps = dict(losses.gaps)
        self.lost = dict(losses.ticks)
        self.stages = {stage: histogram.copy() for stage, histogram in _stages(delivery).items()}

    def since(self, earlier: _Figures | None) -> dict[str, Any]:
        """What came in after `earlier`, None: ever; in the words of the control protocol."""
        if earlier is None:
            ticks, gaps, lost, stages = self.ticks, self.gaps, self.lost, self.stages
        else:
            ticks = self.ticks - earlier.ticks
            gaps, lost = _added(self.gaps, earlier.gaps), _added(self.lost, earlier.lost)
            stages = {stage: each.since(earlier.stages[stage]) for stage, each in self.stages.items()}
        latency = {stage: each.report() for stage, each in stages.items() if each.count or each.negative}
        return {"ticks": ticks, "gaps": gaps, "lost": lost, "latency": latency}


def _added(now: Mapping[str, int], earlier: Mapping[str, int]) -> dict[str, int]:
    return {cause: n - earlier.get(cause, 0) for cause, n in now.items() if n != earlier.get(cause, 0)}


def _stages(delivery: Delivery) -> dict[str, Histogram]:
    return {"wire": delivery.wire, "total": delivery.total, "handler": delivery.handler}


def _quantiles(histogram: Histogram) -> dict[str, float]:
    values = dict(zip(QUANTILES, histogram.quantiles(list(QUANTILES.values())), strict=True))
    return {**values, "max": histogram.max_ns, "count": histogram.count, "negative": histogram.negative}
