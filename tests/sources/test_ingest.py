"""When sources may begin."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from feed.clock import now_ns
from feed.config import SimConfig
from feed.sources import ingest
from feed.sources.ingest import Ingest
from feed.sources.sim import Sim

if TYPE_CHECKING:
    from feed.metrics.counters import Counters
    from tests.sources.tape import Tape


def made(tape: Tape, counters: Counters) -> Ingest:
    settings = SimConfig(rate=0, ticks=10)
    return Ingest(tape.sink, [lambda sink: Sim("s", settings, sink, counters)], counters, wait_archive=True)


def test_they_are_held_until_the_archive_turns(tape: Tape, counters: Counters) -> None:
    beat = counters.gauge("tickcast_agent_heartbeat_timestamp_seconds", agent="archive")
    beat.set(now_ns() - 1)  # of the run before
    agent = made(tape, counters)
    assert agent.poll() == 0
    agent.park(1)
    assert agent.poll() == 0
    beat.set(now_ns())
    assert agent.poll() == 10


def test_an_archive_that_does_not_come_holds_nothing_for_ever(
    tape: Tape, counters: Counters, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = made(tape, counters)
    assert agent.poll() == 0
    monkeypatch.setattr(ingest, "WAIT_ARCHIVE_NS", 0)
    assert agent.poll() == 10
