"""The sequencer's turns: signs of life whether ticks come or not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from feed.agent import PARK_NS
from feed.clock import monotonic_ns
from feed.config import SimConfig
from feed.log.reader import LogReader
from feed.sources.ingest import BEAT_NS, Ingest
from feed.sources.sim import Sim

if TYPE_CHECKING:
    from collections.abc import Callable

    from feed.log.sink import Sink
    from feed.metrics.counters import Counters
    from feed.sources.source import Source
    from tests.sources.tape import Tape


def sim(counters: Counters, name: str, ticks: int = 0) -> Callable[[Sink], Source]:
    """One tick, then none for a quarter of an hour; or `ticks` of them at once, then the end."""
    config = SimConfig(symbols=1, rate=0, ticks=ticks) if ticks else SimConfig(symbols=1, rate=0.001)
    return lambda sink: Sim(name, config, sink, counters)


@pytest.mark.parametrize(
    ("sources", "ticks", "wait_bots"),
    [(1, 0, 0), (2, 0, 0), (1, 3, 0), (2, 3, 0), (1, 0, 1)],
    ids=["one quiet source", "two quiet sources", "one that has ended", "two that have ended", "waiting for bots"],
)
def test_a_quiet_sequencer_gives_a_sign_of_life_at_each_turn(
    tape: Tape, counters: Counters, sources: int, ticks: int, wait_bots: int
) -> None:
    ingest = Ingest(tape.sink, [sim(counters, f"s{i}", ticks) for i in range(sources)], counters, wait_bots=wait_bots)
    with LogReader.open(tape.sink.directory) as reader:
        for _ in range(100):  # the first ticks, and threads that begin
            if not ingest.poll():
                ingest.park(1_000_000)
        seen = set()
        for _ in range(7):
            ingest.park(PARK_NS)
            assert ingest.poll() == 0
            seen.add(reader.alive_ns)
    assert len(seen) >= 6
    ingest.close()


def test_a_busy_loop_does_not_beat_at_each_turn(tape: Tape, counters: Counters) -> None:
    ingest = Ingest(tape.sink, [sim(counters, "s")], counters)
    with LogReader.open(tape.sink.directory) as reader:
        began = monotonic_ns()
        seen = set()
        for _ in range(20_000):
            ingest.poll()
            seen.add(reader.alive_ns)
        assert len(seen) <= 2 + (monotonic_ns() - began) // BEAT_NS
    ingest.close()
