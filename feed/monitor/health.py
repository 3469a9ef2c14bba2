"""Is the feed well? Judged from the counters and the log's header alone. Pure: figures in, a verdict out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from feed.log.observer import LogFigures
    from feed.metrics.counters import Row

__all__ = ["STUCK_NS", "agents", "health"]

STUCK_NS = 5_000_000_000
"""An agent whose loop has been silent for so long no longer turns, ns. It beats five times a second."""


def agents(rows: Iterable[Row], now_ns: int) -> list[dict[str, Any]]:
    """Every agent: ``agent, state, pid, restarts, heartbeat_age_ns`` (None before the first beat).

    ``state``: up; starting (runs, no beat yet); stuck (runs, but its loop is silent); down.
    """
    found: dict[str, dict[str, int]] = {}
    for row in rows:
        if row.name in _ROWS:
            found.setdefault(row.labels["agent"], {})[row.name.removeprefix("tickcast_agent_")] = row.value
    listed = []
    for name, figures in found.items():
        beat_ns = figures.get("heartbeat_timestamp_seconds", 0)
        age_ns = max(0, now_ns - beat_ns) if beat_ns else None
        listed.append(
            {
                "agent": name,
                "state": _state(figures.get("up", 1), age_ns),
                "pid": figures.get("pid", 0),
                "restarts": figures.get("restarts_total", 0),
                "heartbeat_age_ns": age_ns,
            }
        )
    return listed


def health(rows: Iterable[Row], log: LogFigures | None, now_ns: int) -> tuple[bool, dict[str, Any]]:
    """(well?, what `/healthz` answers).

    A log without a new tick is not ill: the market may be quiet. One that nobody writes is.
    """
    listed = agents(rows, now_ns)
    ills = [f"agent {agent['agent']} is {agent['state']}" for agent in listed if agent["state"] != "up"]
    figures: dict[str, Any] | None = None
    if log is None:
        ills.append("there is no log")
    else:
        if log.state != "open":
            ills.append(f"the log is {log.state}")
        elif not log.writer_alive:
            ills.append(f"nobody writes the log: process {log.writer_pid} is gone")
        figures = {
            "state": log.state,
            "writer_pid": log.writer_pid,
            "writer_alive": log.writer_alive,
            "epoch": log.epoch,
            "next_seq": log.next_seq,
            "age_ns": max(0, now_ns - log.tail_ns) if log.tail_ns else None,
        }
    return not ills, {"status": "ill" if ills else "well", "ills": ills, "agents": listed, "log": figures}


_ROWS = frozenset(f"tickcast_agent_{what}" for what in ("up", "pid", "heartbeat_timestamp_seconds", "restarts_total"))


def _state(up: int, age_ns: int | None) -> str:
    if not up:
        return "down"
    if age_ns is None:
        return "starting"
    return "stuck" if age_ns > STUCK_NS else "up"
