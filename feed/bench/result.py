"""What a benchmark found: one object per measurement, as JSON and as numbers to compare.

Quantiles are exact, over every tick that counts (the warm-up does not). A run in which ticks only queued up has none:
it would show the length of the queue. Several runs of one measurement are summed up by the median of each figure.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from feed.bench.plan import Options

__all__ = ["QUANTILES", "Figures", "Result", "latency_us", "result", "saturated", "skew_us"]

QUANTILES = {"p50_us": 0.5, "p90_us": 0.9, "p99_us": 0.99, "p999_us": 0.999, "max_us": 1.0}


class Result(msgspec.Struct, kw_only=True):
    """One measurement, ours (`peer` None) or a peer's. Microseconds from the sender's stamp to the bot; None: unknown.

    `ratio_*` (only with a peer): ours divided by the peer's, median of alternating runs. `ticks_per_s`: of all bots.
    """

    bench: str
    transport: str
    engine: str
    peer: str | None
    bots: int
    rate_hz: float
    payload_bytes: int
    ticks: int
    lost: int
    p50_us: float | None
    p90_us: float | None
    p99_us: float | None
    p999_us: float | None
    max_us: float | None
    ticks_per_s: float
    skew_p50_us: float | None
    cores: int
    ratio_p50: float | msgspec.UnsetType | None = msgspec.UNSET
    ratio_p99: float | msgspec.UnsetType | None = msgspec.UNSET
    ratio_ticks_per_s: float | msgspec.UnsetType | None = msgspec.UNSET
    detail: dict[str, Any] = msgspec.field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Figures:
    """One run. `latency_us` is empty when it was not timed or was saturated."""

    ticks: int
    lost: int
    ticks_per_s: float
    latency_us: dict[str, float] = field(default_factory=dict)
    skew_us: float | None = None
    detail: dict[str, Any] = field(default_factory=dict)


def latency_us(late_ns: NDArray[np.uint64]) -> dict[str, float]:
    """Exact quantiles in microseconds; {} of nothing."""
    n = len(late_ns)
    if not n:
        return {}
    ordered = np.sort(late_ns)
    return {name: float(ordered[min(n - 1, int(n * q))]) / 1e3 for name, q in QUANTILES.items()}


def saturated(late_ns: NDArray[np.uint64], run_ns: float) -> bool:
    """Did ticks only queue up? Then the last tenth waited a fair part of the run."""
    last = late_ns[-max(1, len(late_ns) // 10) :]
    return len(last) > 0 and float(np.median(last)) > 0.02 * run_ns


def skew_us(stamps: Sequence[NDArray[np.uint64]], late_ns: Sequence[NDArray[np.uint64]]) -> float | None:
    """Median time from the first bot to the last for a tick, over the ticks that all of them have; None for one bot."""
    if len(stamps) < 2:
        return None
    common = stamps[0]
    for each in stamps[1:]:
        common = np.intersect1d(common, each)
    if not len(common):
        return None
    arrivals = []
    for stamp, late in zip(stamps, late_ns, strict=True):
        order = np.argsort(stamp, kind="stable")
        arrivals.append(late[order][np.searchsorted(stamp, common, sorter=order)])
    first, last = np.min(arrivals, axis=0), np.max(arrivals, axis=0)
    return float(np.median(last - first)) / 1e3


def result(
    options: Options, runs: Sequence[Figures], *, peer: str | None = None, transport: str = "", bots: int = 0
) -> Result:
    """Sum up runs of one measurement; ticks and losses are those of all of them."""
    transport = transport or str(options.transport)

    def middle(name: str) -> float | None:
        values = [run.latency_us[name] for run in runs if name in run.latency_us]
        return round(median(values), 3) if len(values) == len(runs) else None

    skews = [run.skew_us for run in runs if run.skew_us is not None]
    return Result(
        bench=options.bench,
        transport=transport,
        engine={"shm": "log", "mixed": "log+libzmq", "mold": "udp"}.get(transport, "libzmq"),
        peer=peer,
        bots=bots or options.bots or 1,
        rate_hz=options.rate or 0.0,
        payload_bytes=80,
        ticks=sum(run.ticks for run in runs),
        lost=sum(run.lost for run in runs),
        **{name: middle(name) for name in QUANTILES},
        ticks_per_s=round(median(run.ticks_per_s for run in runs), 1),
        skew_p50_us=round(median(skews), 3) if skews else None,
        cores=len(os.sched_getaffinity(0)),
        detail={
            **runs[-1].detail,
            "saturated": any(run.detail.get("saturated") for run in runs),
            "runs": len(runs),
        },
    )
