"""feed.monitor.stat: the snapshot's shape, and what lies between two."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson
import pytest

from feed.errors import LogMissing
from feed.log.reader import LogReader
from feed.monitor.exporter import state_targets
from feed.monitor.stat import change, snapshot

if TYPE_CHECKING:
    from pathlib import Path

    from tests.monitor.conftest import FakeFeed


def test_a_snapshot_holds_everything_and_is_json(fake_feed: FakeFeed) -> None:
    fake_feed.tick(3)
    fake_feed.counters.counter("tickcast_rejected_total", source="sim", reason="crossed").add(2)
    fake_feed.counters.counter("tickcast_dropped_total", publisher="tcp", cause="full").add(5)
    state_targets(fake_feed.counters, {0.5: 13_400})
    fake_feed.report("mean", 3)
    with LogReader.open(fake_feed.directory, name="archive", start="begin"):
        taken = snapshot(fake_feed.directory)
    assert orjson.loads(orjson.dumps(taken)) == taken
    assert (taken["feed"], taken["refused"], taken["change"]) == ("main", 0, None)
    assert (taken["log"]["state"], taken["log"]["next_seq"], taken["log"]["writer_alive"]) == ("open", 4, True)
    assert [agent["state"] for agent in taken["agents"]] == ["up"] * 3
    sim = {"ticks": {"quote": 3}, "rejected": {"crossed": 2}, "flagged": {}, "resyncs": {}, "connections": None}
    assert taken["sources"] == {"sim": sim}
    assert taken["publishers"] == {"tcp": {"sent": 3, "dropped": {"full": 5}}}
    assert taken["targets_ns"] == {"0.5": 13_400}
    assert [(one["stage"], one["transport"], one["count"]) for one in taken["latency"]] == [
        ("ingest", "log", 3),
        ("publish", "tcp", 3),
        ("total", "tcp", 3),
    ]
    total = taken["latency"][2]
    assert total["p50_ns"] == pytest.approx(20_000, rel=0.01)
    assert (total["max_ns"], total["sum_ns"], total["negative"]) == (20_000, 60_000, 0)
    (reader,) = taken["readers"]
    assert (reader["name"], reader["lag_bytes"]) == ("archive", fake_feed.writer.position)
    (bot,) = taken["bots"]
    assert (bot["bot"], bot["ticks"], bot["lag_ns"], bot["clock_offset_ns"]) == ("mean", 3, 2_000, None)
    assert (bot["gaps"], bot["lost"]) == ({"slow": 1}, {"slow": 40})
    assert bot["latency"][0]["p50_ns"] == pytest.approx(700, rel=0.01)
    assert 0 <= bot["report_age_ns"] < 60 * 10**9
    assert (bot["skew_ns"], bot["clock_uncertainty_ns"], bot["pauses"], taken["skew"]) == (None, None, {}, None)


def test_skew_clock_and_pauses_where_they_are_known(fake_feed: FakeFeed) -> None:
    counters = fake_feed.counters
    counters.histogram("tickcast_fanout_skew_seconds")
    assert snapshot(fake_feed.directory)["skew"] is None
    counters.histogram("tickcast_fanout_skew_seconds").record_n(3_000, 7)
    counters.gauge("tickcast_bot_skew_seconds", bot="mean").set(2_500)
    counters.gauge("tickcast_clock_offset_seconds", bot="mean").set(-900)
    counters.gauge("tickcast_clock_uncertainty_seconds", bot="mean").set(40_000)
    counters.counter("tickcast_bot_pause_seconds_total", bot="mean", cause="gc").add(1_000_000)
    taken = snapshot(fake_feed.directory)
    assert (taken["skew"]["count"], taken["skew"]["max_ns"]) == (7, 3_000)
    (bot,) = taken["bots"]
    assert (bot["skew_ns"], bot["clock_offset_ns"], bot["clock_uncertainty_ns"]) == (2_500, -900, 40_000)
    assert bot["pauses"] == {"gc": 1_000_000}


def test_the_change_between_two(fake_feed: FakeFeed) -> None:
    fake_feed.tick(10)
    fake_feed.report("mean", 10)
    before = snapshot(fake_feed.directory)
    fake_feed.tick(50)
    fake_feed.report("mean", 50)
    fake_feed.counters.histogram("tickcast_latency_seconds", stage="total", transport="tcp").record(9_000_000)
    fake_feed.counters.histogram("tickcast_latency_seconds", stage="handler", transport="tcp").record(100)
    after = snapshot(fake_feed.directory, before)
    since = after["change"]
    assert since == change(before, after)
    seconds = since["seconds"]
    for found in (since["ticks_per_s"], since["sources"]["sim"], since["publishers"]["tcp"], since["bots"]["mean"]):
        assert found == pytest.approx(50 / seconds)
    written = after["log"]["tail"] - before["log"]["tail"]
    assert since["horizon_ns"] == pytest.approx((1 << 20) * seconds * 1e9 / written, rel=1e-6)
    interval = {one["stage"]: one for one in since["latency"]}
    assert {stage: one["count"] for stage, one in interval.items()} == {
        "ingest": 50,
        "publish": 50,
        "total": 51,
        "handler": 1,
    }
    assert interval["total"]["p50_ns"] == pytest.approx(20_000, rel=0.01)
    assert interval["total"]["max_ns"] == 9_000_000
    assert "buckets" not in interval["total"]


def test_nothing_happened(fake_feed: FakeFeed) -> None:
    fake_feed.tick(10)
    before = snapshot(fake_feed.directory)
    since = change(before, snapshot(fake_feed.directory))
    assert (since["ticks_per_s"], since["horizon_ns"]) == (0, None)
    assert all(one["count"] == 0 and one["p50_ns"] is None for one in since["latency"])


def test_a_feed_that_began_anew_has_no_rates_of_the_old_epoch(fake_feed: FakeFeed) -> None:
    fake_feed.tick(10)
    before = snapshot(fake_feed.directory)
    after = snapshot(fake_feed.directory)
    after["log"]["epoch"] += 1
    after["log"]["next_seq"] = after["log"]["tail"] = 1
    after["sources"]["sim"]["ticks"]["quote"] = 2
    after["publishers"]["ipc"] = {"sent": 3, "dropped": {}}
    since = change(before, after)
    assert (since["ticks_per_s"], since["horizon_ns"], since["sources"]["sim"]) == (None, None, 0)
    assert since["publishers"]["ipc"] == pytest.approx(3 / since["seconds"])


def test_counters_without_a_log(fake_feed: FakeFeed) -> None:
    fake_feed.tick()
    before = snapshot(fake_feed.directory)
    (fake_feed.directory / "log").unlink()
    after = snapshot(fake_feed.directory, before)
    assert after["log"] is None
    assert after["readers"] == []
    assert after["change"]["ticks_per_s"] is None
    assert after["sources"]["sim"]["ticks"] == {"quote": 1}


def test_a_log_without_counters(fake_feed: FakeFeed) -> None:
    (fake_feed.directory / "counters").unlink()
    taken = snapshot(fake_feed.directory)
    assert taken["log"]["state"] == "open"
    assert taken["agents"] == []


def test_no_feed(tmp_path: Path) -> None:
    with pytest.raises(LogMissing, match="feed run"):
        snapshot(tmp_path / "none")
