"""A bot's figures: for its own eyes, and once a second for the feed's dashboard."""

from __future__ import annotations

import os
import socket
from resource import RUSAGE_SELF, getrusage
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from feed.metrics.garbage import GarbagePauses

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bots.delivery import Delivery
    from bots.directory import ControlClient
    from bots.gap import Losses
    from bots.offset import Offset
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

    def __init__(self, control: ControlClient, name: str, metrics: str = "") -> None:
        self._control = control
        self._who = {"name": name, "pid": os.getpid(), "host": socket.gethostname(), "metrics": metrics}
        self._garbage = GarbagePauses()
        self._due_ns = 0
        self._sent: tuple[int, _Figures] | None = None
        self._answered: _Figures | None = None

    def close(self) -> None:
        self._garbage.close()

    def due(self, now_ns: int, idle: bool) -> bool:
        """Is it time for a report? `idle`: no tick is waiting for this moment."""
        stepped_back = now_ns + 2 * EVERY_NS < self._due_ns
        return now_ns >= self._due_ns + (0 if idle else BUSY_NS) or stepped_back

    def report(
        self,
        now_ns: int,
        delivery: Delivery,
        losses: Losses,
        transport: str,
        lag_ns: int,
        lag_ticks: int | None,
        clock: Offset | None,
        lines: Mapping[str, int] = MappingProxyType({}),
    ) -> None:
        """Send a report without waiting for anything. `clock`: this host's against the feed's, where that is known;
        `lines`: ticks of lines of multicast, see Link.line_ticks().
        """
        self._due_ns = now_ns + EVERY_NS
        if self._sent and self._control.reported() == self._sent[0]:
            self._answered = self._sent[1]
            self._sent = None
        figures = _Figures(delivery, losses, self._garbage.total_ns, lines)
        bot: dict[str, Any] = {
            **self._who,
            "transport": transport,
            "epoch": delivery.epoch,
            "lag_ns": lag_ns,
            **figures.since(self._answered),
        }
        if lag_ticks is not None:
            bot["lag_ticks"] = lag_ticks
        if clock is not None:
            bot["offset_ns"], bot["uncertainty_ns"] = clock
            bot["samples"] = delivery.samples.take()
        number = self._control.report(bot)
        if number is not None:
            self._sent = number, figures


class _Figures:
    """Everything that only grows, as of one moment."""

    def __init__(self, delivery: Delivery, losses: Losses, garbage_ns: int, lines: Mapping[str, int]) -> None:
        usage = getrusage(RUSAGE_SELF)
        self.ticks = delivery.ticks
        self.filled = delivery.recovery.filled
        self.gaps = dict(losses.gaps)
        self.lost = dict(losses.ticks)
        self.lines = dict(lines)
        self.pauses = {"gc": garbage_ns, "gil": delivery.gil_ns}
        self.switches = {"voluntary": usage.ru_nvcsw, "involuntary": usage.ru_nivcsw}
        self.faults = {"major": usage.ru_majflt, "minor": usage.ru_minflt}
        self.stages = {stage: histogram.copy() for stage, histogram in _stages(delivery).items()}

    def since(self, earlier: _Figures | None) -> dict[str, Any]:
        """What came in after `earlier`, None: ever; in the words of the control protocol."""
        by_kind = {kind: getattr(self, kind) for kind in ("gaps", "lost", "lines", "pauses", "switches", "faults")}
        ticks, filled, stages = self.ticks, self.filled, self.stages
        if earlier is not None:
            ticks, filled = ticks - earlier.ticks, filled - earlier.filled
            by_kind = {kind: _added(now, getattr(earlier, kind)) for kind, now in by_kind.items()}
            stages = {stage: each.since(earlier.stages[stage]) for stage, each in self.stages.items()}
        latency = {stage: each.report() for stage, each in stages.items() if each.count or each.negative}
        return {"ticks": ticks, "filled": filled, **by_kind, "latency": latency}


def _added(now: Mapping[str, int], earlier: Mapping[str, int]) -> dict[str, int]:
    return {cause: n - earlier.get(cause, 0) for cause, n in now.items() if n > earlier.get(cause, 0)}


def _stages(delivery: Delivery) -> dict[str, Histogram]:
    return {"wire": delivery.wire, "total": delivery.total, "handler": delivery.handler}


def _quantiles(histogram: Histogram) -> dict[str, float]:
    values = dict(zip(QUANTILES, histogram.quantiles(list(QUANTILES.values())), strict=True))
    return {**values, "max": histogram.max_ns, "count": histogram.count, "negative": histogram.negative}
