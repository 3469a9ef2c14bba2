"""feed.monitor.reading: one look, and what needs the looks before it."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from feed.errors import LogMissing
from feed.monitor.hostclock import Timex
from feed.monitor.reading import HORIZON_NS, Probe

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.monitor.conftest import FakeFeed

S = 1_000_000_000


@dataclass
class Looks:
    """A probe whose clocks are turned by hand: `at` seconds after the epoch of the log began."""

    feed: FakeFeed
    probe: Probe = field(init=False)
    at: float = 0

    def __post_init__(self) -> None:
        self.probe = Probe(
            self.feed.directory,
            self.feed.directory / "archive" / "main",
            clock_ns=lambda: self.feed.writer.epoch + round(self.at * S),
            steady_ns=lambda: 77 * S + round(self.at * S),
            host_clock=lambda: Timex(False, 1_600, 160),
        )


@pytest.fixture
def looks(fake_feed: FakeFeed) -> Iterator[Looks]:
    looks = Looks(fake_feed)
    yield looks
    looks.probe.close()


def test_everything_there_is_to_see(fake_feed: FakeFeed, looks: Looks) -> None:
    fake_feed.tick(3)
    fake_feed.report("mean", 3)
    fake_feed.beat("control", pid=os.getpid())
    reading = looks.probe.read()
    assert reading.at_ns == fake_feed.writer.epoch
    assert reading.steady_ns == 77 * S
    assert reading.log is not None
    assert reading.log.next_seq == 4
    assert reading.clock == Timex(False, 1_600, 160)
    assert reading.log_free_bytes == reading.archive_free_bytes  # not made yet: the disk that it will be on
    assert reading.log_free_bytes is not None
    assert [agent["agent"] for agent in reading.agents] == ["ingest", "publish.tcp", "control"]
    assert reading.processes["control"].resident_bytes > 0
    assert set(reading.histograms()) == {
        ("tickcast_latency_seconds", "ingest", "log"),
        ("tickcast_latency_seconds", "publish", "tcp"),
        ("tickcast_latency_seconds", "total", "tcp"),
        ("tickcast_bot_latency_seconds", "mean", "shm"),
    }


def test_the_horizon_is_of_the_rate_of_the_last_ten_seconds(fake_feed: FakeFeed, looks: Looks) -> None:
    size = 1 << 20
    fake_feed.tick(100)
    first = fake_feed.writer.position
    looks.at = 4
    assert looks.probe.read().horizon_ns == pytest.approx(size * 4 * S / first)
    fake_feed.tick(300)
    written = fake_feed.writer.position - first
    looks.at = 6
    assert looks.probe.read().horizon_ns == pytest.approx(size * 2 * S / written)
    looks.at = 4 + HORIZON_NS / S - 1
    assert looks.probe.read().horizon_ns == pytest.approx(size * (HORIZON_NS - S) / written)
    looks.at += 20
    looks.probe.read()
    looks.at += 1
    assert looks.probe.read().horizon_ns is None


def test_when_a_source_last_ticked(fake_feed: FakeFeed, looks: Looks) -> None:
    quiet = fake_feed.counters.counter("tickcast_ticks_total", source="quiet", schema="quote")
    fake_feed.tick()
    epoch = fake_feed.writer.epoch
    reading = looks.probe.read()
    assert reading.log is not None
    assert reading.source_ns == {"sim": reading.log.tail_ns}
    looks.at = 5
    assert looks.probe.read().source_ns == {"sim": reading.log.tail_ns}
    fake_feed.tick()
    quiet.add(1)
    looks.at = 6
    assert looks.probe.read().source_ns["sim"] == epoch + 6 * S
    looks.at = 9
    quiet.add(1)
    assert looks.probe.read().source_ns == {"sim": epoch + 6 * S, "quiet": epoch + 9 * S}
    fake_feed.counters.counter("tickcast_ticks_total", source="symbols", schema="definition").add(5)
    assert "symbols" not in looks.probe.read().source_ns


def test_a_host_that_does_not_tell_of_its_clock(fake_feed: FakeFeed) -> None:
    def forbidden() -> Timex:
        raise OSError(errno.EPERM, "no", "adjtimex")

    probe = Probe(fake_feed.directory, host_clock=forbidden)
    reading = probe.read()
    probe.close()
    assert (reading.clock, reading.archive_free_bytes) == (None, None)


def test_without_a_log(fake_feed: FakeFeed, looks: Looks) -> None:
    fake_feed.tick()
    looks.at = 1
    assert looks.probe.read().horizon_ns is not None
    (fake_feed.directory / "log").unlink()
    reading = looks.probe.read()
    assert (reading.log, reading.horizon_ns) == (None, None)


def test_without_a_feed_there_is_nothing(tmp_path: Path) -> None:
    with pytest.raises(LogMissing):
        Probe(tmp_path)
