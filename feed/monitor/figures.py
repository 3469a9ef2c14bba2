"""Rows of the counters file as plain dicts, one for each agent, source, publisher and bot. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from feed.log.observer import LogFigures
    from feed.metrics.counters import Row

__all__ = ["archive", "bots", "log", "publishers", "sources", "targets_ns"]


def sources(rows: Iterable[Row]) -> dict[str, dict[str, Any]]:
    """{source: {"ticks": {schema: n}, "rejected": {reason: n}, "flagged": {rule: n}, "resyncs": {cause: n},
    "connections": n or null}}"""
    return _by_label(
        rows,
        "source",
        ticks="tickcast_ticks_total",
        rejected="tickcast_rejected_total",
        flagged="tickcast_flagged_total",
        resyncs="tickcast_source_resyncs_total",
        connections="tickcast_source_connections",
    )


def publishers(rows: Iterable[Row]) -> dict[str, dict[str, Any]]:
    """{publisher: {"sent": n, "dropped": {cause: n}}}"""
    return _by_label(rows, "publisher", sent="tickcast_sent_total", dropped="tickcast_dropped_total")


def targets_ns(rows: Iterable[Row]) -> dict[str, int]:
    """{quantile as "0.5": ns}"""
    return {row.labels["quantile"]: row.value for row in rows if row.name == "tickcast_latency_target_seconds"}


def log(figures: LogFigures | None) -> dict[str, Any] | None:
    """All but the readers; None without a log."""
    if figures is None:
        return None
    of = figures._asdict()
    del of["readers"]
    return of


def archive(rows: Iterable[Row]) -> dict[str, Any] | None:
    """durable_seq, bytes, stopped, errors {cause: n}, missing {cause: n}; None where no archive is kept."""
    found: dict[str, Any] = {"durable_seq": None, "bytes": None, "stopped": False, "errors": {}, "missing": {}}
    for row in rows:
        match row.name:
            case "tickcast_archive_durable_seq":
                found["durable_seq"] = row.value
            case "tickcast_archive_bytes":
                found["bytes"] = row.value
            case "tickcast_archive_stopped":
                found["stopped"] = bool(row.value)
            case "tickcast_archive_errors_total":
                found["errors"][row.labels["cause"]] = row.value
            case "tickcast_archive_missing_total":
                found["missing"][row.labels["cause"]] = row.value
    return found if found["durable_seq"] is not None else None


def bots(rows: Iterable[Row], now_ns: int) -> dict[str, dict[str, Any]]:
    """By name, sorted: bot, ticks, filled (missing at first), gaps {cause: n}, lost {cause: n}, pauses {cause: ns};
    None where not known: lag_ns, report_age_ns, clock_offset_ns, clock_uncertainty_ns, skew_ns; transports, in which it
    has latencies."""
    found: dict[str, dict[str, Any]] = {}
    for row in rows:
        name = row.labels.get("bot")
        if name is None:
            continue
        bot = found.get(name) or found.setdefault(name, _blank(name))
        if (key := _BOT_FIGURES.get(row.name)) is not None:
            bot[key] = row.value
        elif (key := _BOT_CAUSES.get(row.name)) is not None:
            bot[key][row.labels["cause"]] = row.value
        elif row.name == "tickcast_bot_report_timestamp_seconds":
            bot["report_age_ns"] = max(0, now_ns - row.value)
        elif row.name == "tickcast_bot_latency_seconds":
            bot["transports"].append(row.labels["transport"])
    return dict(sorted(found.items()))


_BOT_FIGURES = {
    "tickcast_bot_ticks_total": "ticks",
    "tickcast_bot_filled_ticks_total": "filled",
    "tickcast_bot_lag_seconds": "lag_ns",
    "tickcast_clock_offset_seconds": "clock_offset_ns",
    "tickcast_clock_uncertainty_seconds": "clock_uncertainty_ns",
    "tickcast_bot_skew_seconds": "skew_ns",
}
_BOT_CAUSES = {
    "tickcast_gaps_total": "gaps",
    "tickcast_lost_ticks_total": "lost",
    "tickcast_bot_pause_seconds_total": "pauses",
}


def _blank(name: str) -> dict[str, Any]:
    return {
        "bot": name,
        "ticks": 0,
        "filled": 0,
        "gaps": {},
        "lost": {},
        "pauses": {},
        "lag_ns": None,
        "skew_ns": None,
        "report_age_ns": None,
        "clock_offset_ns": None,
        "clock_uncertainty_ns": None,
        "transports": [],
    }


def _by_label(rows: Iterable[Row], label: str, **names: str) -> dict[str, dict[str, Any]]:
    """{value of `label`: {key: n, or {value of the metric's other label: n}}} of the metrics in `names`."""
    found: dict[str, dict[str, Any]] = {}
    keys = {name: key for key, name in names.items()}
    for row in rows:
        key = keys.get(row.name)
        if key is None:
            continue
        one = found.setdefault(row.labels[label], {})
        others = [value for other, value in row.labels.items() if other != label]
        if others:
            one.setdefault(key, {})[others[0]] = row.value
        else:
            one[key] = row.value
    blank: dict[str, Any] = {"ticks": {}, "rejected": {}, "flagged": {}, "resyncs": {}, "sent": 0, "dropped": {}}
    return {name: {key: one.get(key, blank.get(key)) for key in names} for name, one in found.items()}
