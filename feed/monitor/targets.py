"""Bots that serve metrics of their own, as Prometheus' HTTP service discovery wants them. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from feed.monitor.reading import Reading

__all__ = ["GONE_NS", "service_targets"]

GONE_NS = 60_000_000_000
"""A bot that has not reported for so long is no longer there to be asked, ns."""


def service_targets(reading: Reading, feed: str) -> list[dict[str, Any]]:
    """[{"targets": ["host:port"], "labels": {"bot", "feed"}}]: the bots that named a port in their reports."""
    reported = {
        row.labels["bot"]: row.value for row in reading.rows if row.name == "tickcast_bot_report_timestamp_seconds"
    }
    found = []
    for row in reading.rows:
        if row.name != "tickcast_bot_metrics_port" or not 0 < row.value < 65_536:
            continue
        bot, host = row.labels["bot"], row.labels["host"]
        if reading.at_ns - reported.get(bot, 0) <= GONE_NS:
            target = f"[{host}]:{row.value}" if ":" in host else f"{host}:{row.value}"
            found.append({"targets": [target], "labels": {"bot": bot, "feed": feed}})
    return found
