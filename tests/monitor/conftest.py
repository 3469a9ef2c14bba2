"""A feed without its daemon: counters and a small log, filled by hand."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from feed.clock import now_ns
from feed.log.writer import LogWriter
from feed.metrics.counters import Counters

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

STATE_AT, CLOSED = 156, 2  # tc_log_header.state, TC_LOG_CLOSED
AGENTS = ("ingest", "publish.tcp", "control")
QUOTE = bytes(80)


@dataclass
class FakeFeed:
    """What a running feed leaves in its directory."""

    directory: Path
    counters: Counters
    writer: LogWriter
    topic: int = field(init=False)

    def __post_init__(self) -> None:
        self.topic = self.writer.topic("quote", "AAPL")

    def beat(self, agent: str, age_ns: int = 0, *, up: int = 1, pid: int = 7, restarts: int = 0) -> None:
        """An agent's rows, its loop last heard of `age_ns` ago."""
        self.counters.gauge("tickcast_agent_up", agent=agent).set(up)
        self.counters.gauge("tickcast_agent_pid", agent=agent).set(pid)
        self.counters.counter("tickcast_agent_restarts_total", agent=agent).set(restarts)
        self.counters.gauge("tickcast_agent_heartbeat_timestamp_seconds", agent=agent).set(now_ns() - age_ns)

    def tick(self, n: int = 1) -> None:
        """`n` ticks through the source, the log and a publisher."""
        for _ in range(n):
            self.writer.publish(self.topic, QUOTE)
        self.counters.counter("tickcast_ticks_total", source="sim", schema="quote").add(n)
        self.counters.counter("tickcast_sent_total", publisher="tcp").add(n)
        for stage, transport, ns in (("ingest", "log", 300), ("publish", "tcp", 9_000), ("total", "tcp", 20_000)):
            self.counters.histogram("tickcast_latency_seconds", stage=stage, transport=transport).record_n(ns, n)

    def report(self, bot: str, ticks: int, ns: int = 700) -> None:
        """A bot's figures as the control agent writes them: `ticks` more, each `ns` old; a gap and 40 lost ticks."""
        counters = self.counters
        counters.counter("tickcast_bot_ticks_total", bot=bot).add(ticks)
        counters.gauge("tickcast_bot_lag_seconds", bot=bot).set(2_000)
        counters.gauge("tickcast_bot_report_timestamp_seconds", bot=bot).set(now_ns())
        counters.counter("tickcast_gaps_total", bot=bot, cause="slow").add(1)
        counters.counter("tickcast_lost_ticks_total", bot=bot, cause="slow").add(40)
        counters.histogram("tickcast_bot_latency_seconds", bot=bot, transport="shm").record_n(ns, ticks)

    def end_log(self) -> None:
        """Mark the log as ended, as its readers see it while its files are being removed."""
        with (self.directory / "log").open("r+b") as log:
            log.seek(STATE_AT)
            log.write(struct.pack("<I", CLOSED))


@pytest.fixture
def fake_feed(tmp_path: Path) -> Iterator[FakeFeed]:
    directory = tmp_path / "main"
    directory.mkdir()
    counters = Counters.open(directory, create=True)
    writer = LogWriter.open(directory, log_bytes=1 << 20, max_topics=64)
    feed = FakeFeed(directory, counters, writer)
    for agent in AGENTS:
        feed.beat(agent)
    yield feed
    writer.close()
    counters.close()
