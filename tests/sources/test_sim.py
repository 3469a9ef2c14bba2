from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import pytest

from feed.clock import now_ns
from feed.config import SimConfig
from feed.errors import ConfigError, LogSpace
from feed.log.ring import Intake
from feed.sources.sim import Sim
from tests.sources.tape import Taken, Tape

if TYPE_CHECKING:
    from pathlib import Path

    from feed.metrics.counters import Counters

START = 1_800_000_000_000_000_000


def ts_event(one: Taken) -> int:
    return int(struct.unpack_from("<Q", one.record, 8)[0])


def run(source: Sim, tape: Tape) -> list[Taken]:
    taken: list[Taken] = []
    while not source.finished:
        source.poll(1000)
        taken += tape.take()
    return taken


def sim(tape: Tape, counters: Counters, **options: object) -> Sim:
    return Sim("s", SimConfig(**options), tape.sink, counters, start_ns=START)  # type: ignore[arg-type]


def test_so_many_ticks_then_the_end_and_all_are_counted(tape: Tape, counters: Counters) -> None:
    source = sim(tape, counters, symbols=5, rate=0, ticks=3000)
    assert not source.finished
    taken = run(source, tape)
    assert len(taken) == 3000
    assert source.poll(10) == 0
    totals = {row.labels["schema"]: row.value for row in counters.rows()}
    assert totals == {word: sum(one.schema == word for one in taken) for word in ("quote", "trade", "status")}
    assert totals["status"] == 10
    assert source.progress().startswith("3,000 of 3,000 ticks, ")
    assert {one.symbol for one in taken} == {"AAPL", "MSFT", "NVDA", "AMZN", "GOOGL"}
    source.close()


def test_the_same_settings_make_the_same_session(tape: Tape, counters: Counters) -> None:
    options = {"symbols": 5, "rate": 0, "ticks": 3000, "seed": 5}
    first = [(one.schema, one.symbol, one.record) for one in run(sim(tape, counters, **options), tape)]
    assert [(one.schema, one.symbol, one.record) for one in run(sim(tape, counters, **options), tape)] == first
    other = [(one.schema, one.symbol, one.record) for one in run(sim(tape, counters, **options | {"seed": 6}), tape)]
    assert other != first


def test_a_paced_session_gives_each_tick_at_its_time(tape: Tape, counters: Counters) -> None:
    now = [START - 5]
    source = Sim(
        "s",
        SimConfig(symbols=3, rate=1000.0, arrivals="flat"),
        tape.sink,
        counters,
        start_ns=START,
        clock=lambda: now[0],
    )
    assert source.due_ns() == START
    assert source.poll(100) == 0
    now[0] = START
    assert source.poll(100) == 3
    now[0] = START + 10**9
    assert source.poll(100) == 100  # never more than asked for
    assert sum(source.poll(1000) for _ in range(3)) == 900
    assert source.due_ns() == START + 10**9 + 10**6
    assert [ts_event(one) for one in tape.take()[3:]] == [START + n * 10**6 for n in range(1, 1001)]


def test_a_session_begins_with_the_first_poll_and_ts_in_is_when_a_tick_came(tape: Tape, counters: Counters) -> None:
    source = Sim("s", SimConfig(symbols=1, rate=2000.0, ticks=40), tape.sink, counters)
    before = now_ns()
    while not source.finished:
        if not source.poll(100):
            source.park(10**12)  # to the next tick, however far that time-out
    taken = tape.take()
    assert len(taken) == 40
    assert before <= ts_event(taken[0])
    assert all(ts_event(one) <= one.ts_in <= now_ns() for one in taken)


def test_parking_ends_with_its_time_out(tape: Tape, counters: Counters) -> None:
    source = Sim("s", SimConfig(symbols=1, rate=0.001), tape.sink, counters)
    assert source.poll(10) == 1
    source.park(1_000_000)
    assert source.poll(10) == 0
    assert source.due_ns() > now_ns()


def test_a_full_ring_is_waited_for(tape: Tape, counters: Counters) -> None:
    intake = Intake(tape.sink)
    source = Sim("s", SimConfig(symbols=10, rate=0, ticks=5000), intake.ring(1 << 16), counters, start_ns=START)
    taken: list[Taken] = []
    while not source.finished:
        if not source.poll(1000):
            source.park(10**9)
            while intake.poll(1000):
                pass
            taken += tape.take()
    while intake.poll(1000):
        pass
    taken += tape.take()
    assert len(taken) == 5000


@pytest.mark.parametrize("rate", [1e-4, 2e9])
def test_rates_out_of_reach_are_refused(tape: Tape, counters: Counters, rate: float) -> None:
    with pytest.raises(ConfigError, match=r"source.s.rate: .* expected 0 \(as fast as possible\) or 0.001 to 1e\+09"):
        sim(tape, counters, rate=rate)


def test_more_symbols_than_topics_is_said_at_the_start(counters: Counters, tmp_path: Path) -> None:
    tape = Tape(tmp_path / "log", max_topics=10)
    with pytest.raises(LogSpace, match=r"Raise log\.max_topics"):
        sim(tape, counters, symbols=4).poll(1)
    tape.close()
