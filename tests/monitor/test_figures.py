"""feed.monitor.figures: rows in, dicts out."""

from __future__ import annotations

from feed.metrics.counters import Row
from feed.monitor import figures


def row(name: str, value: int, **labels: str) -> Row:
    return Row(f"tickcast_{name}", labels, "gauge", value, None, 1)


def test_an_archive_that_is_kept_and_none() -> None:
    assert figures.archive([row("bot_lag_seconds", 1, bot="a")]) is None
    rows = [
        row("archive_durable_seq", 7),
        row("archive_bytes", 4_096),
        row("archive_stopped", 1),
        row("archive_errors_total", 3, cause="full"),
        row("archive_missing_total", 9, cause="full"),
    ]
    assert figures.archive(rows) == {
        "durable_seq": 7,
        "bytes": 4_096,
        "stopped": True,
        "errors": {"full": 3},
        "missing": {"full": 9},
    }


def test_bots_by_name_with_what_is_not_known() -> None:
    found = figures.bots(
        [
            row("bot_lag_seconds", 5, bot="b"),
            row("lost_ticks_total", 2, bot="b", cause="slow"),
            row("bot_report_timestamp_seconds", 90, bot="a"),
            row("bot_latency_seconds", 0, bot="a", transport="tcp"),
            row("bot_latency_seconds", 0, bot="a", transport="shm"),
            row("agent_up", 1, agent="ingest"),
        ],
        now_ns=100,
    )
    assert list(found) == ["a", "b"]
    assert (found["a"]["report_age_ns"], found["a"]["transports"], found["a"]["lag_ns"]) == (10, ["tcp", "shm"], None)
    assert (found["b"]["lag_ns"], found["b"]["lost"], found["b"]["gaps"]) == (5, {"slow": 2}, {})


def test_sources_and_publishers() -> None:
    rows = [
        row("ticks_total", 4, source="sim", schema="quote"),
        row("ticks_total", 6, source="sim", schema="trade"),
        row("rejected_total", 1, source="bad", reason="crossed"),
        row("sent_total", 8, publisher="tcp"),
        row("dropped_total", 2, publisher="ipc", cause="overrun"),
    ]
    assert figures.sources(rows) == {
        "sim": {"ticks": {"quote": 4, "trade": 6}, "rejected": {}, "flagged": {}, "resyncs": {}, "connections": None},
        "bad": {"ticks": {}, "rejected": {"crossed": 1}, "flagged": {}, "resyncs": {}, "connections": None},
    }
    assert figures.publishers(rows) == {
        "tcp": {"sent": 8, "dropped": {}},
        "ipc": {"sent": 0, "dropped": {"overrun": 2}},
    }
