"""Playing an archive: everything in its order and unchanged, within bounds, in time."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feed.config import ArchiveReplayConfig
from feed.errors import CallerError, ConfigError
from feed.log.reader import LogReader
from feed.log.ring import Intake
from feed.sources.archive import ArchiveReplay
from feed.store.reader import StoreReader
from tests.archive.recorded import Recorder, Tick, frames, record_archive, records
from tests.archive.ticks import trade
from tests.sources.tape import Tape

if TYPE_CHECKING:
    from collections.abc import Iterator

    from feed.metrics.counters import Counters

START = 1_719_840_600 * 10**9
MS = 1_000_000


def ticks(n: int, *, symbols: int = 3, every_ns: int = MS) -> list[Tick]:
    return [
        Tick("trade", f"S{i % symbols}", trade(i, instrument_id=i % symbols), START + i * every_ns) for i in range(n)
    ]


@pytest.fixture(scope="module")
def thousand(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """1,000 trades a millisecond apart."""
    folder = tmp_path_factory.mktemp("thousand") / "main"
    record_archive(folder, ticks(1000))
    return folder


class Clock:
    def __init__(self) -> None:
        self.now = 2 * 10**18

    def __call__(self) -> int:
        return self.now


@contextlib.contextmanager
def playing(
    folder: Path, tape: Tape, counters: Counters, clock: Clock | None = None, **settings: object
) -> Iterator[ArchiveReplay]:
    config = ArchiveReplayConfig(path=str(folder), **{"speed": "max", **settings})  # type: ignore[arg-type]
    source = ArchiveReplay("a", config, tape.sink, counters, **({"clock": clock} if clock else {}))
    try:
        yield source
    finally:
        source.close()


def played(folder: Path, tape: Tape, counters: Counters, **settings: object) -> list[int]:
    """The numbers of the trades that come."""
    with playing(folder, tape, counters, **settings) as source:
        while not source.finished:
            source.poll(100)
    return [int.from_bytes(taken.record[44:48], "little") for taken in tape.take()]


def counted(counters: Counters, name: str, **labels: str) -> int:
    return sum(row.value for row in counters.rows() if row.name == name and labels.items() <= row.labels.items())


def test_records_topics_and_flags_come_in_their_order_and_unchanged(
    tmp_path: Path, tape: Tape, counters: Counters
) -> None:
    recorder = Recorder(tmp_path / "main")
    recorder.log.topic("status", "QUIET")
    recorder.put([each._replace(flags=8 if i % 5 == 0 else 0) for i, each in enumerate(ticks(3000, symbols=40))])
    recorder.close()
    with playing(tmp_path / "main", tape, counters) as source:
        while not source.finished:
            source.poll(64)
    with LogReader.open(tape.sink.directory, start="begin") as reader:
        log = []
        while (tick := reader.read()) is not None:
            log.append((tick.kind, tick.topic_id, tick.seq, tick.topic_seq, tick.flags, tick.record))
        names = [f"{schema}.{symbol}" for schema, symbol in (reader.topic(i) for i in range(reader.topic_count))]
    assert [(kind, names[i], *rest) for kind, i, *rest in log] == [tuple(each) for each in frames(tmp_path / "main")]
    assert counted(counters, "tickcast_ticks_total", source="a", schema="trade") == 3000
    assert source.progress().startswith("3,000 records, 100.0 %")


@pytest.mark.parametrize(
    ("first", "last", "expected"),
    [
        ("", "", range(1000)),
        ("10", "", range(9, 1000)),
        ("10", "10", range(9, 10)),
        ("", "999", range(999)),
        ("1000", "5000", range(999, 1000)),
        (str(START), str(START + MS), range(1)),
        (str(START + 1), str(START + 10 * MS), range(1, 10)),
        ("2024-07-01T13:30:00.5Z", "", range(500, 1000)),
        ("2024-07-01", "2024-07-01T13:30:00.000000001", range(1)),
        ("500", str(START + 600 * MS), range(499, 600)),
        ("2025-01-01", "", range(0)),
    ],
)
def test_bounds(thousand: Path, tape: Tape, counters: Counters, first: str, last: str, expected: range) -> None:
    assert played(thousand, tape, counters, from_=first, to=last) == list(expected)


@settings(max_examples=30, deadline=None)
@given(
    first=st.integers(1, 1001), last=st.integers(1, 1100), from_ms=st.integers(-5, 1005), to_ms=st.integers(-5, 1005)
)
def test_any_bounds_are_exact(
    thousand: Path, tmp_path_factory: pytest.TempPathFactory, first: int, last: int, from_ms: int, to_ms: int
) -> None:
    from feed.metrics.counters import Counters  # noqa: PLC0415 - a file of its own for each example

    tape = Tape(Path("/dev/shm") / tmp_path_factory.mktemp("tape").name)
    counters = Counters.open(tmp_path_factory.mktemp("counters"), create=True)
    times = {"from_": str(START + from_ms * MS), "to": str(START + to_ms * MS)}
    try:
        assert played(thousand, tape, counters, from_=str(first), to=str(last)) == [
            i for i in range(1000) if first <= i + 1 <= last
        ]
        assert played(thousand, tape, counters, **times) == [i for i in range(1000) if from_ms <= i < to_ms]
    finally:
        tape.close()
        counters.close()


def test_only_some_symbols_and_schemas(thousand: Path, tape: Tape, counters: Counters) -> None:
    assert played(thousand, tape, counters, symbols=["S1"]) == [i for i in range(1000) if i % 3 == 1]
    assert played(thousand, tape, counters, symbols=["S0", "S2"]) == [i for i in range(1000) if i % 3 != 1]
    assert played(thousand, tape, counters, symbols=["S*"]) == list(range(1000))
    assert played(thousand, tape, counters, symbols=["X*"]) == []
    assert played(thousand, tape, counters, schemas=["quote"]) == []


def test_it_comes_when_it_is_due(thousand: Path, tape: Tape, counters: Counters) -> None:
    clock = Clock()
    began = clock.now
    with playing(thousand, tape, counters, clock, speed="2") as source:
        assert source.poll(1000) == 1
        assert source.due_ns() == began + MS // 2
        assert source.poll(1000) == 0
        clock.now += 5 * MS
        assert source.poll(1000) == 10
        assert source.poll(1000) == 0
        clock.now += 10**9
        assert source.poll(4) == 4
        while not source.finished:
            source.poll(1000)
    assert [taken.ts_in for taken in tape.take()] == [began + i * MS // 2 for i in range(1000)]


def test_a_loop_begins_again_a_step_after_the_last_record(tmp_path: Path, tape: Tape, counters: Counters) -> None:
    record_archive(tmp_path / "main", ticks(5))
    clock = Clock()
    began = clock.now
    with playing(tmp_path / "main", tape, counters, clock, speed="1", loop=True) as source:
        for _ in range(200):
            source.poll(3)
            clock.now += MS // 10
        assert not source.finished
    taken = tape.take()
    assert len(taken) >= 15
    assert [each.ts_in - began for each in taken] == [i * MS for i in range(len(taken))]
    assert [each.record for each in taken[:10]] == 2 * [each.record for each in taken[:5]]


def test_a_loop_of_nothing_ends(thousand: Path, tape: Tape, counters: Counters) -> None:
    assert played(thousand, tape, counters, symbols=["X"], loop=True) == []


def test_epochs_are_played_one_after_the_other_or_one_alone(tmp_path: Path, tape: Tape, counters: Counters) -> None:
    folder = tmp_path / "main"
    record_archive(folder, ticks(10))
    record_archive(folder, [tick._replace(symbol=f"T{tick.symbol}") for tick in ticks(20)[10:]])
    assert played(folder, tape, counters) == list(range(20))
    with StoreReader(folder) as reader:
        first, second = (each.epoch for each in reader.epochs())
    assert played(folder, tape, counters, epoch=first) == list(range(10))
    assert played(folder, tape, counters, epoch=second, from_="3", to="4") == [12, 13]
    with pytest.raises(CallerError, match=r"means nothing without its epoch .* --epoch"):
        played(folder, tape, counters, from_="3")
    with pytest.raises(CallerError, match=f"no such epoch in the archive: expected {first} .* found 5"):
        played(folder, tape, counters, epoch=5)


def test_what_is_missing_is_counted_and_told(tmp_path: Path, tape: Tape, counters: Counters) -> None:
    recorder = Recorder(tmp_path / "main")
    recorder.put(ticks(10))
    recorder.lose(5, "disk full")
    recorder.put(ticks(10))
    recorder.lose(7, "overrun")
    recorder.put(ticks(1))
    recorder.close()
    with playing(tmp_path / "main", tape, counters) as source:
        while not source.finished:
            source.poll(1000)
        assert "12 records of all topics: seq 11 to 15 (disk full), seq 26 to 32 (overrun)" in source.progress()
    assert len(tape.take()) == 21
    assert counted(counters, "tickcast_rejected_total", reason="missing") == 12
    with playing(tmp_path / "main", tape, counters, from_="13", to="30") as source:
        while not source.finished:
            source.poll(1000)
        assert "8 records of all topics: seq 13 to 15 (disk full), seq 26 to 30 (overrun)" in source.progress()


def test_its_end_is_what_there_was_when_it_began(tmp_path: Path, tape: Tape, counters: Counters) -> None:
    recorder = Recorder(tmp_path / "main")
    recorder.put(ticks(10))
    with playing(tmp_path / "main", tape, counters) as source:
        source.poll(3)
        recorder.put(ticks(5))
        while not source.finished:
            source.poll(3)
    assert len(tape.take()) == 10
    recorder.close()


def test_through_a_ring_that_fills_up(thousand: Path, tape: Tape, counters: Counters) -> None:
    intake = Intake(tape.sink)
    source = ArchiveReplay("a", ArchiveReplayConfig(path=str(thousand), speed="max"), intake.ring(1 << 16), counters)
    while not source.finished:
        if source.poll(10_000) == 0:
            source.park(1000)
            intake.poll(100)
    while intake.poll(1000):
        pass
    source.close()
    assert len(tape.take()) == 1000


def test_topics_that_find_no_room_are_counted(thousand: Path, tmp_path: Path, counters: Counters) -> None:
    tape = Tape(Path("/dev/shm") / tmp_path.name, max_topics=2)
    assert len(played(thousand, tape, counters)) == 667
    assert counted(counters, "tickcast_rejected_total", reason="topic_refused") == 333
    tape.close()


def test_what_is_no_archive(tmp_path: Path, tape: Tape, counters: Counters, thousand: Path) -> None:
    with pytest.raises(CallerError, match="there is no such folder"):
        played(tmp_path / "none", tape, counters)
    with pytest.raises(CallerError, match="there is no archive here"):
        played(tmp_path, tape, counters)
    with pytest.raises(ConfigError, match=r"source\.a\.from: not a place"):
        played(thousand, tape, counters, from_="now")
    with pytest.raises(CallerError, match="no such schema"):
        played(thousand, tape, counters, schemas=["quotes"])
    assert len(played(thousand.parent, tape, counters)) == 1000  # what archive.path says
    record_archive(tmp_path / "a", ticks(1))
    record_archive(tmp_path / "b", ticks(1))
    with pytest.raises(CallerError, match="several feeds have their archives here: found a, b"):
        played(tmp_path, tape, counters)
    assert records(frames(tmp_path / "a")) == [("trade.S0", trade(0, instrument_id=0))]
