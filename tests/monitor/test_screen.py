"""feed.monitor.screen: people see the figures, and the bad ones in red."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING, Any

from rich.console import Console

from feed.log.reader import LogReader
from feed.monitor.exporter import state_targets
from feed.monitor.stat import render, snapshot

if TYPE_CHECKING:
    from tests.monitor.conftest import FakeFeed


def shown(before: dict[str, Any] | None, after: dict[str, Any], *, colour: bool = False) -> str:
    console = Console(file=io.StringIO(), width=160, force_terminal=colour, color_system="standard" if colour else None)
    console.print(render(before, after))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_everything_is_on_the_screen(fake_feed: FakeFeed) -> None:
    fake_feed.beat("publish.tcp", age_ns=60 * 10**9, restarts=2)
    state_targets(fake_feed.counters, {0.5: 13_400, 0.99: 100_000})
    before = snapshot(fake_feed.directory)
    fake_feed.tick(1234)
    fake_feed.counters.counter("tickcast_dropped_total", publisher="tcp", cause="full").add(7)
    fake_feed.counters.counter("tickcast_bot_ticks_total", bot="mean").add(9)
    fake_feed.counters.counter("tickcast_gaps_total", bot="mean", cause="slow").add(3)
    with LogReader.open(fake_feed.directory, name="archive"):
        text = shown(before, snapshot(fake_feed.directory))
    for word in (
        *("feed main", "next seq 1,235", "1 topics", "ticks/s", "the log holds", "ingest", "stuck"),
        *("sim", "1,234  (quote 1,234)", "full 7", "total", "20 µs", "9 µs", "p50 ≤ 13.4 µs, p99 ≤ 100 µs"),
        *("archive", "mean", "slow 3"),
    ):
        assert word in text


def test_what_was_flagged_has_a_column_where_anything_was(fake_feed: FakeFeed) -> None:
    fake_feed.tick()
    assert "flagged" not in shown(None, snapshot(fake_feed.directory))
    fake_feed.counters.counter("tickcast_flagged_total", source="sim", reason="locked").add(4)
    text = shown(None, snapshot(fake_feed.directory))
    assert "flagged" in text
    assert "locked 4" in text


def test_a_missed_target_is_red_and_a_kept_one_green(fake_feed: FakeFeed) -> None:
    fake_feed.tick()
    state_targets(fake_feed.counters, {0.5: 13_400, 0.99: 100_000})
    text = shown(None, snapshot(fake_feed.directory), colour=True)
    (total,) = (line for line in text.splitlines() if "20 µs" in line)
    assert re.search(r"\x1b\[1;31m *20 µs.*\x1b\[32m *20 µs", total)


def test_a_dead_feed_says_so(fake_feed: FakeFeed) -> None:
    fake_feed.end_log()
    assert "its log is closed" in shown(None, snapshot(fake_feed.directory))
    (fake_feed.directory / "log").unlink()
    assert "there is no log" in shown(None, snapshot(fake_feed.directory))


def test_an_empty_feed_has_only_its_headline(fake_feed: FakeFeed) -> None:
    (fake_feed.directory / "counters").unlink()
    text = shown(None, snapshot(fake_feed.directory))
    assert text.startswith("feed main")
    assert len(text.splitlines()) == 1


def test_a_venue_has_its_connections_and_what_it_got_anew(fake_feed: FakeFeed) -> None:
    fake_feed.tick()
    assert "connections" not in shown(None, snapshot(fake_feed.directory))
    fake_feed.counters.gauge("tickcast_source_connections", source="binance").set(3)
    fake_feed.counters.counter("tickcast_source_resyncs_total", source="binance", cause="gap").add(5)
    text = shown(None, snapshot(fake_feed.directory))
    row = next(line for line in text.splitlines() if "binance" in line)
    assert row.split()[-3:] == ["3", "gap", "5"]
