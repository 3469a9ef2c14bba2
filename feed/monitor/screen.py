"""A snapshot of feed/monitor/stat.py as a screenful of text. Pure: dicts in, something rich can print out."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from feed.metrics.words import duration

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from rich.console import RenderableType

    from feed.metrics.words import Trends

__all__ = ["screen"]

_TARGET_OF = {"p50_ns": "0.5", "p90_ns": "0.9", "p99_ns": "0.99", "p999_ns": "0.999"}
_GOOD, _BAD, _DIM = "green", "bold red", "dim"


def screen(taken: Mapping[str, Any], since: Mapping[str, Any] | None, trends: Trends | None = None) -> RenderableType:
    """Everything in a snapshot; `since` is the change from an earlier one, for rates and quantiles of that interval.

    With `trends` it says how rates, p99 and lags went.
    """
    latency, when = (taken["latency"], "since the start") if since is None else (since["latency"], _interval(since))
    parts = [
        _headline(taken, since, trends),
        _agents(taken["agents"]),
        _flow("source", taken["sources"], "ticks", "rejected", None if since is None else since["sources"]),
        _flow("publisher", taken["publishers"], "sent", "dropped", None if since is None else since["publishers"]),
        _latency(latency, when, taken["targets_ns"], trends),
        _readers(taken["readers"]),
        _bots(taken["bots"], None if since is None else since["bots"], trends),
    ]
    return Group(*(part for part in parts if part is not None))


def _headline(taken: Mapping[str, Any], since: Mapping[str, Any] | None, trends: Trends | None) -> Text:
    log = taken["log"]
    text = Text()
    text.append(f"feed {taken['feed']}", style="bold")
    if log is None:
        return text.append("  there is no log", style=_BAD)
    if log["state"] != "open":
        text.append(f"  its log is {log['state']}", style=_BAD)
    elif not log["writer_alive"]:
        text.append(f"  nobody writes: process {log['writer_pid']} is gone", style=_BAD)
    began = datetime.fromtimestamp(log["epoch"] // 10**9, tz=UTC)
    parts = [f"epoch {began:%Y-%m-%d %H:%M:%S}Z", f"next seq {log['next_seq']:,}", f"{log['topics']:,} topics"]
    if since is not None and since["ticks_per_s"] is not None:
        trend = "" if trends is None else " " + trends.line("ticks", since["ticks_per_s"])
        parts.append(f"{since['ticks_per_s']:,.0f} ticks/s{trend}")
    if since is not None and since["horizon_ns"] is not None:
        parts.append(f"the log holds {duration(since['horizon_ns'])}")
    if log["tail_ns"]:
        parts.append(f"last tick {duration(max(0, taken['taken_ns'] - log['tail_ns']))} ago")
    if taken["refused"]:
        parts.append(f"{taken['refused']} series refused")
    return text.append("  " + " · ".join(parts))


def _agents(agents: Iterable[Mapping[str, Any]]) -> Table | None:
    table = _table("agents", "agent", "state", "pid", "restarts", "heartbeat")
    for one in agents:
        table.add_row(
            one["agent"],
            Text(one["state"], style=_GOOD if one["state"] == "up" else _BAD),
            str(one["pid"] or "-"),
            Text(str(one["restarts"]), style=_BAD if one["restarts"] else ""),
            f"{duration(one['heartbeat_age_ns'])} ago" if one["heartbeat_age_ns"] is not None else "-",
        )
    return _shown(table)


def _flow(
    what: str, flows: Mapping[str, Mapping[str, Any]], good: str, bad: str, per_s: Mapping[str, float] | None
) -> Table | None:
    """Sources and publishers: how much went through, how much did not and why; of venues, their connections; what was
    flagged, if anything was."""
    venues = any(one.get("connections") is not None for one in flows.values())
    flags = any(one.get("flagged") for one in flows.values())
    more = (*(("flagged",) if flags else ()), *(("connections", "resyncs") if venues else ()))
    table = _table(f"{what}s", what, "per s", good, bad, *more)
    for name, one in flows.items():
        through = one[good]
        amount = through if isinstance(through, int) else sum(through.values())
        kinds = "" if isinstance(through, int) else f"  ({_causes(through)})"
        table.add_row(
            name,
            "-" if per_s is None else f"{per_s.get(name, 0):,.0f}",
            f"{amount:,}{kinds}",
            Text(_causes(one[bad]) or "0", style=_BAD if any(one[bad].values()) else ""),
            *([_causes(one["flagged"]) or "0"] if flags else ()),
            *(_connected(one) if venues else ()),
        )
    return _shown(table)


def _connected(source: Mapping[str, Any]) -> tuple[Text, Text]:
    up = source["connections"]
    resyncs = Text(_causes(source["resyncs"]) or ("-" if up is None else "0"))
    return Text("-" if up is None else f"{up:,}", style=_BAD if up == 0 else ""), resyncs


def _latency(
    latency: Iterable[Mapping[str, Any]], when: str, targets_ns: Mapping[str, int], trends: Trends | None
) -> Table | None:
    aims = ", ".join(f"p{float(quantile) * 100:g} ≤ {duration(ns)}" for quantile, ns in sorted(targets_ns.items()))
    latency = list(latency)
    skewed = any(one["negative"] for one in latency)
    table = _table(
        f"latency, {when}" + (f"; total must keep {aims}" if aims else ""),
        *("stage", "transport", "p50", "p90", "p99", "p99.9", "max", "count", *(("negative",) if skewed else ())),
        trend="p99, lately" if trends is not None else "",
    )
    for one in latency:
        cells = [
            Text(duration(one[key]), style=_verdict(one, key, targets_ns.get(quantile)))
            for key, quantile in _TARGET_OF.items()
        ]
        negative = [Text(f"{one['negative']:,}", style=_BAD if one["negative"] else _DIM)] if skewed else []
        trend = [trends.line((one["stage"], one["transport"]), one["p99_ns"])] if trends is not None else []
        table.add_row(
            *(one["stage"], one["transport"], *cells, duration(one["max_ns"]), f"{one['count']:,}", *negative, *trend)
        )
    return _shown(table)


def _verdict(one: Mapping[str, Any], key: str, target_ns: int | None) -> str:
    if one["stage"] != "total" or target_ns is None or one[key] is None:
        return ""
    return _GOOD if one[key] <= target_ns else _BAD


def _readers(readers: Iterable[Mapping[str, Any]]) -> Table | None:
    table = _table("readers of the log", "reader", "pid", "lag", "state", "gating")
    for one in sorted(readers, key=lambda one: -one["lag_bytes"]):
        table.add_row(
            one["name"] or "-",
            str(one["pid"]),
            f"{one['lag_bytes']:,} B",
            "parked" if one["parked"] else "reads",
            Text(one["gating"], style=_BAD if one["gating"] == "evicted" else ""),
        )
    return _shown(table)


def _bots(bots: Iterable[Mapping[str, Any]], per_s: Mapping[str, float] | None, trends: Trends | None) -> Table | None:
    table = _table(
        "bots",
        *("bot", "transport", "per s", "p50", "p99", "lag", "skew", "filled", "gaps", "lost", "heard"),
        trend="lag, lately" if trends is not None else "",
    )
    for one in bots:
        for latency in one["latency"] or [{"transport": "-", "p50_ns": None, "p99_ns": None}]:
            table.add_row(
                one["bot"],
                latency["transport"],
                "-" if per_s is None else f"{per_s.get(one['bot'], 0):,.0f}",
                *(duration(latency[key]) for key in ("p50_ns", "p99_ns")),
                duration(one["lag_ns"]),
                duration(one["skew_ns"]),
                f"{one['filled']:,}",
                *(Text(_causes(one[key]) or "0", style=_BAD if one[key] else "") for key in ("gaps", "lost")),
                duration(one["report_age_ns"]),
                *([trends.line((one["bot"], latency["transport"]), one["lag_ns"])] if trends is not None else []),
            )
    return _shown(table)


def _table(title: str, *columns: str, trend: str = "") -> Table:
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, title_style="bold", pad_edge=False)
    for column in columns:
        words = column in {"agent", "bot", "gating", "publisher", "reader", "source", "stage", "state", "transport"}
        table.add_column(
            column,
            justify="left" if words else "right",
            no_wrap=column not in {"ticks", "rejected", "flagged", "resyncs", "dropped", "gaps", "lost"},
        )
    if trend:
        table.add_column(trend, no_wrap=True)
    return table


def _shown(table: Table) -> Table | None:
    return table if table.row_count else None


def _causes(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {n:,}" for name, n in sorted(counts.items()) if n)


def _interval(since: Mapping[str, Any]) -> str:
    return f"last {duration(since['seconds'] * 1e9)}"
