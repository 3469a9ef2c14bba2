"""Rings in front of the sequencer: order of arrival, back-pressure, topics on the way, several threads.

The producer's end is native (Sink); the simulator, a real source, fills it here.
"""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from feed.config import SimConfig
from feed.errors import CallerError, LogSpace
from feed.log.reader import LogReader
from feed.log.ring import Intake
from feed.log.writer import LogWriter
from feed.metrics.counters import Counters
from feed.sources.sim import Sim


@pytest.mark.parametrize("nbytes", [0, 1 << 15, 100_000])
def test_sizes_that_are_none(place: Path, nbytes: int) -> None:
    with LogWriter.open(place, log_bytes=1 << 20) as writer, pytest.raises(CallerError):
        Intake(writer).ring(nbytes)


def test_a_full_topic_table_is_told_to_the_source_and_not_to_the_sequencer(place: Path) -> None:
    with LogWriter.open(place, log_bytes=1 << 20, max_topics=3) as writer:
        writer.topic("quote", "A")
        intake = Intake(writer)
        one, other = intake.ring(), intake.ring()
        assert one.topic("quote", "A") == other.topic("quote", "B") == 0
        assert other.topic("trade", "A") == one.topic("quote", "B") == 1
        for ring in (one, other):
            with pytest.raises(LogSpace, match="max_topics"):
                ring.topic("trade", "B")
        assert writer.refused_topics == 2
        intake.poll(1000)
        assert writer.topics() == [("quote", "A"), ("quote", "B"), ("trade", "A")]


def test_three_sources_in_threads_lose_nothing_and_keep_their_order(place: Path) -> None:
    """Through rings too small for what they carry, each source's ticks arrive whole and in its own order."""
    ticks = 30_000
    with LogWriter.open(place, log_bytes=64 << 20) as writer:
        counters = Counters.open(place, create=True)
        intake = Intake(writer)
        sims = [
            Sim(f"sim{i}", SimConfig(symbols=5, rate=0, ticks=ticks, seed=i), intake.ring(1 << 16), counters)
            for i in range(3)
        ]
        reader = LogReader.open(place, start="begin")

        def turn(sim: Sim) -> None:
            while not sim.finished:
                sim.poll(256)

        threads = [threading.Thread(target=turn, args=(sim,)) for sim in sims]
        for thread in threads:
            thread.start()
        taken = 0
        while any(thread.is_alive() for thread in threads):
            taken += intake.poll(1000)
            intake.park(1_000_000)
        while got := intake.poll(1000):
            taken += got
        assert taken == 3 * ticks
        last_ts, count = 0, 0
        while (tick := reader.read()) is not None:
            count += tick.kind == 0
            last_ts = max(last_ts, tick.ts_in)
        assert count == taken
        for sim in sims:
            sim.close()
        reader.close()
        counters.close()
