"""What `feed stat` shows, read straight from shared memory: it works without the daemon's help, and on a dead one.

A snapshot is a plain dict, fit for JSON; the dict keys of the nested parts are listed in `snapshot`. Two of them give
rates and the quantiles of what lies between: `change`. `render` draws them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from feed.clock import now_ns
from feed.errors import LogMissing
from feed.log.observer import log_figures
from feed.metrics.counters import Counters
from feed.metrics.histogram import Histogram
from feed.metrics.table import STAGES
from feed.monitor import figures
from feed.monitor.health import agents
from feed.monitor.screen import screen

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from rich.console import RenderableType

    from feed.metrics.counters import Row
    from feed.metrics.words import Trends

__all__ = ["QUANTILES", "change", "render", "snapshot"]

QUANTILES = {"p50_ns": 0.5, "p90_ns": 0.9, "p99_ns": 0.99, "p999_ns": 0.999}


def snapshot(directory: Path, before: dict[str, Any] | None = None) -> dict[str, Any]:
    """The feed in `directory` now. LogMissing: there are neither counters nor a log.

    =============== ===================================================================================================
    feed, directory its name and where its files are
    taken_ns        when this was taken, wall ns
    log             null, or state (open closed replaced), writer_pid, writer_alive, epoch, next_seq, tail (bytes since
                    the epoch began), tail_ns (last commit), alive_ns (the sequencer's last sign of life),
                    log_bytes, topics
    agents          list of agent, state (up starting stuck down), pid, restarts, heartbeat_age_ns
    sources         {source: {"ticks": {schema: n}, "rejected": {reason: n}, "flagged": {rule: n},
                    "resyncs": {cause: n}, "connections": n, or null where it has none}}
    publishers      {publisher: {"sent": n, "dropped": {cause: n}}}
    targets_ns      {quantile as "0.5": ns}, of stage total
    latency         list of stage, transport, count, sum_ns, p50_ns p90_ns p99_ns p999_ns max_ns (null when empty),
                    negative, and buckets ([[index, count], ...] of feed.metrics.histogram, to subtract another's)
    readers         list of name, pid, lag_bytes, parked, gating (no yes evicted)
    bots            list of bot, ticks, filled, gaps {cause: n}, lost {cause: n}, pauses {cause: ns}, lag_ns,
                    report_age_ns, skew_ns (behind the first bot), clock_offset_ns, clock_uncertainty_ns, each null
                    where not known; latency (list as above, without stage and buckets)
    skew            from the first bot to the last that has the same tick: as in latency, without stage, transport and
                    buckets; null before any two bots could be compared
    refused         series that found no room in the counters file
    change          null, or what `change` says since `before`
    =============== ===================================================================================================
    """
    log = log_figures(directory)
    try:
        counters = Counters.open(directory, writable=False)
    except LogMissing:
        if log is None:
            raise
        rows, refused = [], 0
    else:
        rows, refused = list(counters.rows()), counters.refused
        counters.close()
    now = now_ns()
    taken = {
        "feed": directory.name,
        "directory": str(directory),
        "taken_ns": now,
        "log": figures.log(log),
        "agents": agents(rows, now),
        "sources": figures.sources(rows),
        "publishers": figures.publishers(rows),
        "targets_ns": figures.targets_ns(rows),
        "latency": _latency(rows),
        "readers": [reader._asdict() for reader in log.readers] if log is not None else [],
        "bots": _bots(rows, now),
        "skew": _skew(rows),
        "refused": refused,
        "change": None,
    }
    if before is not None:
        taken["change"] = change(before, taken)
    return taken


def change(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """What happened from one snapshot to the next.

    ============ ======================================================================================================
    seconds      between the two
    ticks_per_s  committed to the log; null if there was no log, or a new epoch began
    horizon_ns   how long the log holds a tick at this rate; null if nothing was written
    sources      {source: ticks per s}
    publishers   {publisher: sent per s}
    bots         {bot: ticks per s}
    latency      as in `snapshot` and in its order, but of this interval only, and without buckets
    ============ ======================================================================================================
    """
    elapsed_ns: int = max(1, after["taken_ns"] - before["taken_ns"])
    was, now = before["log"], after["log"]
    same = was is not None and now is not None and was["epoch"] == now["epoch"]
    written = now["tail"] - was["tail"] if same else 0

    def per_s(new: int, old: int) -> float:
        return max(0.0, (new - old) * 1e9 / elapsed_ns)

    def ticks(sources: dict[str, Any], name: str) -> int:
        return sum(sources.get(name, {}).get("ticks", {}).values())

    sent = {name: one["sent"] for name, one in before["publishers"].items()}
    received = {one["bot"]: one["ticks"] for one in before["bots"]}
    return {
        "seconds": elapsed_ns / 1e9,
        "ticks_per_s": per_s(now["next_seq"], was["next_seq"]) if same else None,
        "horizon_ns": round(now["log_bytes"] * elapsed_ns / written) if written > 0 else None,
        "sources": {
            name: per_s(ticks(after["sources"], name), ticks(before["sources"], name)) for name in after["sources"]
        },
        "publishers": {name: per_s(one["sent"], sent.get(name, 0)) for name, one in after["publishers"].items()},
        "bots": {one["bot"]: per_s(one["ticks"], received.get(one["bot"], 0)) for one in after["bots"]},
        "latency": _latency_between(before["latency"], after["latency"]),
    }


def render(before: dict[str, Any] | None, after: dict[str, Any], trends: Trends | None = None) -> RenderableType:
    """A screenful of `after`, with rates and quantiles since `before` (without it: quantiles since the feed began).

    `trends` are those of the pictures before, for a screen that is drawn again and again.
    """
    return screen(after, change(before, after) if before is not None else None, trends)


def _latency(rows: Iterable[Row]) -> list[dict[str, Any]]:
    order = list(STAGES)
    listed = []
    for row in rows:
        if row.name == "tickcast_latency_seconds":
            assert row.histogram is not None
            listed.append({**row.labels, **_figures(row.histogram), "buckets": row.histogram.report()["counts"]})
    listed.sort(key=lambda one: (order.index(one["stage"]) if one["stage"] in order else len(order), one["transport"]))
    return listed


def _figures(histogram: Histogram) -> dict[str, Any]:
    count = histogram.count
    values = histogram.quantiles(list(QUANTILES.values())) if count else [None] * len(QUANTILES)
    return {
        "count": count,
        "sum_ns": histogram.sum_ns,
        **dict(zip(QUANTILES, values, strict=True)),
        "max_ns": histogram.max_ns if count else None,
        "negative": histogram.negative,
    }


def _latency_between(before: list[dict[str, Any]], after: list[dict[str, Any]]) -> list[dict[str, Any]]:
    was = {(one["stage"], one["transport"]): one for one in before}
    listed = []
    for one in after:
        earlier = was.get((one["stage"], one["transport"]))
        interval = _histogram(one)
        if earlier is not None:
            interval = interval.since(_histogram(earlier))
        listed.append({"stage": one["stage"], "transport": one["transport"], **_figures(interval)})
    return listed


def _histogram(one: dict[str, Any]) -> Histogram:
    histogram = Histogram()
    histogram.merge_report(
        {
            "counts": one["buckets"],
            "sum_ns": one["sum_ns"],
            "max_ns": one["max_ns"] or 0,
            "negative": one["negative"],
        }
    )
    return histogram


def _bots(rows: Iterable[Row], now: int) -> list[dict[str, Any]]:
    rows = list(rows)
    found = figures.bots(rows, now)
    for bot in found.values():
        del bot["transports"]
        bot["latency"] = []
    for row in rows:
        if row.name == "tickcast_bot_latency_seconds":
            assert row.histogram is not None
            of = {"transport": row.labels["transport"], **_figures(row.histogram)}
            found[row.labels["bot"]]["latency"].append(of)
    return list(found.values())


def _skew(rows: Iterable[Row]) -> dict[str, Any] | None:
    for row in rows:
        if row.name == "tickcast_fanout_skew_seconds" and row.histogram is not None and row.histogram.count:
            return _figures(row.histogram)
    return None
